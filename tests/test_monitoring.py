"""Prometheus: what a mirror and its hosts export, the alerts and the dashboard that ask for it."""

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.exposition import Exposition, exported, fetch, lint, promtool, samples, write_rules
from tests.fleet import Fleet, Host, run
from tests.mirror.serving import wait_for

PROJECT = Path(__file__).parent.parent
RULES = PROJECT / "helm/files/prometheus-rules.yaml"
DASHBOARD = PROJECT / "helm/files/dashboard.json"
ALERT_TESTS = sorted((PROJECT / "tests/prometheus").glob("*.yaml"))
OPERATIONS = PROJECT / "docs/operations.md"
SECRET = "s3cr3t-t0ken"  # noqa: S105 - a test's
pytestmark = pytest.mark.xdist_group("monitoring")  # they share a mirror

MORE = """
[[upstream]]
name = "rules"
kind = "drop"
channel = "inhouse"
folder = "{folder}/drop"
quiet_seconds = 0.01
licence = "av"
[[licence]]
name = "av"
file = "{folder}/av.lic"
starts_on = "{begin}"
ends_on = "{end}"
seats = 1
[[notify]]
name = "ops"
urls = ["json://127.0.0.1:1/{secret}"]
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A mirror with one of everything that is measured, a held release among it, and one host."""
    fleet = Fleet(tmp_path_factory.mktemp("monitored"))
    fleet.found()
    config = fleet.config.read_text().replace(
        'metrics_listen = ""', 'metrics_listen = "127.0.0.1:0"'
    )
    today = datetime.now(UTC).date()
    term = {"begin": today - timedelta(days=30), "end": today + timedelta(days=400)}
    fleet.config.write_text(config + MORE.format(folder=fleet.folder, secret=SECRET, **term))
    (fleet.folder / "av.lic").write_text("a vendor's own")
    (fleet.folder / "drop").mkdir()
    with fleet.running():
        drops(fleet, "a rule that is long enough to be missed", "published")
        fleet.sigmirror("point", "inhouse", "canary", "1", "--reason", "to be measured")
        drops(fleet, "short", "held")
        yield fleet


def drops(fleet: Fleet, text: str, event: str) -> None:
    (fleet.folder / "drop/rules.txt").write_text(text)
    assert fleet.process
    process = fleet.process
    wait_for(lambda: process.told(event) or process.ended, event)
    fleet.wait_until_served()


def scrape(fleet: Fleet) -> str:
    assert fleet.process
    return fetch(fleet.process.metrics_address)


@pytest.fixture(scope="module")
def host(fleet: Fleet) -> Host:
    """A host whose engine refused what it was offered last."""
    host = fleet.host("mx1", f'[metrics]\ntextfile = "{fleet.folder}/mx1/sigupdate.prom"\n')
    host.sigupdate("run")
    return host


def shown(host: Host) -> str:
    return (host.folder / "sigupdate.prom").read_text()


@pytest.fixture(scope="module")
def exposition(fleet: Fleet, host: Host) -> Exposition:
    """Everything both export, once an engine refused a release, too."""
    before = shown(host)
    (fleet.folder / "release").mkdir()
    (fleet.folder / "release/rules.txt").write_text("a rule that no engine takes, and is long")
    fleet.sigmirror("publish", "inhouse", fleet.folder / "release")
    config = host.folder / "sigupdate.toml"
    good = config.read_text()
    config.write_text(good.replace('test_command = ["true"]', 'test_command = ["false"]'))
    host.sigupdate("run", code=5)
    config.write_text(good)
    fleet.sigmirror("task", "add", "verify", "--all")
    wait_for(lambda: 'sigmirror_tasks{state="waiting"} 1.0' in scrape(fleet), "report and task")
    return Exposition(scrape(fleet) + before + shown(host))


def test_what_is_exported_is_as_prometheus_wants_it(fleet: Fleet, host: Host) -> None:
    assert lint(shown(host)) == []
    days = 'sigmirror_licence_days_left use base unit "seconds" instead of "days"'
    assert lint(scrape(fleet)) == [days]  # licences end with a day, of their own time zone


def test_a_mirror_exports_what_its_commands_show(exposition: Exposition) -> None:
    lines = exposition.text.splitlines()
    track = 'channel="inhouse",repository="site",track'
    for line in (
        'sigmirror_upstream_state{state="held",upstream="rules"} 1.0',
        'sigmirror_held{channel="inhouse",upstream="rules"} 1.0',
        f'sigmirror_track_sequence{{{track}="stable"}} 2.0',
        f'sigmirror_track_sequence{{{track}="canary"}} 1.0',
        'sigmirror_hosts{state="ok"} 0.0',
        'sigmirror_hosts{state="rolled back"} 1.0',
        'sigmirror_tasks{state="waiting"} 1.0',
        'sigmirror_tasks{state="failed"} 0.0',
        "sigmirror_fleet_database_up 1.0",
        'sigmirror_licence_hosts{licence="av"} 1.0',
        'sigmirror_notices_open{kind="host-unproven"} 1.0',
        'sigmirror_notices_open{kind="release-held"} 1.0',
        'sigmirror_reports_total{status="200"} 2.0',
        'sigupdate_engine_generation{engine="scan"} 1',
        'sigupdate_release_sequence{engine="scan",channel="inhouse"} 1',
        'sigupdate_engine_quarantined{engine="scan"} 1',
        'sigupdate_engine_outcome{engine="scan",outcome="refused"} 1',
        "sigupdate_last_run_exit_code 5",
    ):  # fmt: skip
        assert line in lines, exposition.text


