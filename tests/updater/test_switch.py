"""One engine from one generation to another, and what happens when it will not go."""

import re
from pathlib import Path

import pytest

from keys.errors import EngineError, SettingsError, TrustError, UnprovenError, UsageError
from tests.updater.bench import Bench, definitions
from updater.prove import Samples
from updater.quarantine import Cause, Quarantine
from updater.state import Proved, Step
from updater.switch import Word


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def installed(bench: Bench) -> Bench:
    bench.install(a=(1, definitions("one")))
    return bench


def test_a_first_release_is_installed_and_proven(bench: Bench) -> None:
    change = bench.install(a=(1, definitions("one")))
    assert (change.word, change.proof.result, change.error) == (
        Word.installed,
        Proved.proven,
        None,
    )
    assert bench.engine.detects("one!")


def test_the_next_release_takes_its_place_and_the_old_marker_is_gone(installed: Bench) -> None:
    old = installed.in_force.marker
    change = installed.install(a=(2, definitions("two")))
    assert change.proof.detail == "marker found, the one before gone"
    assert installed.engine.detects("two!")
    assert not installed.engine.detects("one!")
    assert old
    assert not installed.engine.detects(old.sample.decode())


def test_a_reload_dropped_during_a_load_is_asked_for_again(installed: Bench) -> None:
    installed.engine.drop_reloads = 2
    assert installed.install(a=(2, definitions("two"))).proof.result is Proved.proven


def test_an_engine_that_was_down_before_is_installed_for_and_unproven(bench: Bench) -> None:
    bench.engine.stop()
    change = bench.install(a=(1, definitions("one")))
    assert isinstance(change.error, UnprovenError)
    assert bench.in_force.releases["a"].sequence == 1


def test_an_engine_that_comes_up_later_is_proven_by_the_next_run(bench: Bench) -> None:
    bench.engine.stop()
    bench.install(a=(1, definitions("one")))
    bench.engine.start()
    assert bench.switch.keep().proof.result is Proved.proven
    assert bench.in_force.proof is Proved.proven


def test_a_generation_that_never_was_proven_is_left_when_the_engine_does_not_take_it(
    installed: Bench,
) -> None:
    installed.engine.stop()
    installed.install(a=(2, definitions("two")))
    installed.engine.start()
    installed.engine.hangs_on = "two"
    installed.samples = Samples(must_pass=str(_samples(installed, "two!")))
    change = installed.switch.keep()
    assert change.word is Word.undone
    assert installed.in_force.releases["a"].sequence == 1
    assert installed.engine.detects("one!")


def test_an_engine_that_dies_at_the_reload_is_given_the_old_generation_back(
    installed: Bench,
) -> None:
    installed.engine.dies_on = "two"
    change = installed.install(a=(2, definitions("two")))
    assert isinstance(change.error, EngineError)
    assert change.word is Word.undone
    assert "generation 1 is in force again" in str(change.error)
    installed.engine.start()
    assert installed.engine.detects("one!")


def test_an_engine_that_hangs_after_the_reload_goes_back_and_is_proven(installed: Bench) -> None:
    installed.engine.hangs_on = "two"
    change = installed.install(a=(2, definitions("two")))
    assert isinstance(change.error, EngineError)
    assert "generation 1 is in force again and proven" in str(change.error)
    assert change.proof.result is Proved.proven


def test_a_hang_is_held_only_when_it_comes_back(installed: Bench) -> None:
    installed.engine.hangs_on = "two"
    installed.install(a=(2, definitions("two")))
    release = installed.wanted(a=(2, definitions("two"))).releases
    assert installed.place.quarantine.load().blocking(release, "1.0") is None
    installed.install(a=(2, definitions("two")))
    entry = installed.place.quarantine.load().blocking(release, "1.0")
    assert entry
    assert entry.cause is Cause.reload


def test_the_way_back_says_so_when_the_old_generation_fails_too(installed: Bench) -> None:
    installed.engine.dies_on = "two"
    change = installed.install(a=(2, definitions("two")))
    assert change.proof.result is Proved.unproven
    assert "generation 1 is in force again: connection refused" in str(change.error)
    assert "restart" in (change.error.hint if change.error else "")


def test_a_release_that_hits_a_clean_file_is_taken_back_and_held(installed: Bench) -> None:
    installed.samples = Samples(must_pass=str(_samples(installed, "a letter with two! in it")))
    change = installed.install(a=(2, definitions("two")))
    assert isinstance(change.error, EngineError)
    assert "must_pass" in str(change.error)
    release = installed.wanted(a=(2, definitions("two"))).releases
    entry = installed.place.quarantine.load().blocking(release, "1.0")
    assert entry
    assert entry.cause is Cause.samples


