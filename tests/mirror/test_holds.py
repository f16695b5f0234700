"""Releases that shrink are held: by a drop folder, by hand, across restarts and crashes."""

import json
import os
from pathlib import Path

import pytest

from keys import files
from tests.mirror import kill_points
from tests.mirror.operator import Operator, now

BIG, SMALL, OTHER = b"x" * 1000, b"y" * 100, b"z" * 200


@pytest.fixture
def operator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    """Someone whose folder brought one release of 1000 bytes."""
    one = Operator(tmp_path, capsys)
    bring(one, BIG)
    assert one.types("pull")[0] == 0
    return one


def bring(operator: Operator, data: bytes) -> None:
    (operator.drop / "rules").write_bytes(data)


def offered(operator: Operator) -> dict[str, bytes]:
    return operator.client.contents("inhouse", now=now())


def outcome(operator: Operator) -> str:
    found: str = operator.asks("pull", "inhouse")["pulls"][0]["outcome"]
    return found


def held(operator: Operator) -> Path:
    return operator.mirror.folder / "held/inhouse/inhouse"


def journal(operator: Operator) -> list[dict[str, object]]:
    return [json.loads(line) for line in operator.mirror.journal.read_text().splitlines()]


def test_a_release_that_shrinks_is_held_and_the_last_one_stays(operator: Operator) -> None:
    bring(operator, SMALL)
    code, out, _ = operator.types("pull", "inhouse")
    assert code == 0
    assert "inhouse: held; " in out
    assert "shrinks to 10 % (1000 -> 100 bytes); below 80 % a release is held" in out
    assert offered(operator) == {"rules": BIG}
    (row,) = operator.asks("hold", "list")
    assert (row["channel"], row["percent"], row["bytes_before"], row["bytes"]) == (
        "inhouse",
        10,
        1000,
        100,
    )
    assert "percent=10" in operator.types("hold", "list")[1]


def test_what_is_held_is_not_brought_again(operator: Operator) -> None:
    bring(operator, SMALL)
    assert outcome(operator) == "held"
    before = sorted(held(operator).rglob("*"))
    assert outcome(operator) == "held"
    assert sorted(held(operator).rglob("*")) == before


def test_what_is_held_is_published_by_an_operators_word_with_who_and_why(
    operator: Operator,
) -> None:
    bring(operator, SMALL)
    outcome(operator)
    code, out, _ = operator.types("hold", "release", "inhouse", "--reason", "merged two files")
    assert code == 0
    assert "inhouse: published; stable is release 2" in out
    assert offered(operator) == {"rules": SMALL}
    last = journal(operator)[-1]
    assert (last["what"], last["why"]) == ("release", "merged two files")
    assert "sigmirror hold release inhouse" in str(last["who"])
    assert operator.asks("hold", "list") == []
    assert not held(operator).exists()
    assert outcome(operator) == "unchanged"
    assert operator.asks("status")["problems"] == []


def test_what_was_dropped_is_not_brought_again_and_the_next_version_is(
    operator: Operator,
) -> None:
    bring(operator, SMALL)
    outcome(operator)
    code, out, _ = operator.types("hold", "drop", "inhouse", "--reason", "a slip")
    assert code == 0
    assert "is dropped" in out
    assert [one["what"] for one in journal(operator)] == ["release", "hold", "drop"]
    assert journal(operator)[-1]["why"] == "a slip"
    code, out, _ = operator.types("pull", "inhouse")
    assert (code, "inhouse: dropped; " in out, ": a slip" in out) == (0, True, True)
    assert operator.asks("hold", "list") == []
    assert [path.name for path in held(operator).iterdir()] == ["hold.json"]
    assert operator.types("hold", "release", "inhouse", "--reason", "x")[0] == 1
    bring(operator, OTHER)
    assert outcome(operator) == "held"
    bring(operator, BIG + b"more")
    assert outcome(operator) == "published"
    assert not held(operator).exists()


def test_a_smaller_release_replaces_the_one_that_is_held(operator: Operator) -> None:
    bring(operator, SMALL)
    outcome(operator)
    bring(operator, OTHER)
    assert outcome(operator) == "held"
    (row,) = operator.asks("hold", "list")
    assert row["bytes"] == len(OTHER)
    kept = [path for path in held(operator).rglob("*") if path.is_file()]
    assert sorted(path.name for path in kept) == ["hold.json", "rules"]
    operator.asks("hold", "release", "inhouse", "--reason", "fine")
    assert offered(operator) == {"rules": OTHER}