def test_no_label_holds_a_secret_or_a_hosts_name(exposition: Exposition) -> None:
    assert SECRET not in exposition.text
    named = {value for one in samples(exposition.text) for _, _, value in one.labels}
    assert "mx1" not in named


def test_alerts_ask_for_what_is_exported(exposition: Exposition) -> None:
    rules = [rule for group in read(RULES)["groups"] for rule in group["rules"]]
    assert [exposition.complaints(rule["expr"]) for rule in rules if rule] == [[]] * len(rules)


def test_alerts_are_tried_with_series_as_they_are_exported(exposition: Exposition) -> None:
    series = [
        one["series"]
        for path in ALERT_TESTS
        for scene in read(path)["tests"]
        for one in scene.get("input_series", ())
    ]
    assert [found for one in series for found in exposition.complaints(one)] == []
    known = {one.name: {name for name, _, _ in one.labels} for one in samples(exposition.text)}
    for one in (found for text in series for found in samples(f"{text.replace(', ', ',')} 1")):
        labels = {name for name, _, _ in one.labels} - {"instance", "job"}
        assert labels == known.get(one.name, labels), one


def test_every_alert_is_tried() -> None:
    named = {rule["alert"] for group in read(RULES)["groups"] for rule in group["rules"]}
    tried = re.findall(r'alertname="(\w+)"', "".join(path.read_text() for path in ALERT_TESTS))
    assert named == set(tried)


@pytest.mark.slow
def test_alerts_say_what_is_wrong_and_nothing_else() -> None:
    promtool("check", "rules", RULES)
    promtool("test", "rules", *ALERT_TESTS)


def test_the_dashboard_asks_for_what_is_exported(exposition: Exposition, tmp_path: Path) -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    assert len(queries) > 20
    promtool("check", "rules", write_rules(tmp_path / "queries.yaml", queries))
    assert [found for query in queries for found in exposition.complaints(query)] == []
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_each_metric_is_in_the_operators_handbook(exposition: Exposition) -> None:
    text = OPERATIONS.read_text()
    named = {name for name in exported(exposition.text) if not name.endswith("_created")}
    assert {name for name in named if f"`{name}" not in text} == set()


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


@pytest.mark.slow
def test_a_text_file_follows_whatever_becomes_of_a_run(fleet: Fleet, tmp_path: Path) -> None:
    host = fleet.host("mx2", f'[metrics]\ntextfile = "{fleet.folder}/mx2/sigupdate.prom"\n')
    config = host.folder / "sigupdate.toml"
    good = config.read_text()
    host.sigupdate("run")
    assert 'sigupdate_engine_proof{engine="scan",proof="probed"} 1' in shown(host)

    config.write_text(good.replace('probe_command = ["true"]', 'probe_command = ["false"]'))
    host.sigupdate("prove", code=6)
    assert 'sigupdate_engine_proven{engine="scan"} 0' in shown(host)
    assert "sigupdate_last_run_exit_code 6" in shown(host)

    config.write_text(good.replace(fleet.url, "http://127.0.0.1:1"))
    host.sigupdate("run", code=1)
    assert "sigupdate_last_run_exit_code 1" in shown(host)
    assert 'sigupdate_engine_proven{engine="scan"} 1' in shown(host)
    assert "sigupdate_reports_waiting 1" in shown(host)

    config.write_text(good.replace(f"{host.folder}/cred", f"{host.folder}/none"))
    host.sigupdate("run", code=2)
    assert "sigupdate_last_run_exit_code 2" in shown(host)

    config.write_text(good.replace('name = "scan"', 'name = "other"'))
    host.sigupdate("run")
    assert 'engine="other"' in shown(host)
    assert 'engine="scan"' not in shown(host)
    assert [path.name for path in host.folder.glob(".tmp-*")] == []

    here = tmp_path / "here.prom"
    host.sigupdate("run", "--textfile", here)
    assert "sigupdate_last_run_exit_code 0" in here.read_text()
    done = run("sigupdate", "run", "--textfile", tmp_path / "none/x.prom", "--config", config)
    assert (done.returncode, done.stderr.startswith("warning: metrics.textfile: ")) == (0, True)
    assert "error: metrics.textfile: " in refused(host, tmp_path / "x.txt")


def test_node_exporter_shows_what_the_text_file_says(host: Host) -> None:
    program = "prometheus-node-exporter"
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed: apt-get install {program}")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    words = [f"--web.listen-address={address}", "--collector.disable-defaults"]
    words += ["--collector.textfile", f"--collector.textfile.directory={host.folder}"]
    with subprocess.Popen([program, *words], stderr=subprocess.DEVNULL) as exporter:
        try:
            wait_for(lambda: "sigupdate_engine_proven" in fetch(address), "node_exporter")
            lines = fetch(address).splitlines()
        finally:
            exporter.terminate()
    assert "node_textfile_scrape_error 0" in lines
    told = {(one.name, frozenset(one.labels)) for one in samples(shown(host))}
    assert told <= {(one.name, frozenset(one.labels)) for one in samples("\n".join(lines))}


def refused(host: Host, path: Path) -> str:
    config = host.folder / "sigupdate.toml"
    done = run("sigupdate", "run", "--textfile", path, "--config", config)
    assert done.returncode == 2
    return done.stderr
