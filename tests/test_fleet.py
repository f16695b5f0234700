"""Hosts report to their mirror: real `sigupdate` against a real `sigmirror run`, over loopback."""

import json
import re
from pathlib import Path

from keys.model.report import MAX_REPORT_BYTES
from tests.exposition import fetch
from tests.fleet import Fleet, run
from tests.loopback import free_port
from tests.mirror.serving import Process


def test_a_run_tells_the_mirror_what_the_host_runs(fleet: Fleet) -> None:
    fleet.publish("rule one")
    host = fleet.host(
        "mx1", '[report]\ndetections_command = ["echo", "7"]\nseats_command = ["echo", "3"]\n'
    )
    host.sigupdate("run")
    (line,) = fleet.hosts()
    assert (line["host"], line["health"], line["engine"]["proof"]) == ("mx1", "ok", "probed")
    (load,) = line["loads"]
    assert (load["channel"], load["sequence"]) == ("inhouse", 1)
    text = fleet.sigmirror("hosts")
    assert "mx1  scan  inhouse 1  probed  stable" in text
    assert text.endswith("1 hosts: 1 ok\n")


def test_a_host_that_never_reported_is_silent(fleet: Fleet) -> None:
    fleet.host("mx1")
    (line,) = fleet.hosts(code=1)
    assert (line["health"], line["trouble"]) == ("silent", "never reported")


def test_a_refused_release_is_told_with_its_cause(fleet: Fleet) -> None:
    fleet.publish("rule one")
    host = fleet.host("mx1")
    host.sigupdate("run")
    fleet.publish("rule two")

    config = host.folder / "sigupdate.toml"
    config.write_text(
        config.read_text().replace('test_command = ["true"]', 'test_command = ["false"]')
    )
    host.sigupdate("run", code=5)
    (line,) = fleet.hosts(code=1)
    assert line["health"] == "rolled back"
    assert line["loads"][0]["sequence"] == 1
    assert "false" in line["trouble"]


def test_a_proof_and_an_ordered_rollback_between_runs_are_told(fleet: Fleet) -> None:
    fleet.publish("rule one")
    host = fleet.host("mx1")
    host.sigupdate("run", "--install-only")
    (line,) = fleet.hosts(code=1)
    assert (line["health"], line["engine"]["proof"]) == ("unproven", "unproven")
    host.sigupdate("prove")
    (line,) = fleet.hosts()
    assert (line["health"], line["engine"]["proof"]) == ("ok", "probed")
    fleet.publish("rule two")
    host.sigupdate("run")
    host.sigupdate("rollback")
    (line,) = fleet.hosts(code=None)
    assert line["loads"][0]["sequence"] == 1