def test_a_release_that_lost_a_detection_is_taken_back(installed: Bench) -> None:
    installed.samples = Samples(must_detect=str(_samples(installed, "one!")))
    change = installed.install(a=(2, definitions("two")))
    assert change.word is Word.undone
    assert "not detected" in str(change.error)


def test_a_release_that_finds_everything_is_taken_back(installed: Bench) -> None:
    change = installed.install(a=(2, {"rules.db": "everything:e\n"}))
    assert change.word is Word.undone


def test_samples_that_cannot_be_read_are_refused_before_anything_is_touched(
    installed: Bench,
) -> None:
    installed.samples = Samples(must_detect="/nonexistent")
    with pytest.raises(SettingsError, match="nonexistent"):
        installed.install(a=(2, definitions("two")))
    assert installed.in_force.number == 1


def test_another_engine_on_the_socket_is_unproven_and_nobody_is_blamed(installed: Bench) -> None:
    installed.engine.reads_elsewhere = True
    installed.engine._loaded = {"other": "other!"}
    change = installed.install(a=(2, definitions("two")))
    assert isinstance(change.error, UnprovenError)
    assert "another engine, or another folder" in str(change.error)
    assert installed.place.quarantine.load().entries == ()


def test_a_definition_that_hides_the_marker_is_no_proof(bench: Bench) -> None:
    bench.install(a=(1, definitions("one")))
    assert bench.in_force.marker
    start = bench.in_force.marker.sample.decode()[:8]
    bench.engine._loaded = {"greedy": start, **(bench.engine._loaded or {})}
    bench.engine.reads_elsewhere = True
    change = bench.switch.keep()
    assert isinstance(change.error, UnprovenError)
    assert "another definition hides it" in str(change.error)


def test_an_engine_that_takes_no_marker_is_at_most_probed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, proves=False)
    assert bench.install(a=(1, definitions("one"))).proof.result is Proved.probed


def test_keeping_proves_without_writing_a_byte(installed: Bench) -> None:
    before = {p: p.stat().st_mtime_ns for p in installed.place.host.root.rglob("*.json*")}
    assert installed.switch.keep().proof.result is Proved.proven
    assert {p: p.stat().st_mtime_ns for p in installed.place.host.root.rglob("*.json*")} == before


def test_keeping_asks_an_engine_that_lost_its_definitions_to_reload(installed: Bench) -> None:
    installed.engine._loaded = {}
    assert installed.switch.keep().proof.result is Proved.proven


def test_keeping_says_that_the_engine_is_down(installed: Bench) -> None:
    installed.engine.stop()
    change = installed.switch.keep()
    assert isinstance(change.error, UnprovenError)
    assert installed.clock.seconds == 0


def test_nothing_is_proven_where_the_engine_is_left_alone(bench: Bench) -> None:
    generation = bench.assemble(a=(1, definitions("one"))).generation
    assert generation
    calls = len(bench.engine.calls)
    change = bench.switch.to(generation, Word.installed, ask_engine=False)
    assert (change.error, change.proof.result) == (None, Proved.unproven)
    assert bench.engine.calls[calls:] == []


def test_the_operator_goes_back_and_stays_until_a_newer_release(installed: Bench) -> None:
    installed.install(a=(2, definitions("two")))
    change = installed.switch.operator_back("the operator went back")
    assert (change.word, installed.in_force.number) == (Word.went_back, 1)
    assert installed.engine.detects("one!")
    held = installed.wanted(a=(2, definitions("two"))).releases
    newer = installed.wanted(a=(3, definitions("three"))).releases
    assert installed.place.quarantine.load().blocking(held, "any engine")
    assert installed.place.quarantine.load().blocking(newer, "any engine") is None


@pytest.mark.parametrize("pattern", ["rules.db", "sigmirror-marker-*"])
def test_there_is_no_way_back_to_a_generation_with_a_changed_byte(
    installed: Bench, pattern: str
) -> None:
    installed.install(a=(2, definitions("two")))
    file = next(installed.place.generations.path(installed.state.previous).glob(pattern))
    file.chmod(0o644)
    file.write_bytes(file.read_bytes().replace(b"\n", b"X\n"))
    file.chmod(0o444)
    with pytest.raises(TrustError, match=re.escape(f"{file}: was changed")):
        installed.switch.operator_back("")
    assert installed.in_force.number == 2
    assert installed.place.quarantine.load().entries == ()