def test_a_vendor_who_goes_back_to_what_is_published_ends_the_hold(operator: Operator) -> None:
    stat = (operator.drop / "rules").stat()
    bring(operator, SMALL)
    outcome(operator)
    bring(operator, BIG)
    os.utime(operator.drop / "rules", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert outcome(operator) == "unchanged"
    assert not held(operator).exists()


def test_a_lower_share_in_the_settings_lets_a_held_release_pass(operator: Operator) -> None:
    bring(operator, SMALL)
    outcome(operator)
    operator.write("hold_below_percent = 5\n")
    assert outcome(operator) == "published"
    assert offered(operator) == {"rules": SMALL}
    assert not held(operator).exists()


def test_a_share_of_zero_holds_nothing(operator: Operator) -> None:
    operator.write("hold_below_percent = 0\n")
    bring(operator, b"-")
    assert outcome(operator) == "published"


def test_a_held_file_that_changed_on_disk_is_not_published(operator: Operator) -> None:
    bring(operator, SMALL)
    outcome(operator)
    (file,) = held(operator).rglob("rules")
    file.unlink()
    file.write_bytes(b"evil" * 25)
    code, _, err = operator.types("hold", "release", "inhouse", "--reason", "fine")
    assert code == 3
    assert "error: channel inhouse: rules is not the file that was held" in err
    assert f"remove {held(operator) / 'hold.json'}: the next pull brings" in err
    assert offered(operator) == {"rules": BIG}
    (held(operator) / "hold.json").unlink()
    assert outcome(operator) == "held"
    operator.asks("hold", "release", "inhouse", "--reason", "fine")
    assert offered(operator) == {"rules": SMALL}


def test_a_damaged_record_is_told_and_names_its_remedy(operator: Operator) -> None:
    bring(operator, SMALL)
    outcome(operator)
    (held(operator) / "hold.json").write_text("{")
    code, _, err = operator.types("pull", "inhouse")
    assert code == 1
    assert "hint: remove the file" in err
    assert any("hold.json" in problem for problem in operator.asks("status")["problems"])
    (held(operator) / "hold.json").unlink()
    assert outcome(operator) == "held"


def test_a_reason_is_needed(operator: Operator) -> None:
    for word in ("release", "drop"):
        assert operator.types("hold", word, "inhouse")[0] == 2
        assert operator.types("hold", word, "inhouse", "--reason", " ")[0] == 2


def test_a_channel_without_a_hold_is_named(operator: Operator) -> None:
    code, _, err = operator.types("hold", "release", "rules", "--reason", "x")
    assert code == 1
    assert "error: channel 'rules': nothing is held" in err


def test_a_hold_of_an_upstream_that_left_the_settings_can_only_be_dropped(
    operator: Operator,
) -> None:
    bring(operator, SMALL)
    outcome(operator)
    text = operator.config.read_text()
    operator.config.write_text(text.replace('name = "inhouse"', 'name = "other"'))
    assert operator.types("hold", "release", "inhouse", "--reason", "x")[0] == 2
    assert operator.types("hold", "drop", "inhouse", "--reason", "x")[0] == 0


def test_a_decision_waits_for_a_pull_that_is_under_way(operator: Operator) -> None:
    bring(operator, SMALL)
    outcome(operator)
    lock = operator.mirror.folder / "state/upstreams/inhouse.lock"
    words = ("hold", "release", "inhouse", "--reason", "x", "--wait", "0")
    with files.lock(lock, what="a pull"):
        code, _, err = operator.types(*words)
    assert code == 1
    assert "error: upstream inhouse: another process is at work" in err
    assert offered(operator) == {"rules": BIG}
    assert operator.types(*words)[0] == 0


def test_by_hand_a_release_that_shrinks_needs_a_word_more(
    operator: Operator, tmp_path: Path
) -> None:
    folder = tmp_path / "byhand"
    folder.mkdir()
    (folder / "rules").write_bytes(SMALL)
    code, _, err = operator.types("publish", "inhouse", str(folder))
    assert code == 1
    assert "shrinks to 10 % (1000 -> 100 bytes)" in err
    assert "--allow-shrink" in err
    assert offered(operator) == {"rules": BIG}
    assert operator.types("publish", "inhouse", str(folder), "--allow-shrink")[0] == 0
    assert offered(operator) == {"rules": SMALL}


def test_a_hold_is_an_open_problem_of_the_status(operator: Operator) -> None:
    bring(operator, SMALL)
    outcome(operator)
    found = operator.asks("status")
    (upstream,) = found["upstreams"]
    assert upstream["state"] == "held"
    (one,) = upstream["held"]
    assert (one["channel"], one["percent"]) == ("inhouse", 10)
    (problem,) = found["problems"]
    assert "shrinks to 10 %" in problem
    assert "sigmirror hold release inhouse" in problem
    assert "held" in operator.types("status")[1]


OPEN = """
from datetime import UTC, datetime
from mirror.cli.options import open_site
from mirror.decision import Decision
from mirror.edition import Order
site, at = open_site(Path(sys.argv[1])), datetime.now(UTC)
"""
PULL = OPEN + "run(site.ingest('inhouse').pull(now=at, by=Order('me'), by_hand=True))"
DECIDE = """
(hold,) = site.holds.all()
decision = Decision(site.holds, site.pull_state("inhouse"), Order("me", "why"), at)
"""
DROP = OPEN + DECIDE + "run(decision.drop(hold))"
RELEASE = (
    OPEN
    + DECIDE
    + """
run(decision.release(hold, site.destination(site.upstream_settings("inhouse"))))
"""
)


class Crashes:
    """One operator's mirror after the other, each with a big release and a small one to come."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], *, hold: bool) -> None:
        self.folder = folder
        self.capsys = capsys
        self.hold = hold
        self.rounds = 0
        self.operator = self._next()

    def fresh(self) -> list[str]:
        self.operator = self._next()
        return [str(self.operator.config)]

    def _next(self) -> Operator:
        self.rounds += 1
        folder = self.folder / f"round-{self.rounds}"
        folder.mkdir()
        operator = Operator(folder, self.capsys)
        bring(operator, BIG)
        assert outcome(operator) == "published"
        bring(operator, SMALL)
        if self.hold:
            assert outcome(operator) == "held"
        return operator

    def every_kill(self, program: str) -> None:
        kill_points.need_strace()
        log = self.folder / "log"
        kills = kill_points.every_kill(program, log=log, fresh=self.fresh, check=self.check)
        with self.capsys.disabled():
            print(f"killed at {kills} points")
        assert kills > 5

    def check(self, when: str) -> None:
        raise NotImplementedError


class PullCrashes(Crashes):
    def check(self, when: str) -> None:
        assert offered(self.operator) == {"rules": BIG}, when
        assert outcome(self.operator) == "held", when
        kept = [path.name for path in held(self.operator).rglob("*") if path.is_file()]
        assert sorted(kept) == ["hold.json", "rules"], when
        self.operator.asks("hold", "release", "inhouse", "--reason", "fine")
        assert offered(self.operator) == {"rules": SMALL}, when


class ReleaseCrashes(Crashes):
    def check(self, when: str) -> None:
        assert offered(self.operator) in ({"rules": BIG}, {"rules": SMALL}), when
        if self.operator.asks("hold", "list"):
            self.operator.asks("hold", "release", "inhouse", "--reason", "once more")
        assert offered(self.operator) == {"rules": SMALL}, when
        assert outcome(self.operator) == "unchanged", when
        assert not held(self.operator).exists(), when


class DropCrashes(Crashes):
    def check(self, when: str) -> None:
        assert offered(self.operator) == {"rules": BIG}, when
        if self.operator.asks("hold", "list"):
            self.operator.types("hold", "drop", "inhouse", "--reason", "once more")
        assert outcome(self.operator) == "dropped", when
        assert offered(self.operator) == {"rules": BIG}, when


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("kind", "program", "hold"),
    [(PullCrashes, PULL, False), (ReleaseCrashes, RELEASE, True), (DropCrashes, DROP, True)],
    ids=["pull", "release", "drop"],
)
def test_a_kill_at_any_change_publishes_nothing_unasked_and_loses_nothing(
    kind: type[Crashes], program: str, hold: bool, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    kind(tmp_path, capsys, hold=hold).every_kill(program)