def test_a_mirror_that_is_down_fails_no_run_and_hears_of_it_later(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    fleet.found()
    listen = f"127.0.0.1:{free_port()}"
    fleet.config.write_text(fleet.config.read_text().replace("127.0.0.1:0", listen))
    with Process.started(fleet.config, tmp_path / "log"):
        fleet.url = f"http://{listen}"
        fleet.publish("rule one")
        host = fleet.host("mx1")
        host.sigupdate("run")
    for _ in range(2):
        host.sigupdate("run", code=1)  # the mirror is asked for definitions, too
    assert host.waiting() == 2
    assert (
        "2 waiting" in run("sigupdate", "report", "--config", host.folder / "sigupdate.toml").stdout
        or host.waiting() == 3
    )
    with Process.started(fleet.config, tmp_path / "log2"):
        host.sigupdate("report")
        assert host.waiting() == 0
        assert fleet.hosts()[0]["health"] == "ok"
        history = json.loads(fleet.sigmirror("history", "--at", "2999-01-01", "--json"))
        assert [past["line"]["generation"] for past in history] == [1]
        assert "every signature holds" in fleet.sigmirror("verify-log")


def test_the_history_a_host_signed_answers_what_ran_when(fleet: Fleet) -> None:
    host = fleet.host("mx1")
    for text in ("rule one", "rule two"):
        fleet.publish(text)
        host.sigupdate("run")
    own = [json.loads(line) for line in host.sigupdate("history", "--json").splitlines()]
    for entry in own:
        (past,) = json.loads(fleet.sigmirror("history", "--at", entry["at"], "--json"))
        assert past["line"]["generation"] == entry["generation"]
        assert past["public_key"]
    assert "nothing is known" in fleet.sigmirror("history", "--at", "2001-01-01", code=1)


def test_a_mirror_that_is_scraped_while_it_is_asked_loses_no_report(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    fleet.found()
    unmeasured = fleet.config.read_text()
    fleet.config.write_text(
        unmeasured.replace('metrics_listen = ""', 'metrics_listen = "127.0.0.1:0"')
    )
    with fleet.running():
        host = fleet.host("mx1")
        host.sigupdate("report")
        assert fleet.process
        scraped = fetch(fleet.process.metrics_address)
        assert "sigmirror_fleet_database_up 1.0" in scraped
        (first,) = fleet.hosts(code=None)
        host.sigupdate("report")
        (second,) = fleet.hosts(code=None)
    assert second["received"] > first["received"]
    assert fleet.hosts(code=None) == [second]


def test_a_host_reports_itself_only(fleet: Fleet) -> None:
    fleet.host("mx1")
    fleet.host("mx2")
    body = json.dumps({"host": "mx2", "series": "aa", "number": 1, "at": "2026-01-01T00:00:00Z"})
    credential = fleet.credential("mx1")
    assert fleet.post("v1/hosts/mx2", credential, body.encode()) == 403
    assert fleet.post("v1/hosts/mx1", credential, body.encode()) == 400
    assert fleet.post("v1/hosts/mx1", "mx1:wrong", body.encode()) == 401
    assert fleet.post("v1/hosts/mx2", fleet.credential("mx2"), body.encode()) == 200


def test_what_is_no_report_is_refused(fleet: Fleet) -> None:
    fleet.host("mx1")
    refused = {
        b"": 400,
        b"{": 400,
        b"[]": 400,
        b'{"host": "mx1", "series": "zz", "number": 1, "at": "2026-01-01T00:00:00Z"}': 400,
        b'{"host": "mx1", "series": "aa", "number": 0, "at": "2026-01-01T00:00:00Z"}': 400,
        b" " * (MAX_REPORT_BYTES + 1): 413,
    }
    credential = fleet.credential("mx1")
    answers = {body: fleet.post("v1/hosts/mx1", credential, body) for body in refused}
    assert answers == refused


def test_a_newer_hosts_report_is_taken(fleet: Fleet) -> None:
    fleet.host("mx1")
    told = {"host": "mx1", "series": "aa", "number": 1, "at": "2026-01-01T00:00:00Z"}
    body = json.dumps({**told, "schema": 7, "unheard_of": {"deep": [1]}}).encode()
    assert fleet.post("v1/hosts/mx1", fleet.credential("mx1"), body) == 200


def test_a_flood_of_reports_is_slowed_down(fleet: Fleet) -> None:
    fleet.host("mx1")
    credential = fleet.credential("mx1")
    codes = [fleet.post("v1/hosts/mx1", credential, b"{") for _ in range(200)]
    assert 429 in codes


def test_definitions_are_served_while_the_database_is_broken(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    fleet.found()
    config = fleet.config.read_text()
    fleet.config.write_text(config + '[fleet]\ndatabase = "sqlite:////proc/none/fleet.db"\n')
    with Process.started(fleet.config, tmp_path / "log") as process:
        fleet.url = f"http://{process.address}"
        fleet.publish("rule one")
        host = fleet.host("mx1")
        host.sigupdate("run")
        assert host.waiting() == 1
        assert process.told("fleet")
        why = ("--reason", "two\nlines")
        fleet.sigmirror("config", "set", "interval_seconds", "600", "--all", *why)
        fleet.sigmirror("ignore", "add", "Bad.Rule", "--channel", "inhouse", *why)
        assert "interval_seconds = 600" in fleet.sigmirror("config", "show")
        assert "  two lines\n" in fleet.sigmirror("ignore", "list")


def test_explain_says_why_a_host_is_on_its_release(fleet: Fleet) -> None:
    fleet.publish("rule one")
    host = fleet.host("mx1")
    host.sigupdate("run")
    assert "that is what it should read" in fleet.sigmirror("explain", "mx1", "inhouse")
    fleet.publish("rule two")
    told = fleet.sigmirror("explain", "mx1", "inhouse", code=1)
    assert "reads release 1 of inhouse; its track stable offers release 2" in told
    assert "before release 2 was published" in told
    shown = fleet.sigmirror("host", "show", "mx1")
    assert "inhouse 1" in shown
    assert re.search(r"generation 1, installed, probed since 2.*, track stable", shown)
    assert "  it told nothing of the site's settings\n" in shown
    fleet.sigmirror("pin", "mx1", "inhouse", "1", "--reason", "works there")
    fleet.sigmirror("hold", "channel", "inhouse", "--reason", "a freeze")
    told = fleet.sigmirror("explain", "mx1", "inhouse")
    assert "it is pinned to release 1\n  that is what it should read" in told
    fleet.sigmirror("unpin", "mx1", "inhouse", "--reason", "seen")
    told = fleet.sigmirror("explain", "mx1", "inhouse", code=1)
    assert "no track of this channel moves: a freeze" in told
    fleet.sigmirror("withdraw", "inhouse", "--reason", "slow")
    assert "withdrawn on this mirror: 2" in fleet.sigmirror("explain", "mx1", "inhouse")
    fleet.host("mx2")
    why = ("--reason", "a slip of the pen")
    unknown: dict[tuple[str, ...], tuple[int, str]] = {
        ("explain", "mx1", "unheard-of"): (2, "channel 'unheard-of': not on this mirror"),
        ("explain", "mx2", "inhouse"): (2, "host 'mx2': admitted 20"),
        ("hosts", "--channel", "in-house"): (2, "channel 'in-house': no host reads it"),
        ("host", "show", "mx9"): (2, "host 'mx9': nobody knows it"),
        ("pin", "mx9", "inhouse", "1", *why): (2, "host mx9: not admitted"),
        ("pin", "mx1", "inhouse", "7", *why): (1, "no release 7"),
        ("pin", "mx1", "in-house", "1", *why): (1, "channel in-house: has no release"),
        ("promote", "in-house"): (1, "channel in-house: has no release"),
    }
    for words, (code, message) in unknown.items():
        assert message in fleet.sigmirror(*words, code=code, errors=True)
