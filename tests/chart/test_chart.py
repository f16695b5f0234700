"""The chart as a cluster would take it: linted, valid, restricted, packed, told of."""

import json
import re
import tarfile
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.chart.chart import (
    CASES,
    CHART,
    MIRROR,
    NAME,
    NAMESPACE,
    NEWEST,
    OLDEST,
    SCANNER,
    Rendered,
    case,
    containers,
    helm,
    validate,
)
from tests.chart.pod_security import violations

ALL = ["", *CASES]


@pytest.mark.parametrize("name", ALL)
def test_each_set_of_values_is_linted_strictly(name: str) -> None:
    found = helm().lint(CHART, case(name), strict=True)
    assert found["errors"] == []
    assert [one for one in found["messages"] if "icon" not in one["error"]] == []


@pytest.mark.parametrize("name", ALL)
def test_every_manifest_is_valid_in_the_oldest_and_the_newest_kubernetes(name: str) -> None:
    for document in Rendered.of(case(name)).documents:
        assert document["metadata"].get("namespace", NAMESPACE) == NAMESPACE
        for version in (OLDEST, NEWEST):
            validate(document, version)


def test_a_misspelt_key_of_a_manifest_would_be_noticed() -> None:
    document = Rendered.of({}).one("Service", MIRROR)
    document["spec"]["portz"] = []
    with pytest.raises(Exception, match="portz"):
        validate(document, NEWEST)


@pytest.mark.parametrize("name", ALL)
def test_every_pod_keeps_to_the_restricted_profile(name: str) -> None:
    for where, pod in Rendered.of(case(name)).pods():
        found = sorted(violations(pod))
        if where == f"DaemonSet/{SCANNER}":  # the node's own clamd is reached over its folders
            assert found == ["volume definitions: hostPath", "volume run: hostPath"]
        else:
            assert found == [], where


@pytest.mark.parametrize("name", ALL)
def test_every_pod_is_its_own_and_asks_the_cluster_nothing(name: str) -> None:
    rendered = Rendered.of(case(name))
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
    for _, pod in Rendered.of(case(name)).pods():
        for one in containers(pod):
            probes = {probe: one[probe] for probe in one if probe.endswith("Probe")}
            paths = {probe: rule.get("httpGet", {}).get("path") for probe, rule in probes.items()}
            assert paths.get("livenessProbe") in {None, "/healthz"}
            assert paths.get("startupProbe") in {None, "/healthz"}
            assert paths.get("readinessProbe") in {None, "/readyz"}
            assert not any("exec" in rule for rule in probes.values())


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
    assert "3 to 6 pods to serve, and a puller (CronJob)" in notes
    assert "sigmirror-keys, sigmirror-passphrase, object-store, fleet-database\n" in notes
    named = Rendered.of(case("one-volume-values.yaml")).notes
    assert "sigmirror-tls, av-2026, notify, securiteinfo\n  ConfigMap site-founding" in named
    assert "create job --from=cronjob/demo-sigmirror-puller" in notes
    assert "exec deploy/demo-sigmirror -- sigmirror status" in Rendered.of({}).notes
