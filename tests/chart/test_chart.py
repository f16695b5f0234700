"""The chart as a cluster would take it: linted, valid, restricted; what cannot work is refused."""

import copy
import json
import re
import subprocess
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.chart import (
    CASES,
    CHART,
    NAME,
    NAMESPACE,
    Rendered,
    case,
    container,
    containers,
    helm,
)
from tests.chart.pod_security import violations

VERSIONS = ("1.27", "1.37")  # the oldest that Chart.yaml takes, and the newest there are schemas of
CUSTOM = (
    "monitoring.coreos.com/v1"  # kinds of the Prometheus operator: no cluster has them by itself
)
ALL = ["", *CASES]
MIRROR, PULLER, SCANNER = "demo-sigmirror", "demo-sigmirror-puller", "demo-sigmirror-scanner"


def values_of(name: str) -> dict[str, Any]:
    return case(name) if name else {}


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    found = copy.deepcopy(base)
    for key, value in over.items():
        is_table = isinstance(value, dict) and isinstance(found.get(key), dict)
        found[key] = merged(found[key], value) if is_table else value
    return found


@pytest.mark.parametrize("name", ALL)
def test_each_set_of_values_is_linted_strictly(name: str) -> None:
    found = helm().lint(CHART, values_of(name), strict=True)
    assert found["errors"] == []
    assert [one for one in found["messages"] if "icon" not in one["error"]] == []


@pytest.mark.parametrize("name", ALL)
def test_every_manifest_is_valid_in_the_oldest_and_the_newest_kubernetes(name: str) -> None:
    validate = pytest.importorskip("kubernetes_validate").validate
    for document in Rendered.of(values_of(name)).documents:
        assert document["metadata"]["namespace" if "namespace" in document["metadata"] else "name"]
        for version in VERSIONS if document["apiVersion"] != CUSTOM else ():
            validate(document, version, strict=True)