def test_there_is_no_way_back_to_what_was_never_in_force(tmp_path: Path) -> None:
    bench = Bench(tmp_path, channels=("a", "b"))
    refused = bench.assemble(a=(1, {"bad.db": "nonsense\n"}), b=(1, definitions("one")))
    assert refused.generation
    bench.switch.to(refused.generation, Word.installed)
    assert [kept.number for kept in bench.state.generations] == [bench.in_force.number]
    bench.assemble(a=(2, definitions("two")), b=(1, definitions("one")))  # and no more came of it
    with pytest.raises(UsageError, match="no older generation"):
        bench.switch.operator_back("")


def test_there_is_no_way_back_to_what_is_in_quarantine(installed: Bench) -> None:
    for sequence in (2, 3):
        installed.install(a=(sequence, definitions(f"n{sequence}")))
    installed.switch.operator_back("false alarms")
    installed.install(a=(4, definitions("n4")))
    assert installed.switch.operator_back("").generation == installed.in_force
    assert installed.in_force.releases["a"].sequence == 2


def test_the_way_back_leads_to_other_definitions(installed: Bench) -> None:
    installed.install(a=(2, definitions("two")))
    installed.switch.operator_back("by mistake")
    installed.place.quarantine.save(Quarantine())
    installed.install(a=(2, definitions("two")))
    installed.switch.operator_back("false alarms")
    assert installed.in_force.releases["a"].sequence == 1


def test_there_is_no_way_back_from_the_first_generation(installed: Bench) -> None:
    with pytest.raises(UsageError, match="no older generation"):
        installed.switch.operator_back("")


def test_old_generations_are_removed_and_one_older_always_stays(tmp_path: Path) -> None:
    bench = Bench(tmp_path, keep=1)
    for number in range(1, 5):
        bench.install(a=(number, definitions(f"n{number}")))
    assert [g.number for g in bench.state.generations] == [3, 4]
    assert set(bench.place.generations.names()) == {g.name for g in bench.state.generations}


def test_the_history_tells_what_was_in_force_and_its_chain_holds(installed: Bench) -> None:
    installed.install(a=(2, definitions("two")))
    installed.switch.keep()
    lines = list(installed.place.history.entries())
    assert [(e.generation, e.outcome, e.proof) for e in lines] == [
        (1, "installed", Proved.proven),
        (2, "installed", Proved.proven),
    ]
    assert installed.place.history.check() == 2


class TestRecovery:
    def test_a_stop_before_the_swap_leaves_no_trace(self, installed: Bench) -> None:
        installed.assemble(a=(2, definitions("two")))
        before = installed.state
        assert before.journal
        assert installed.switch.recover() is None
        after = installed.state
        assert after.journal is None
        assert installed.place.generations.names() == (installed.in_force.name,)

    def test_a_stop_after_the_swap_is_finished(self, installed: Bench) -> None:
        _swap_only(installed)
        change = installed.switch.recover()
        assert change
        assert (change.word, change.proof.result) == (Word.installed, Proved.proven)
        assert installed.in_force.number == 2

    def test_a_stop_after_the_swap_of_a_bad_release_is_undone(self, installed: Bench) -> None:
        _swap_only(installed)
        installed.engine.hangs_on = "two"
        change = installed.switch.recover()
        assert change
        assert change.word is Word.undone
        assert installed.in_force.number == 1

    def test_a_stop_on_the_way_back_is_finished(self, installed: Bench) -> None:
        origin = installed.in_force.name
        target = _swap_only(installed)
        back = installed.state.at(Step.back, target=target, origin=origin)
        installed.place.state.save(back)
        change = installed.switch.recover()
        assert change
        assert (change.word, change.proof.result) == (Word.undone, Proved.proven)
        assert installed.in_force.number == 1


def _swap_only(bench: Bench) -> str:
    """Do what a run does up to the moment before its reload."""
    generation = bench.assemble(a=(2, definitions("two"))).generation
    assert generation
    origin = bench.place.generations.in_force()
    state = bench.state.keeping(generation)
    bench.place.state.save(state.at(Step.swap, target=generation.name, origin=origin))
    bench.place.generations.swap(generation.name)
    return generation.name


def _samples(bench: Bench, text: str) -> Path:
    folder = bench.place.host.root / "samples"
    folder.mkdir()
    (folder / "sample").write_text(text)
    return folder
