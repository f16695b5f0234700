"""A bad release reaches the canary host and no other; one command stops or undoes the rest."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet import Fleet, Host
from tests.mirror.serving import wait_for

PADDING = "never-in-any-sample-" * 50  # a release of much the same size as the others
PROVES = """\
prove_command = ["sh", "-c", "grep -q -f {folder}/inhouse/rules.txt || exit 0; echo Rule; exit 1"]
"""
pytestmark = pytest.mark.slow


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path)
    fleet.found()
    config = fleet.config.read_text()
    top = 'canary = ["inhouse"]\n'
    fleet.config.write_text(top + config + "[rollout]\nsoak_seconds = 0\n")
    with fleet.running():
        yield fleet


@pytest.fixture
def hosts(fleet: Fleet) -> list[Host]:
    """One host on canary, four on stable; release 1 is everywhere."""
    clean = fleet.folder / "must_pass"
    clean.mkdir()
    (clean / "mail").write_text("an honest letter\n")
    test = "! grep -q BROKEN {folder}/inhouse/rules.txt"
    engine = f'must_pass = "{clean}"\ntest_command = ["sh", "-c", "{test}"]\n'
    made = [fleet.host(f"mx{n}", engine=PROVES + engine) for n in range(5)]
    for host in made:
        config = host.folder / "sigupdate.toml"
        text = config.read_text().replace('test_command = ["true"]\n', "", 1)
        if host.name == "mx0":
            text = text.replace(
                'channels = ["inhouse"]', 'channels = ["inhouse"]\ntrack = "canary"'
            )
        config.write_text(text)
    release(fleet, "first-pattern")
    made[0].sigupdate("run")
    wait_for(lambda: stable(fleet) == 1, "the promotion of release 1")
    for host in made[1:]:
        host.sigupdate("run")
    assert [line["loads"][0]["sequence"] for line in fleet.hosts()] == [1] * 5
    return made


def release(fleet: Fleet, text: str) -> None:
    folder = fleet.folder / "release"
    folder.mkdir(exist_ok=True)
    (folder / "rules.txt").write_text(f"{text}\n{PADDING}\n")
    fleet.sigmirror("publish", "inhouse", folder, "--track", "canary")


def stable(fleet: Fleet) -> int:
    site = json.loads(fleet.sigmirror("status", "--json"))["repositories"][0]
    found = next(one for one in site["channels"] if one["name"] == "inhouse")
    return int(found["tracks"].get("stable", 0))


def runs(hosts: list[Host]) -> list[int]:
    """Let every host run once more; return the release each reads then."""
    for host in hosts:
        host.sigupdate("run", code=None)
    return [line["loads"][0]["sequence"] for line in hosts[0].fleet.hosts(code=None)]


@pytest.mark.parametrize("bad", ["BROKEN", "honest"])
def test_a_bad_release_reaches_one_host_and_never_four(
    fleet: Fleet, hosts: list[Host], bad: str
) -> None:
    release(fleet, bad)
    hosts[0].sigupdate("run", code=5)
    assert runs(hosts[1:]) == [1] * 5
    process = fleet.process
    assert process is not None
    wait_for(lambda: process.told("canary", outcome="failed"), "the failure to be told")
    assert stable(fleet) == 1
    told = fleet.sigmirror("promote", "inhouse", code=2, errors=True)
    assert "failed on mx0" in told
    release(fleet, "second-pattern")
    hosts[0].sigupdate("run")
    wait_for(lambda: stable(fleet) == 3, "the promotion of the good release")
    assert runs(hosts[1:]) == [3] * 5


def test_one_command_takes_a_release_back_from_every_host(fleet: Fleet, hosts: list[Host]) -> None:
    release(fleet, "second-pattern")
    hosts[0].sigupdate("run")
    wait_for(lambda: stable(fleet) == 2, "the promotion of release 2")
    assert runs(hosts) == [2] * 5
    fleet.sigmirror("withdraw", "inhouse", "--reason", "false positives")
    assert runs(hosts) == [1] * 5
    assert stable(fleet) == 1
    fleet.sigmirror("publish", "inhouse", fleet.folder / "release", "--track", "canary")
    assert "false positives" in (fleet.folder / "mirror/state/publish.jsonl").read_text()


def test_a_held_channel_stays_and_resumes_with_what_came_meanwhile(
    fleet: Fleet, hosts: list[Host]
) -> None:
    fleet.sigmirror("hold", "channel", "inhouse", "--reason", "a freeze")
    release(fleet, "second-pattern")
    assert runs(hosts) == [1] * 5
    assert "a freeze" in fleet.sigmirror("status")
    fleet.sigmirror("resume", "inhouse", "--reason", "over")
    hosts[0].sigupdate("run")
    wait_for(lambda: stable(fleet) == 2, "the promotion of release 2")
    assert runs(hosts[1:]) == [2] * 5


def test_a_pinned_host_reads_its_own_release(fleet: Fleet, hosts: list[Host]) -> None:
    fleet.sigmirror("pin", "mx1", "inhouse", "1", "--reason", "works there")
    release(fleet, "second-pattern")
    hosts[0].sigupdate("run")
    wait_for(lambda: stable(fleet) == 2, "the promotion of release 2")
    assert runs(hosts) == [2, 1, 2, 2, 2]
    fleet.sigmirror("unpin", "mx1", "inhouse", "--reason", "fixed")
    assert runs(hosts) == [2] * 5