def test_a_misspelt_key_of_a_manifest_would_be_noticed() -> None:
    validate = pytest.importorskip("kubernetes_validate")
    document = Rendered.of({}).one("Service", MIRROR)
    document["spec"]["portz"] = []
    with pytest.raises(validate.ValidationError):
        validate.validate(document, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("name", ALL)
def test_every_pod_keeps_to_the_restricted_profile(name: str) -> None:
    for where, pod in Rendered.of(values_of(name)).pods():
        found = sorted(violations(pod))
        if where == f"DaemonSet/{SCANNER}":  # the node's own clamd is reached over its folders
            assert found == ["volume definitions: hostPath", "volume run: hostPath"]
        else:
            assert found == [], where


@pytest.mark.parametrize("name", ALL)
def test_every_pod_is_its_own_and_asks_the_cluster_nothing(name: str) -> None:
    rendered = Rendered.of(values_of(name))
    selectors = [
        one["spec"]["podSelector"]["matchLabels"].items()
        for one in rendered.documents
        if one["kind"] == "NetworkPolicy"
    ]
    for where, pod in rendered.pods():
        assert pod["spec"]["automountServiceAccountToken"] is False, where
        labels = pod["metadata"]["labels"].items()
        assert sum(selector <= labels for selector in selectors) == 2, where  # nothing, and its own
        for one in containers(pod):
            assert one.get("securityContext", {}).get(
                "readOnlyRootFilesystem", one["name"] == "wait"
            )
            assert not re.search(r"(?i)password|secret_access", json.dumps(one.get("command")))


@pytest.mark.parametrize("name", ALL)
def test_probes_ask_whether_a_mirror_lives_or_is_ready_and_never_how_old_definitions_are(
    name: str,
) -> None:
    for _, pod in Rendered.of(values_of(name)).pods():
        for one in containers(pod):
            probes = {probe: one[probe] for probe in one if probe.endswith("Probe")}
            paths = {probe: rule.get("httpGet", {}).get("path") for probe, rule in probes.items()}
            assert paths.get("livenessProbe") in {None, "/healthz"}
            assert paths.get("startupProbe") in {None, "/healthz"}
            assert paths.get("readinessProbe") in {None, "/readyz"}
            assert not any("exec" in rule for rule in probes.values())


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
    assert ports(policies[PULLER], "egress") == {53, 80, 443, 9000, 5432}
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


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "replicas that each pull": (
        "", {"replicas": 2}, "replicas",
    ),
    "an autoscaler of pods that each pull": (
        "", {"autoscaling": {"enabled": True}}, "autoscaling",
    ),
    "replicas on a volume of one node": (
        "", {"replicas": 2, "puller": {"kind": "CronJob"}}, "several replicas read one volume",
    ),
    "a puller beside a volume of one node": (
        "", {"puller": {"kind": "Deployment"}}, "a puller of its own writes where the mirror reads",
    ),
    "replicas with a database each": (
        "bucket-values.yaml", {"fleet": {"postgresql": {"url": ""}}}, "one PostgreSQL",
    ),
    "a bucket without a name": (
        "bucket-values.yaml", {"store": {"s3": {"url": ""}}}, "s3",
    ),
    "a mirror that pulls, and must not": (
        "", {"puller": {"suspend": True}}, "puller.suspend",
    ),
    "a founding beside a bucket": (
        "bucket-values.yaml", {"founding": {"existingConfigMap": "x"}}, "founding",
    ),
    "credentials in the clear": (
        "", {"tls": {"existingSecret": ""}}, "would travel in the clear",
    ),
    "a proxy nobody trusts": (
        "", {"tls": {"existingSecret": "", "terminatedByProxy": True}}, "trustedProxies",
    ),
    "tls twice": (
        "",
        {"tls": {"terminatedByProxy": True, "trustedProxies": ["10.0.0.0/8"]}},
        "does TLS itself",
    ),
    "pulls too seldom to sign in time": (
        "bucket-values.yaml",
        {"puller": {"everyMinutes": 720}, "config": {"expiry": {"timestamp_seconds": 86400}}},
        "more than a quarter of the shortest role expiry",
    ),
    "a canary that nobody promotes": (
        "bucket-values.yaml", {"config": {"canary": ["inhouse"]}}, "stable follows canary",
    ),
    "a wait beyond the deadline": (
        "bucket-values.yaml", {"puller": {"waitSeconds": 9000}}, "puller.activeDeadlineSeconds",
    ),
    "a store in the settings": (
        "", {"config": {"store": {"url": "file:///x"}}}, "config.store: the chart writes it",
    ),
    "a listener in the settings": (
        "", {"config": {"serve": {"listen": "0.0.0.0:1"}}}, "config.serve.listen",
    ),
    "a database in the settings": (
        "", {"config": {"fleet": {"database": "sqlite:///x"}}}, "config.fleet.database",
    ),
    "an autoscaler upside down": (
        "bucket-values.yaml",
        {"autoscaling": {"minReplicas": 9}},
        "less than autoscaling.minReplicas",
    ),
    "a scanner without channels": (
        "scanner-values.yaml", {"scanner": {"channels": []}}, "scanner.channels: empty",
    ),
    "a shared volume that is not there": (
        "scanner-shared-values.yaml",
        {"scanner": {"shared": {"existingClaim": ""}}},
        "existingClaim",
    ),
    "another folder for clamd": (
        "scanner-values.yaml",
        {"scanner": {"clamd": {"config": {"DatabaseDirectory": "/x"}}}},
        "scanner.clamd.config.DatabaseDirectory",
    ),
    "other mirrors in the settings": (
        "scanner-values.yaml",
        {"scanner": {"config": {"mirrors": ["http://x"]}}},
        "scanner.config.mirrors",
    ),
    "a misspelt value": ("", {"replica": 2}, "replica"),
    "a misspelt value further in": ("", {"tls": {"existingsecret": "x"}}, "existingsecret"),
    "root": ("", {"podSecurityContext": {"runAsUser": 0}}, "runAsUser"),
    "a token for the cluster": (
        "", {"serviceAccount": {"automountServiceAccountToken": True}}, "automount",
    ),
    "a bucket of another name": ("bucket-values.yaml", {"store": {"s3": {"url": "gs://x"}}}, "url"),
    "an interval of its own": (
        "bucket-values.yaml", {"puller": {"everyMinutes": 7}}, "everyMinutes",
    ),
    "an unknown store": ("", {"store": {"type": "nfs"}}, "type"),
    "a password in an address": (
        "bucket-values.yaml", {"fleet": {"postgresql": {"url": "postgresql://u:p@h/n"}}}, "url",
    ),
    "a digest that is none": ("", {"image": {"digest": "latest"}}, "digest"),
    "a file that climbs": (
        "", {"secretFiles": {"../x": {"existingSecret": "a", "key": "b"}}}, "invalid propertyName",
    ),
    "an ingress for nobody": ("", {"ingress": {"enabled": True}}, "hosts"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused_with_a_reason(name: str) -> None:
    base, over, reason = REFUSED[name]
    with pytest.raises(helm().HelmError) as refused:
        Rendered.of(merged(values_of(base), over))
    assert reason in str(refused.value)


ALLOWED: dict[str, tuple[str, dict[str, Any]]] = {
    "replicas that take no reports": (
        "bucket-values.yaml",
        {"fleet": {"postgresql": {"url": ""}}, "config": {"fleet": {"enabled": False}}},
    ),
    "a canary that an operator promotes": (
        "bucket-values.yaml",
        {"config": {"canary": ["inhouse"], "rollout": {"automatic": False}}},
    ),
    "a canary beside a puller that always runs": (
        "bucket-values.yaml",
        {"config": {"canary": ["inhouse"]}, "puller": {"kind": "Deployment"}},
    ),
    "an open mirror without TLS": (
        "",
        {"config": {"serve": {"access": "open"}}, "tls": {"existingSecret": ""}},
    ),
    "one pod over a bucket": (
        "bucket-values.yaml",
        {"replicas": 1, "autoscaling": {"enabled": False}, "puller": {"kind": "InProcess"}},
    ),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_what_works_is_rendered_and_valid(name: str) -> None:
    validate = pytest.importorskip("kubernetes_validate").validate
    base, over = ALLOWED[name]
    for document in Rendered.of(merged(values_of(base), over)).documents:
        validate(document, VERSIONS[-1], strict=True)


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


def test_the_packed_chart_holds_what_it_reads_and_installs_in_a_dry_run(tmp_path: Path) -> None:
    helm().package(CHART, destination=tmp_path)
    (packed,) = tmp_path.glob("*.tgz")
    with tarfile.open(packed) as archive:
        names = {name.removeprefix("sigmirror/") for name in archive.getnames()}
    assert {"files/dashboard.json", "files/prometheus-rules.yaml", "README.md"} <= names
    assert not any(name.startswith("ci/") for name in names)
    nowhere = helm().Config(
        namespace=NAMESPACE, storage_driver="memory", kube_apiserver="http://127.0.0.1:9"
    )
    installed = nowhere.install(str(packed), NAME, {}, dry_run="client")
    kinds = [one["kind"] for one in yaml.safe_load_all(installed["manifest"]) if one]
    assert "Deployment" in kinds
    assert "Pod" not in kinds  # `helm test` makes it
    assert "helm test demo" in installed["notes"]


def test_the_chart_is_of_the_version_that_it_installs() -> None:
    project = tomllib.loads((CHART.parent / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == project["version"]


def test_the_schema_knows_every_value_and_each_default_keeps_to_it() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == {*values, "global"}
    with helm().Chart.load(CHART) as chart:
        chart.validate_schema(values)


def test_the_readme_has_a_row_for_every_value() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    readme = (CHART / "README.md").read_text()
    told = set(re.findall(r"^\| `([A-Za-z0-9.]+)` \|", readme, re.MULTILINE))
    named = {name.partition(".")[0] for name in told}
    assert named == set(values)
    assert {f"scanner.{key}" for key in values["scanner"]} <= {
        ".".join(name.split(".")[:2]) for name in told
    }


def test_notes_name_what_has_to_be_there_and_the_next_step() -> None:
    notes = Rendered.of(case("bucket-values.yaml")).notes
    assert "object-store" in notes
    assert "create job --from=cronjob/demo-sigmirror-puller" in notes
    assert "exec deploy/demo-sigmirror -- sigmirror status" in Rendered.of({}).notes
