"""Bytes a definition must find, made from the definition; and the rules of the comparison."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from updater.plain.comparison import Outcome, Runs, Setting, compare
from updater.plain.disk import Database, Folder
from updater.plain.running import Running, Seen
from updater.plain.samples import FORMS, MAX_SAMPLES, last_of, may_matter, of_rules

NOW = datetime(2026, 3, 1, tzinfo=UTC)
BEFORE, AFTER = NOW - timedelta(hours=1), NOW + timedelta(hours=1)
SETTING = Setting(official_only=False, runs_command=False, changed=BEFORE)


@pytest.mark.parametrize(
    ("form", "line", "held"),
    [
        (".ndb", b"A:0:*:6162636465666768", b"abcdefgh"),
        (".ndb", b"A:0:0:6162636465666768:51", b"abcdefgh"),
        (".ldb", b"A;Target:0;0&1;6162636465666768;6969696969696969", b"abcdefgh iiiiiiii"),
        (".ldb", b"A;Engine:51-255,Target:0;0;6162636465666768", b"abcdefgh"),
        (".hdb", b"44d88612fea8a8f36de82e1278abb02f:68:A", b"EICAR"),
        (".ndb", b"A:1:*:6162636465666768", None),
        (".ndb", b"A:0:*:61626364??666768", None),
        (".ndb", b"A:0:*:6162", None),
        (".ndb", b"A:0:*:6162636465666768:0:38", None),
        (".ndb", b"PUA.A:0:*:6162636465666768", None),
        (".ldb", b"A;Target:0;0|1;6162636465666768;6969696969696969", None),
        (".ldb", b"A;Target:0;0&7;6162636465666768", None),
        (".ldb", b"A;Target:0;0;6162636465666768::i", None),
        (".hdb", b"00000000000000000000000000000000:68:A", None),
        (".cdb", b"A:0:*:6162636465666768", None),
    ],
)
def test_samples_are_made_of_what_any_file_can_hold(
    form: str, line: bytes, held: bytes | None
) -> None:
    made = last_of(form, [line], frozenset())
    assert [sample.name for sample in made] == (["A"] if held else [])
    assert all(held and held in sample.data for sample in made)


def test_the_last_definitions_are_tried_and_ignored_ones_are_not() -> None:
    lines = [b"N%d:0:*:%s" % (n, b"61" * 20) for n in range(9)]
    assert [s.name for s in last_of(".ndb", lines, frozenset({"N7"}))] == ["N8", "N6", "N5"]


def test_a_part_of_digests_that_names_no_known_file_is_passed_over() -> None:
    assert not may_matter(".hsb", b"0" * 64 + b":68:A\n")
    assert may_matter(".hdb", b"x\n44d88612fea8a8f36de82e1278abb02f:68:A\n")
    assert may_matter(".ndb", b"anything")


def test_a_plain_yara_rule_makes_a_sample() -> None:
    text = b'rule one : tag { meta: a = "b" strings: $a = "hello world" condition: $a }\n'
    text += b'rule two { strings: $a = "x" nocase condition: #a > 3 }'
    assert [(s.name, b"hello world" in s.data) for s in of_rules(text)] == [("YARA.one", True)]


@given(st.sampled_from(sorted(FORMS)), st.lists(st.binary(max_size=80)))
def test_whatever_a_file_holds_few_samples_come_of_it(form: str, lines: list[bytes]) -> None:
    assert len(last_of(form, lines, frozenset())) <= MAX_SAMPLES
    assert len(of_rules(b"\n".join(lines))) <= MAX_SAMPLES


@pytest.mark.parametrize(
    ("name", "changed", "version", "seen", "runs"),
    [
        ("a.ndb", BEFORE, 0, Seen(), Runs.same),
        ("a.ndb", NOW, 0, Seen(), Runs.unknown),
        ("a.ndb", AFTER, 0, Seen(found="x"), Runs.same),
        ("a.ndb", AFTER, 0, Seen(missed="x"), Runs.differs),
        ("a.ndb", AFTER, 0, Seen(found="y", missed="x"), Runs.differs),
        ("a.ndb", BEFORE, 0, Seen(missed="x"), Runs.unknown),
        ("a.ndb", AFTER, 0, Seen(hidden="x"), Runs.unknown),
        ("a.yar", BEFORE, 0, Seen(), Runs.unknown),
        ("a.yar", BEFORE, 0, Seen(found="x"), Runs.same),
        ("daily.cvd", AFTER, 7, Seen(), Runs.same),
        ("daily.cvd", BEFORE, 8, Seen(found="x"), Runs.differs),
    ],
)
def test_what_runs_is_shown_by_scans_by_time_and_by_the_version_of_daily(
    name: str, changed: datetime, version: int, seen: Seen, runs: Runs
) -> None:
    one = Database(name, 1, changed, version=version)
    running = Running("ClamAV 1.4.6/7/x", 7, NOW, {name: seen})
    found = compare(_folder(one), running, SETTING)
    assert found.lines[0].runs is runs
    assert (found.outcome is Outcome.same) == (runs is Runs.same)


@pytest.mark.parametrize(
    "running", [Running("ClamAV 1.4.6", 0, None), Running("ClamAV 1.4.6", 0, BEFORE)]
)
def test_time_shows_nothing_where_the_start_is_unknown_or_the_settings_are_newer(
    running: Running,
) -> None:
    old = Database("a.hdb", 1, BEFORE - timedelta(days=1))
    found = compare(_folder(old), running, SETTING)
    assert (found.outcome, len(found.notes)) == (Outcome.unknown, 1)


def _folder(one: Database) -> Folder:
    return Folder(Path("/db"), BEFORE - timedelta(days=1), (one,))
