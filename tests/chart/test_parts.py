"""What each part of the chart becomes: mirror, puller, scanners, and what surrounds them."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.chart import (
    CHART,
    MIRROR,
    PULLER,
    SCANNER,
    Rendered,
    case,
    container,
    merged,
)


def test_one_pod_pulls_signs_and_serves_from_its_volume() -> None:
    rendered = Rendered.of({})
    mirror = rendered.one("Deployment", MIRROR)
    assert mirror["spec"]["strategy"] == {"type": "Recreate"}
    pod = mirror["spec"]["template"]
    assert container(pod, "mirror")["args"] == ["run"]
    assert {"name": "state", "persistentVolumeClaim": {"claimName": MIRROR}} in pod["spec"][
        "volumes"
    ]
    claim = rendered.one("PersistentVolumeClaim", MIRROR)
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    kinds = {kind for kind, _ in rendered.kinds()}
    assert not kinds & {"CronJob", "Job", "PodDisruptionBudget", "HorizontalPodAutoscaler"}


def test_replicas_over_a_bucket_hold_no_signing_key_and_one_puller_does() -> None:
    rendered = Rendered.of(case("bucket-values.yaml"))
    mirror = rendered.one("Deployment", MIRROR)["spec"]
    assert "replicas" not in mirror  # the autoscaler's
    assert mirror["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert container(mirror["template"], "mirror")["args"] == ["serve"]
    volumes = {volume["name"] for volume in mirror["template"]["spec"]["volumes"]}
    assert not volumes & {"keys", "passphrase"}
    puller = rendered.one("CronJob", PULLER)["spec"]
    assert puller["concurrencyPolicy"] == "Forbid"
    signing = puller["jobTemplate"]["spec"]["template"]["spec"]["volumes"]
    assert {"keys", "passphrase", "state"} <= {volume["name"] for volume in signing}
    assert ("PodDisruptionBudget", MIRROR) in rendered.kinds()
    assert ("HorizontalPodAutoscaler", MIRROR) in rendered.kinds()


def test_a_first_pull_is_a_job_of_its_own_name_for_other_settings() -> None:
    def names(values: dict[str, Any]) -> set[str]:
        return {name for kind, name in Rendered.of(values).kinds() if kind == "Job"}

    values = case("bucket-values.yaml")
    (first,) = names(values)
    assert names(values) == {first}
    assert names(merged(values, {"config": {"keep_releases": 3}})).isdisjoint({first})
    assert names(merged(values, {"puller": {"firstPull": False}})) == set()


@pytest.mark.parametrize("minutes", [5, 15, 60, 120, 720])
def test_pulls_come_as_often_as_is_said_and_not_everywhere_at_the_same_minute(minutes: int) -> None:
    values = merged(case("bucket-values.yaml"), {"puller": {"everyMinutes": minutes}})
    schedule = Rendered.of(values).one("CronJob", PULLER)["spec"]["schedule"]
    minute, hour, *days = schedule.split()
    assert days == ["*", "*", "*"]
    begin, _, step = minute.replace("-59", "").partition("/")
    assert 0 <= int(begin) < min(minutes, 60)
    assert (step or hour) == (
        str(minutes) if minutes < 60 else "*" if minutes == 60 else f"*/{minutes // 60}"
    )


def test_changed_settings_change_the_pods_that_read_them_and_no_others() -> None:
    def sums(values: dict[str, Any]) -> dict[str, str]:
        pods = Rendered.of(values).pods()
        return {
            where: pod["metadata"].get("annotations", {}).get("checksum/config", "")
            for where, pod in pods
        }

    values = case("scanner-values.yaml")
    before = sums(values)
    mirror = sums(merged(values, {"config": {"keep_releases": 3}}))
    assert {where for where, one in mirror.items() if one != before[where]} == {
        f"Deployment/{MIRROR}"
    }
    scanner = sums(merged(values, {"scanner": {"clamd": {"config": {"MaxThreads": 3}}}}))
    assert {where for where, one in scanner.items() if one != before[where]} == {
        f"Deployment/{SCANNER}"
    }


def test_scanners_of_a_mirror_elsewhere_come_without_one() -> None:
    rendered = Rendered.of(case("scanner-turns-values.yaml"))
    assert {where for where, _ in rendered.pods()} == {f"StatefulSet/{SCANNER}"}
    kinds = {kind for kind, _ in rendered.kinds()}
    assert kinds == {
        "ConfigMap", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount",
        "StatefulSet",
    }  # fmt: skip
    policies = {name for kind, name in rendered.kinds() if kind == "NetworkPolicy"}
    assert policies == {f"{MIRROR}-nothing", SCANNER}
    assert "sigmirror-keys" not in rendered.notes
    assert "sigmirror-root" in rendered.notes
    assert "helm test" not in rendered.notes


def test_whoever_pulls_goes_where_a_claim_of_one_node_is_in_use() -> None:
    def affinity(over: dict[str, Any], kind: str = "CronJob", name: str = PULLER) -> Any:
        pods = dict(Rendered.of(merged(case("bucket-values.yaml"), over)).pods())
        return pods[f"{kind}/{name}"]["spec"].get("affinity")

    operator = ("Deployment", "demo-sigmirror-operator")
    node = {"nodeAffinity": {"x": "y"}}
    (beside,) = affinity({})["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert beside["labelSelector"]["matchLabels"]["sigmirror/operator"] == "true"
    assert affinity({"puller": {"affinity": node}}) == {**node, **affinity({})}
    assert affinity({}, *operator) is None
    assert affinity({"puller": {"operator": False}}) is None
    assert affinity({"persistence": {"accessModes": ["ReadWriteMany"]}}) is None


def test_whoever_answers_waits_until_nobody_asks_any_more() -> None:
    rendered = Rendered.of(case("scanner-values.yaml"))
    for kind, name, of in ("Deployment", MIRROR, "mirror"), ("Deployment", SCANNER, "clamd"):
        pod = rendered.one(kind, name)["spec"]["template"]
        waited = container(pod, of)["lifecycle"]["preStop"]["exec"]["command"]
        assert waited == ["sleep", "5"]
        assert pod["spec"]["terminationGracePeriodSeconds"] > 5


def test_labels_of_the_sites_own_never_take_the_place_of_those_that_select() -> None:
    own = {"app.kubernetes.io/name": "x", "team": "a"}
    rendered = Rendered.of({"commonLabels": own, "podLabels": {"team": "b"}})
    mirror = rendered.one("Deployment", MIRROR)
    assert mirror["metadata"]["labels"]["team"] == "a"
    labels = mirror["spec"]["template"]["metadata"]["labels"]
    assert labels["team"] == "b"
    assert mirror["spec"]["selector"]["matchLabels"].items() <= labels.items()
    recreated = {"updateStrategy": {"type": "Recreate", "rollingUpdate": None}}
    strategy = Rendered.of(merged(case("bucket-values.yaml"), recreated))
    assert strategy.one("Deployment", MIRROR)["spec"]["strategy"] == {"type": "Recreate"}


def test_tls_ends_where_it_is_said() -> None:
    own = Rendered.of(
        merged(
            case("one-volume-values.yaml"),
            {"ingress": {"enabled": True, "hosts": [{"host": "m.example"}]}},
        )
    )
    probe = container(own.one("Deployment", MIRROR)["spec"]["template"], "mirror")["readinessProbe"]
    assert probe["httpGet"]["scheme"] == "HTTPS"
    backend = "nginx.ingress.kubernetes.io/backend-protocol"
    assert own.one("Ingress", MIRROR)["metadata"]["annotations"][backend] == "HTTPS"
    before = Rendered.of(case("bucket-values.yaml"))
    probe = container(before.one("Deployment", MIRROR)["spec"]["template"], "mirror")[
        "readinessProbe"
    ]
    assert probe["httpGet"]["scheme"] == "HTTP"
    ingress = before.one("Ingress", MIRROR)
    assert backend not in ingress["metadata"]["annotations"]
    assert (
        ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-read-timeout"]
        == "3600"
    )
    assert ingress["spec"]["rules"][0]["host"] == "mirror-prod.example.org"


def test_a_network_policy_lets_through_what_each_pod_needs_and_nothing_else() -> None:
    kinds = Rendered.of(case("bucket-values.yaml")).kinds()
    policies = {name: one["spec"] for (kind, name), one in kinds.items() if kind == "NetworkPolicy"}
    nothing = policies[f"{MIRROR}-nothing"]
    assert nothing["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & set(nothing)

    def ports(policy: dict[str, Any], way: str) -> set[int | str]:
        return {port["port"] for rule in policy.get(way, []) for port in rule["ports"]}

    assert ports(policies[f"{MIRROR}-mirror"], "egress") == {53, 9000, 5432}  # no vendors
    assert ports(policies[PULLER], "egress") == {53, 8480, 9000, 5432}
    assert ports(policies[f"{MIRROR}-mirror"], "ingress") == {"mirror", "metrics"}
    assert ports(policies[PULLER], "ingress") == set()
    scanner = Rendered.of(case("scanner-values.yaml")).one("NetworkPolicy", SCANNER)["spec"]
    assert ports(scanner, "egress") == {53, "mirror"}
    assert ports(scanner, "ingress") == {"clamd"}
    mirrors = [
        "https://a.example",
        "http://b.example/x",
        "https://c.example:9443",
        "https://[::1]:1",
    ]
    elsewhere = merged(case("scanner-values.yaml"), {"scanner": {"mirrors": mirrors}})
    scanner = Rendered.of(elsewhere).one("NetworkPolicy", SCANNER)["spec"]
    assert ports(scanner, "egress") == {53, "mirror", 443, 80, 9443, 1}


def test_monitoring_brings_its_rules_and_its_dashboard_as_they_are(tmp_path: Path) -> None:
    rendered = Rendered.of(case("one-volume-values.yaml"))
    rules = rendered.one("PrometheusRule", MIRROR)["spec"]
    assert rules == yaml.safe_load((CHART / "files/prometheus-rules.yaml").read_text())
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    try:
        done = subprocess.run(
            ["promtool", "check", "rules", str(tmp_path / "rules.yaml")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    assert done.returncode == 0, done.stdout + done.stderr
    dashboard = rendered.one("ConfigMap", f"{MIRROR}-dashboard")["data"]["sigmirror.json"]
    assert json.loads(dashboard) == json.loads((CHART / "files/dashboard.json").read_text())


def test_what_is_scraped_is_a_service_of_its_own_with_the_pods_that_have_metrics() -> None:
    rendered = Rendered.of(
        merged(case("puller-values.yaml"), {"monitoring": {"serviceMonitor": {"enabled": True}}})
    )
    monitor = rendered.one("ServiceMonitor", MIRROR)["spec"]
    service = rendered.one("Service", f"{MIRROR}-metrics")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    scraped = {
        where
        for where, pod in rendered.pods()
        if service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    }
    assert scraped == {f"Deployment/{MIRROR}", f"Deployment/{PULLER}"}


@pytest.mark.parametrize("name", ["bucket-values.yaml", "puller-values.yaml"])
def test_a_suspended_puller_leaves_nobody_who_signs(name: str) -> None:
    kinds = Rendered.of(merged(case(name), {"puller": {"suspend": True}})).kinds()
    cron, always = kinds.get(("CronJob", PULLER)), kinds.get(("Deployment", PULLER))
    assert cron is None or cron["spec"]["suspend"] is True
    assert always is None or always["spec"]["replicas"] == 0
    assert not any(kind == "Job" for kind, _ in kinds)


def test_the_operators_pod_has_what_the_puller_has_and_pulls_nothing_by_itself() -> None:
    kinds = Rendered.of(case("bucket-values.yaml")).kinds()
    waiting = kinds["Deployment", "demo-sigmirror-operator"]["spec"]["template"]
    pulling = kinds["CronJob", PULLER]["spec"]["jobTemplate"]["spec"]["template"]
    assert waiting["spec"]["volumes"] == pulling["spec"]["volumes"]
    assert "sigmirror" not in container(waiting, "puller")["command"][-1]
