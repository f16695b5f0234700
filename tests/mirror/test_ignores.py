"""`sigmirror ignore`: one signed list, changed by orders; and what a list may say."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import Error, LimitError, NameRefusedError
from keys.model.ignore import (
    IGNORE_TARGET,
    MAX_IGNORE_DAYS,
    MAX_IGNORED,
    Ignored,
    IgnoreList,
    bare,
    check_name,
)
from keys.model.release import decode, encode
from mirror.journal import Journal
from tests.mirror.operator import Operator

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def operator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    operator = Operator(tmp_path, capsys)
    (operator.drop / "rules.yar").write_text("rule Letter { condition: false }\n")
    assert operator.types("pull")[0] == 0
    return operator


def add(operator: Operator, name: str, *words: str) -> tuple[int, str, str]:
    return operator.types("ignore", "add", name, "--channel", "inhouse", *words)


def test_a_signature_is_listed_until_its_end_and_taken_off_by_any_of_its_names(
    operator: Operator,
) -> None:
    assert operator.types("ignore", "list")[1] == "nothing is ignored\n"
    code, out, _ = add(operator, "YARA.Letter.UNOFFICIAL", "--reason", "hits letters")
    assert (code, "Letter: ignored until" in out) == (0, True)
    add(operator, "Letter", "--expires", "1h", "--reason", "for an hour")
    (row,) = operator.asks("ignore", "list")
    assert (row["name"], row["channel"], row["reason"]) == ("Letter", "inhouse", "for an hour")
    ends = datetime.fromisoformat(row["expires"]) - datetime.fromisoformat(row["added"])
    assert ends == HOUR
    assert "Letter of channel inhouse (for an hour)" in operator.types("status")[1]
    words = ("--channel", "site/inhouse", "--reason", "was right")
    assert operator.types("ignore", "remove", "Letter.UNOFFICIAL", *words)[0] == 0
    assert operator.asks("ignore", "list") == []
    assert operator.types("ignore", "remove", "Letter", *words)[0] == 2
    journal = Journal(operator.mirror.folder / "state/publish.jsonl")
    said = [(e.what, e.channel, e.name, e.why) for e in journal.entries()][-3:]
    assert said == [
        ("ignore", "inhouse", "Letter", "hits letters"),
        ("ignore", "inhouse", "Letter", "for an hour"),
        ("unignore", "inhouse", "Letter", "was right"),
    ]
    assert operator.types("verify-log")[0] == 0


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        pytest.param("a*", (), "not the name of one", id="a wildcard"),
        pytest.param("a b", (), "not the name of one", id="a blank"),
        pytest.param("sigmirror_marker_g1_0", (), "kept for markers", id="a marker"),
        pytest.param("YARA.sigmirror_x", (), "kept for markers", id="a marker in clamd's words"),
        pytest.param("Heuristics.Encrypted.Zip", (), "heuristic", id="a heuristic"),
        pytest.param("a", ("--expires", "91d"), "90d", id="too long"),
        pytest.param("a", ("--expires", "0s"), "90d", id="not at all"),
        pytest.param("a", ("--channel", "paid"), "not on this mirror", id="no such channel"),
        pytest.param("a", ("--channel", "x/y"), "no such repository", id="no such repository"),
    ],
)
def test_an_order_that_cannot_be_is_refused(
    operator: Operator, name: str, words: tuple[str, ...], message: str
) -> None:
    code, _, err = add(operator, name, "--reason", "x", *words)
    assert (code, message in err) == (2, True), err
    assert operator.asks("ignore", "list") == []


def entry(name: str, hours: int = 1, *, at: datetime = NOW) -> Ignored:
    return Ignored("a", name, at, at + hours * HOUR)


def test_what_ended_leaves_room_for_more() -> None:
    full = IgnoreList(entries=tuple(entry(f"n{number}") for number in range(MAX_IGNORED)))
    with pytest.raises(LimitError, match="MAX_IGNORED"):
        full.adding(entry("one"))
    after = full.adding(entry("one", at=NOW + HOUR))
    assert [known.name for known in after.entries] == ["one"]


@given(st.text(max_size=220))
def test_every_text_is_a_name_or_refused(text: str) -> None:
    try:
        name = check_name(text)
    except NameRefusedError:
        return
    line = name.encode("ascii")
    assert not set(line) & set(b' \t\r\n:#"\\,;*?\0')
    assert check_name(bare(name) or "x")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_list_or_refused(data: bytes) -> None:
    try:
        found = decode(data, IgnoreList, IGNORE_TARGET)
    except Error:
        return
    assert decode(encode(found), IgnoreList, IGNORE_TARGET) == found


@given(
    st.lists(
        st.tuples(st.sampled_from(["One", "Two", "Three"]), st.integers(1, 24 * MAX_IGNORE_DAYS)),
        max_size=8,
    ),
    st.integers(0, 24 * MAX_IGNORE_DAYS),
)
def test_the_last_word_on_a_name_holds_until_its_end(
    orders: list[tuple[str, int]], passed: int
) -> None:
    known = IgnoreList()
    for name, hours in orders:
        known = known.adding(entry(name, hours))
    at = NOW + passed * HOUR
    last = dict(orders)
    assert {one.name for one in known.in_force(at)} == {n for n, h in last.items() if passed < h}
    for one in known.entries:
        assert one.name not in {left.name for left in known.removing("a", one.name, at=NOW).entries}
