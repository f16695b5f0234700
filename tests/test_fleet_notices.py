"""What hosts report becomes notices, with real hosts and a real mirror on loopback."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.fleet import Fleet, Host


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path)
    fleet.found()
    with fleet.running():
        fleet.publish("rule one")
        yield fleet


def told(fleet: Fleet) -> list[str]:
    return [one["key"] for one in json.loads(fleet.sigmirror("notify", "--json"))["notices"]]


def breaks(host: Host) -> None:
    path = host.folder / "sigupdate.toml"
    path.write_text(path.read_text().replace('test_command = ["true"]', 'test_command = ["false"]'))


def test_a_release_that_fails_on_a_canary_host_is_told_apart(fleet: Fleet) -> None:
    hosts = [fleet.host("mx1", engine='track = "canary"\n'), fleet.host("mx2")]
    fleet.sigmirror("point", "inhouse", "canary", "1", "--reason", "a first one")
    for host in hosts:
        host.sigupdate("run")
    assert told(fleet) == []
    fleet.publish("rule two")
    fleet.sigmirror("point", "inhouse", "canary", "2", "--reason", "to try it")
    for host in hosts:
        breaks(host)
        host.sigupdate("run", code=5)
    assert told(fleet) == ["canary/mx1/scan", "unproven/mx2/scan"]
    status = fleet.sigmirror("status", "--check", code=1)
    assert "problem: canary mx1/scan took the newest release back" in status
    assert "problem: host mx2/scan is rolled back" in status


def test_a_host_that_never_reported_is_told_once_it_had_its_time(fleet: Fleet) -> None:
    fleet.host("mx1")
    assert told(fleet) == []
    path = fleet.folder / "mirror/state/hosts.json"
    record = json.loads(path.read_text())
    long_ago = datetime.now(UTC) - timedelta(hours=27)
    record["hosts"]["mx1"]["created"] = long_ago.isoformat()
    path.write_text(json.dumps(record))
    assert told(fleet) == ["stale/mx1"]
    assert "problem: host mx1 is silent: never reported" in fleet.sigmirror("status")


def test_a_fleet_that_cannot_be_asked_is_a_problem_of_its_own(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    fleet.found()
    fleet.publish("rule one")
    config = fleet.config.read_text()
    fleet.config.write_text(config + '[fleet]\ndatabase = "sqlite:////proc/none/fleet.db"\n')
    status = fleet.sigmirror("status", "--check", code=1)
    assert "WARNING - fleet.database: sqlite:////proc/none/fleet.db" in status
    assert told(fleet) == []
