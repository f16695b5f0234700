"""A site sets its hosts' settings: real `sigmirror` and `sigupdate` processes over loopback."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import BIN, Fleet, run
from tests.mirror.serving import wait_for


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """Return a mirror that is founded and not running."""
    fleet = Fleet(tmp_path_factory.mktemp("idle"))
    fleet.found()
    return fleet


def config(fleet: Fleet, *words: object, code: int | None = 0) -> str:
    return fleet.sigmirror("config", *words, code=code)


def test_a_fleet_follows_its_sites_settings_and_says_which_host_does_not(
    fleet: Fleet, tmp_path: Path
) -> None:
    fleet.publish("rule one")
    mx1 = fleet.host("mx1")
    mx2 = fleet.host("mx2", '[remote_settings]\nallow = ["safe", "engine.*.overlay"]\n')
    for host in (mx1, mx2):
        host.sigupdate("run")

    assert "would be published" in config(
        fleet, "set", "limits.max_attempts", "5", "--all", "--dry-run"
    )
    assert "fragment 0: unchanged" in config(
        fleet, "unset", "jitter_seconds", "--all", "--reason", "none is set"
    )
    assert "nothing is set" in config(fleet, "show")
    said = config(fleet, "set", "limits.max_attempts", "5", "--all", "--reason", "slow link")
    assert said == "+ all: limits.max_attempts = 5\nfragment 1: published\n"
    said = config(fleet, "set", "limits.max_attempts", "5", "--all", "--reason", "again")
    assert said == "fragment 1: unchanged\n"
    said = config(
        fleet, "set", "engine.*.overlay", "/nonexistent", "--hosts", "mx1,mx2", "--reason", "typo"
    )
    assert "only hosts whose remote_settings.allow names it" in said

    mx1.sigupdate("run")
    done = run("sigupdate", "run", "--config", mx2.folder / "sigupdate.toml")
    assert (done.returncode, "fragment 2" in done.stderr) == (0, True)
    trouble = {line["host"]: line["trouble"] for line in fleet.hosts()}
    assert trouble["mx1"] == ""
    assert "fragment 2 is refused" in trouble["mx2"]
    shown = config(fleet, "show", "--host", "mx1")
    assert "in force there: fragment 2" in shown
    assert "left out there: engine.*.overlay: not allowed here" in shown
    assert "refused there: fragment 2" in fleet.sigmirror("host", "show", "mx2")
    assert "# in force on 1 of 2 hosts that told\n# refused by mx2\n" in config(fleet, "show")
    assert "fragment 2 refused" in mx2.sigupdate("status")

    assert "fragment 2: unchanged" in config(
        fleet, "unset", "jitter_seconds", "--all", "--reason", "none is set"
    )

    (tmp_path / "fleet.toml").write_text("[all]\nlimits.max_attempts = 6\n")
    pushed = config(fleet, "push", tmp_path / "fleet.toml", "--reason", "tidied")
    assert "- mx2: engine.*.overlay" in pushed
    assert "fragment 3: published" in pushed
    mx2.sigupdate("run")
    told = json.loads(mx2.sigupdate("check-config", "--json"))
    assert told["site"] == {"sequence": 3}
    values = {row["key"]: (row["value"], row["from"]) for row in told["values"]}
    assert values["limits.max_attempts"] == (6, "fragment 3")
    assert values["engine[0].kind"] == ("command", "file")
    assert fleet.hosts()[1]["trouble"] == ""

    lines = (tmp_path / "mirror/state/publish.jsonl").read_text().splitlines()
    log = [json.loads(line) for line in lines]
    orders = [entry for entry in log if entry["what"] == "config"]
    assert [entry["why"] for entry in orders] == ["slow link", "typo", "tidied"]
    assert [entry["sequence"] for entry in orders] == [1, 2, 3]
    assert orders[0]["name"] == "+ all: limits.max_attempts = 5"
    assert all("sigmirror config" in entry["who"] for entry in orders)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("set", "jitter_seconds", "5", "--reason", "x"), "say for whom"),
        (("set", "jitter_seconds", "5", "--all"), "--reason"),
        (("set", "intervall_seconds", "5", "--all", "--reason", "x"), "interval_seconds"),
        (("set", "interval_seconds", "1", "--all", "--reason", "x"), ">= 10"),
        (("set", "user", "root", "--all", "--reason", "x"), "no setting that a site can set"),
        (("set", "jitter_seconds", "5", "--hosts", "mx9", "--reason", "x"), "not admitted: mx9"),
        (("push", "/nonexistent", "--reason", "x"), "/nonexistent"),
    ],
    ids=["nobody", "no reason", "unknown", "out of bounds", "never", "unknown host", "no file"],
)
def test_a_mistake_is_named_and_nothing_is_signed(
    idle: Fleet, words: tuple[str, ...], said: str
) -> None:
    before = sorted((idle.folder / "mirror/r").rglob("*"))
    done = run("sigmirror", "config", *words, "--config", idle.config)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert sorted((idle.folder / "mirror/r").rglob("*")) == before


def test_a_daemon_takes_its_sites_settings_while_it_runs(fleet: Fleet) -> None:
    fleet.publish("rule one")
    host = fleet.host("mx1")
    config(fleet, "set", "report.heartbeat_seconds", "10", "--all", "--reason", "x")
    command = [str(BIN / "sigupdate"), "daemon", "--config", str(host.folder / "sigupdate.toml")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as daemon:
        try:
            wait_for(lambda: _told(fleet).get("sequence") == 1, "the first fragment")
            config(fleet, "set", "interval_seconds", "10", "--all", "--reason", "quicker")
            daemon.send_signal(1)
            wait_for(lambda: _told(fleet).get("sequence") == 2, "the second fragment")
            fleet.publish("rule two")
            wait_for(lambda: fleet.hosts()[0]["loads"][0]["sequence"] == 2, "the new interval")
        finally:
            daemon.terminate()


def _told(fleet: Fleet) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(config(fleet, "show", "--host", "mx1", "--json"))
    return found["told"] or {}
