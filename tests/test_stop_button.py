"""A bad release reaches the canary host and no other; one command stops or undoes the rest."""

import json
import secrets
from collections.abc import Iterator

import pytest

from tests.fleet import Fleet, Host
from tests.mirror.serving import wait_for

PADDING = "never-in-any-sample-" * 50  # a release of much the same size as the others
PROVES = """\
prove_command = ["sh", "-c", "grep -q -f {folder}/inhouse/rules.txt || exit 0; echo Rule; exit 1"]
"""
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("stop-button")]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path_factory.mktemp("fleet"))
    fleet.found()
    config = fleet.config.read_text()
    top = 'canary = ["inhouse"]\n'
    fleet.config.write_text(top + config + "[rollout]\nsoak_seconds = 0\n")
    with fleet.running():
        yield fleet


@pytest.fixture(scope="module")
def hosts(fleet: Fleet) -> list[Host]:
    """One host on canary, four on stable; one release is everywhere."""
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
    number = promoted(fleet, made)
    assert runs(made[1:]) == [number] * 5
    return made


@pytest.fixture
def first(hosts: list[Host]) -> int:
    """Return the release that every host reads: each test leaves all of them on its last one."""
    (number,) = {line["loads"][0]["sequence"] for line in hosts[0].fleet.hosts()}
    return int(number)


def promoted(fleet: Fleet, hosts: list[Host]) -> int:
    """Let the canary host prove a good release, so that stable follows; return its number."""
    number = release(fleet, f"pattern-{secrets.token_hex(8)}")
    hosts[0].sigupdate("run")
    wait_for(lambda: stable(fleet) == number, f"the promotion of release {number}")
    return number


def release(fleet: Fleet, text: str) -> int:
    folder = fleet.folder / "release"
    folder.mkdir(exist_ok=True)
    (folder / "rules.txt").write_text(f"{text}\n{PADDING}\n")
    told = fleet.sigmirror("publish", "inhouse", folder, "--track", "canary", "--json")
    return int(json.loads(told)["sequence"])


def stable(fleet: Fleet) -> int:
    site = json.loads(fleet.sigmirror("status", "--json"))["repositories"][0]
    found = next(one for one in site["channels"] if one["name"] == "inhouse")
    return int(found["tracks"].get("stable", 0))


def runs(hosts: list[Host]) -> list[int]:
    """Let every host run once more; return the release each reads then."""
    for host in hosts:
        host.sigupdate("run", code=None)
    return [line["loads"][0]["sequence"] for line in hosts[0].fleet.hosts(code=None)]


@pytest.mark.parametrize("text", ["BROKEN", "honest"])
def test_a_bad_release_reaches_one_host_and_never_four(
    fleet: Fleet, hosts: list[Host], first: int, text: str
) -> None:
    bad = release(fleet, text)
    hosts[0].sigupdate("run", code=5)
    assert runs(hosts[1:]) == [first] * 5
    wait_for(lambda: is_told(fleet, bad), "the failure to be told")
    assert stable(fleet) == first
    told = fleet.sigmirror("promote", "inhouse", code=2, errors=True)
    assert "failed on mx0" in told
    good = promoted(fleet, hosts)
    assert runs(hosts[1:]) == [good] * 5


def is_told(fleet: Fleet, bad: int) -> bool:
    """Tell whether the mirror's log says that a release failed on canary."""
    assert fleet.process
    told = fleet.process.events("canary")
    failed = [event["message"] for event in told if event["outcome"] == "failed"]
    return any(f"release {bad} on canary" in message for message in failed)


def test_one_command_takes_a_release_back_from_every_host(
    fleet: Fleet, hosts: list[Host], first: int
) -> None:
    second = promoted(fleet, hosts)
    assert runs(hosts) == [second] * 5
    fleet.sigmirror("withdraw", "inhouse", "--reason", "false positives")
    assert runs(hosts) == [first] * 5
    assert stable(fleet) == first
    fleet.sigmirror("publish", "inhouse", fleet.folder / "release", "--track", "canary")
    assert "false positives" in (fleet.folder / "mirror/state/publish.jsonl").read_text()
    third = promoted(fleet, hosts)
    assert runs(hosts[1:]) == [third] * 5


def test_a_held_channel_stays_and_resumes_with_what_came_meanwhile(
    fleet: Fleet, hosts: list[Host], first: int
) -> None:
    fleet.sigmirror("hold", "channel", "inhouse", "--reason", "a freeze")
    second = release(fleet, "came-meanwhile")
    assert runs(hosts) == [first] * 5
    assert "a freeze" in fleet.sigmirror("status")
    fleet.sigmirror("resume", "inhouse", "--reason", "over")
    hosts[0].sigupdate("run")
    wait_for(lambda: stable(fleet) == second, "the promotion of what came meanwhile")
    assert runs(hosts[1:]) == [second] * 5


def test_a_pinned_host_reads_its_own_release(fleet: Fleet, hosts: list[Host], first: int) -> None:
    fleet.sigmirror("pin", "mx1", "inhouse", str(first), "--reason", "works there")
    second = promoted(fleet, hosts)
    assert runs(hosts) == [second, first, second, second, second]
    fleet.sigmirror("unpin", "mx1", "inhouse", "--reason", "fixed")
    assert runs(hosts) == [second] * 5
