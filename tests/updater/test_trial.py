"""Which releases an engine takes, and which one is blamed."""

from hypothesis import given
from hypothesis import strategies as st

from keys.errors import EngineError
from updater.state import Release
from updater.trial import Combination, Outcome, Trial

CHANNELS = ("a", "b", "c")


def release(channel: str, sequence: int) -> Release:
    return Release(sequence=sequence, manifest_sha256=f"{ord(channel):032x}{sequence:032x}")


def combination(**sequences: int) -> dict[str, Release]:
    return {channel: release(channel, sequence) for channel, sequence in sequences.items()}


class Loader:
    """Refuses every combination that holds one of these."""

    def __init__(self, *bad: Combination) -> None:
        self.bad = bad
        self.tests = 0

    def __call__(self, tried: Combination) -> None:
        self.tests += 1
        for bad in self.bad:
            if bad.items() <= tried.items():
                raise EngineError(f"{'+'.join(bad)} refused")

    def takes(self, tried: Combination) -> bool:
        return not any(bad.items() <= tried.items() for bad in self.bad)


def test_what_passes_together_is_tested_once() -> None:
    loader = Loader()
    wanted = combination(a=2, b=2)
    assert Trial(loader).run(combination(a=1, b=1), wanted) == Outcome(wanted)
    assert loader.tests == 1


def test_a_broken_release_is_held_and_the_other_channels_go_on() -> None:
    outcome = Trial(Loader(combination(b=2))).run(
        combination(a=1, b=1, c=1), combination(a=2, b=2, c=2)
    )
    assert outcome.accepted == combination(a=2, b=1, c=2)
    assert [r.releases for r in outcome.refusals] == [combination(b=2)]


def test_of_two_that_fail_only_together_the_later_is_held_and_both_are_named() -> None:
    outcome = Trial(Loader(combination(a=2, c=2))).run(
        combination(a=1, b=1, c=1), combination(a=2, b=2, c=2)
    )
    assert outcome.accepted == combination(a=2, b=2, c=1)
    assert [r.releases for r in outcome.refusals] == [combination(a=2, c=2)]
    assert str(outcome.refusals[0]) == "a release 2 with c release 2: a+c refused"


def test_a_first_install_goes_on_without_a_broken_channel() -> None:
    outcome = Trial(Loader(combination(a=1))).run({}, combination(a=1, b=1))
    assert outcome.accepted == combination(b=1)


combinations = st.fixed_dictionaries({}, optional={c: st.integers(1, 2) for c in CHANNELS}).map(
    lambda chosen: combination(**chosen)
)


@given(combinations, combinations, st.lists(combinations.filter(bool), max_size=4))
def test_what_is_accepted_passes_or_is_what_was_there(
    installed: Combination, wanted: Combination, bad: list[Combination]
) -> None:
    loader = Loader(*bad)
    outcome = Trial(loader).run(installed, wanted)
    there = {c: r for c, r in installed.items() if c in wanted}
    assert loader.takes(outcome.accepted) or outcome.accepted == there
    assert all(outcome.accepted[c] in {wanted[c], installed.get(c)} for c in outcome.accepted)
    assert all(not loader.takes(refusal.releases) for refusal in outcome.refusals)
