"""Which fragment a host believes in after any order of runs: deciding code, values only."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from updater.fragments import MAX_ATTEMPTS, Known, Received
from updater.report import RunReport, worst

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CODES = st.sampled_from([0, 1, 2, 5, 6])


def fragment(number: int) -> Received:
    return Received(number, f"{number:064x}", "mx1", {"jitter_seconds": number})


def after_run(known: Known, *, with_it: int, without_it: int) -> tuple[Known, Received | None, int]:
    """Run once: return what is known then, the fragment that was used, and how it ended."""
    used = known.candidate or known.in_force
    code = with_it if known.candidate else without_it
    return known.ended(used, RunReport(at=NOW, exit_code=code)), used, code


@given(st.lists(st.tuples(st.booleans(), CODES, CODES), max_size=30))
def test_only_a_fragment_whose_run_ended_well_is_ever_in_force(
    steps: list[tuple[bool, int, int]],
) -> None:
    known, number = Known(), 0
    for published, with_it, without_it in steps:
        number += published
        known = known.met(fragment(number)) if published else known
        before = known.in_force
        known, used, code = after_run(known, with_it=with_it, without_it=without_it)
        assert known.in_force == before or (known.in_force == used and code == 0)
        assert known.refused is None or known.in_force is None or (
            known.refused.sha256 != known.in_force.sha256
        )  # fmt: skip


@given(CODES, CODES)
def test_what_is_worse_with_it_than_without_is_refused_and_nothing_else_is(
    with_it: int, without_it: int
) -> None:
    known, _, _ = after_run(Known(), with_it=0, without_it=without_it)
    known = known.met(fragment(1))
    known, _, _ = after_run(known.met(fragment(1)), with_it=without_it, without_it=without_it)
    if without_it == 0:
        assert known.in_force == fragment(1)
        known, _, _ = after_run(known.met(fragment(2)), with_it=with_it, without_it=without_it)
    for _ in range(4):
        known, _, _ = after_run(known, with_it=with_it, without_it=without_it)
    worse = with_it != without_it and worst((with_it, without_it)) == with_it
    newest = 2 if without_it == 0 else 1
    assert (known.refused is not None and known.refused.sequence == newest) == worse


def test_a_refused_fragment_is_tried_again_only_when_it_is_published_anew() -> None:
    known = Known().met(fragment(1)).refuse(1, fragment(1).sha256, "it broke", NOW)
    assert known.met(fragment(1)) == known
    assert known.met(fragment(2)).candidate == fragment(2)


@pytest.mark.parametrize("attempts", [MAX_ATTEMPTS, MAX_ATTEMPTS + 1])
def test_a_run_without_what_never_ended_refuses_it(attempts: int) -> None:
    known = Known(trying=fragment(1), attempts=attempts)
    assert known.candidate is None
    known, used, _ = after_run(known, with_it=0, without_it=6)
    assert (used, known.trying) == (None, None)
    assert known.refused is not None
