"""What is remembered: state, history, overlay; and what happens when it was tampered with."""

import contextlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import LimitError, NameRefusedError, SettingsError, StateError
from keys.model.release import encode
from updater import combine
from updater.engines.base import IGNORED_STEM, MARKER_PREFIX
from updater.history import Entry, History
from updater.state import (
    MAX_STATE_BYTES,
    EngineState,
    Generation,
    MarkerRecord,
    Proved,
    Release,
    StateFile,
    Step,
    read,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

digests = st.text("0123456789abcdef", min_size=64, max_size=64)
instants = st.datetimes(timezones=st.just(UTC))
releases = st.builds(
    Release, sequence=st.integers(1, 1 << 53), manifest_sha256=digests, published=instants
)
generations = st.builds(
    Generation,
    number=st.integers(1, 1000),
    name=st.text(min_size=1, max_size=20),
    created=instants,
    releases=st.dictionaries(st.text(max_size=5), releases, max_size=3),
    marker=st.none()
    | st.builds(MarkerRecord, name=st.text(), sample=st.binary(), file_name=st.text()),
    proof=st.sampled_from(Proved),
)


@given(st.lists(generations, max_size=4), st.sampled_from(Step))
def test_a_state_comes_back_from_disk_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, kept: list[Generation], step: Step
) -> None:
    state = EngineState()
    for generation in kept:
        state = state.keeping(generation)
    state = state.at(step, target="2-b", origin="1-a")
    file = StateFile(tmp_path_factory.mktemp("state") / "state.json")
    assert file.save(state) == file.load() == state


@given(st.binary(max_size=200))
def test_any_damage_is_a_named_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("state") / "state.json"
    path.write_bytes(data)
    with contextlib.suppress(StateError):
        read(path, EngineState, EngineState())


def test_a_state_beyond_its_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    with path.open("wb") as file:
        file.truncate(MAX_STATE_BYTES + 1)
    with pytest.raises(StateError, match="MAX_STATE_BYTES"):
        read(path, EngineState, EngineState())


def entry(number: int) -> Entry:
    return Entry(
        at=NOW.replace(day=number),
        generation=number,
        name=f"{number}-abc",
        releases={},
        outcome="installed",
        proof=Proved.proven,
        detail="",
        duration_seconds=0.1,
        engine_version="1",
    )


@pytest.fixture
def history(tmp_path: Path) -> History:
    history = History(tmp_path / "history.jsonl")
    for number in (1, 2, 3):
        history.add(entry(number))
    return history


def test_history_tells_what_was_in_force_at_a_time(history: History) -> None:
    found = history.at(NOW.replace(day=2, hour=23))
    assert found
    assert found.generation == 2
    assert history.at(NOW.replace(year=2025)) is None


def test_a_torn_last_line_is_passed_over_and_the_chain_goes_on(
    history: History, tmp_path: Path
) -> None:
    with (tmp_path / "history.jsonl").open("ab") as file:
        file.write(b'{"at":"2026-03')
    history.add(entry(4))
    assert [e.generation for e in history.entries()] == [1, 2, 3, 4]
    assert history.check() == 4


@pytest.mark.parametrize("tampering", ["edited", "dropped", "swapped", "added"])
def test_a_line_that_was_touched_breaks_the_chain(
    history: History, tmp_path: Path, tampering: str
) -> None:
    path = tmp_path / "history.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    changed = {
        "edited": [lines[0], lines[1].replace(b"installed", b"kept"), lines[2]],
        "dropped": [lines[0], lines[2]],
        "swapped": [lines[1], lines[0], lines[2]],
        "added": [*lines, encode(entry(4)) + b"\n"],
    }
    path.write_bytes(b"".join(changed[tampering]))
    with pytest.raises(StateError, match="does not follow"):
        history.check()


def test_an_overlay_leaves_out_hidden_files_and_sees_a_changed_one(tmp_path: Path) -> None:
    (tmp_path / "local.ign2").write_text("x")
    (tmp_path / ".hidden.hdb").write_text("x")
    before = combine.read_overlay(str(tmp_path))
    assert set(before.files) == {"local.ign2"}
    (tmp_path / "local.ign2").write_text("y")
    assert combine.read_overlay(str(tmp_path)).fingerprint != before.fingerprint


@pytest.mark.parametrize("name", [f"{MARKER_PREFIX}1.ndb", f"{IGNORED_STEM}.ign2"])
def test_an_overlay_that_cannot_be_used_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="missing"):
        combine.read_overlay(str(tmp_path / "missing"))
    (tmp_path / name).write_text("x")
    with pytest.raises(SettingsError, match="kept for markers"):
        combine.read_overlay(str(tmp_path))


def test_an_overlay_with_a_hostile_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a\nb.db").write_text("x")
    with pytest.raises(NameRefusedError):
        combine.read_overlay(str(tmp_path))


def test_an_overlay_beyond_its_limit_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "big.db").open("wb") as file:
        file.truncate(combine.MAX_OVERLAY_BYTES + 1)
    with pytest.raises(LimitError, match="MAX_OVERLAY_BYTES"):
        combine.read_overlay(str(tmp_path))
