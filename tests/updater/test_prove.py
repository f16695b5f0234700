"""How long a proof is waited for, and what is believed."""

from pathlib import Path

import pytest

from keys.errors import LimitError, SettingsError
from tests.updater.bench import Bench, definitions
from updater import prove
from updater.prove import Samples, Why
from updater.state import Proved


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.install(a=(1, definitions("one")))
    return bench


def test_an_answer_that_never_comes_is_waited_for_no_longer_than_asked(bench: Bench) -> None:
    bench.engine.stop()
    proof = bench.prover.reload_and_wait(bench.in_force.marker, None)
    assert (proof.result, proof.why) == (Proved.unproven, Why.down)
    assert bench.clock.seconds == pytest.approx(60)


def test_reloads_are_asked_for_ever_less_often(bench: Bench) -> None:
    bench.engine.reads_elsewhere = True
    bench.engine._loaded = {}
    bench.engine.calls.clear()
    bench.prover.reload_and_wait(bench.in_force.marker, None)
    assert 3 <= bench.engine.calls.count("reload") <= 7


def test_an_engine_that_shows_both_markers_is_not_proven(bench: Bench) -> None:
    old = bench.in_force.marker
    bench.install(a=(2, definitions("two")))
    assert old
    bench.engine._loaded = {old.name: old.sample.decode(), **(bench.engine._loaded or {})}
    bench.engine.reads_elsewhere = True
    proof = bench.prover.reload_and_wait(bench.in_force.marker, old)
    assert (proof.result, proof.why) == (Proved.unproven, Why.stale)


def test_an_empty_folder_of_samples_is_refused(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    bench.samples = Samples(must_detect=str(tmp_path / "samples"))
    with pytest.raises(SettingsError, match="no file in it"):
        bench.prover.check_samples()


def test_a_sample_beyond_the_limit_is_refused(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    with (tmp_path / "samples" / "large").open("wb") as file:
        file.truncate(prove.MAX_SAMPLE_BYTES + 1)
    bench.samples = Samples(must_pass=str(tmp_path / "samples"))
    with pytest.raises(LimitError, match="MAX_SAMPLE_BYTES"):
        bench.prover.check_samples()
