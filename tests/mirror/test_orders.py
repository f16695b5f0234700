"""Orders on tracks and what they leave signed in a pointer: promote, hold, withdraw, pin."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import LimitError, MissingError, TrustError, UsageError
from keys.model import rollout
from keys.model.release import Pointer, decode, encode
from mirror import orders
from mirror.fleet.promotion import Outcome, judge
from mirror.fleet.roster import EngineRow, HostRow, Load

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
RELEASES = {number: Pointer(number, f"{number:x}" * 64) for number in range(1, 7)}


def at(stable: int, canary: int | None = None) -> dict[str, Pointer]:
    tracks = {"stable": RELEASES[stable]}
    return tracks if canary is None else {**tracks, "canary": RELEASES[canary]}


def sequences(tracks: object) -> dict[str, int]:
    assert isinstance(tracks, dict)
    return {name: pointer.sequence for name, pointer in tracks.items()}


def test_promote_points_stable_at_the_canary_release() -> None:
    after = orders.promote(5, force=False)(at(4, 5), RELEASES)
    assert sequences(after) == {"stable": 5, "canary": 5}


def test_a_held_track_is_not_promoted_unless_forced() -> None:
    held = orders.hold("freeze")(at(4, 5), RELEASES)
    with pytest.raises(UsageError, match="held: freeze"):
        orders.promote(5, force=False)(held, RELEASES)
    assert sequences(orders.promote(5, force=True)(held, RELEASES))["stable"] == 5


def test_withdraw_goes_back_to_the_release_before_on_every_track_that_offers_it() -> None:
    after = orders.withdraw("stable", None)(at(5, 5), RELEASES)
    assert sequences(after) == {"stable": 4, "canary": 4}
    assert rollout.withdrawn(after["stable"]) == {5}
    again = orders.withdraw("stable", None)(after, RELEASES)
    assert sequences(again) == {"stable": 3, "canary": 3}
    assert rollout.withdrawn(again["stable"]) == {4, 5}


def test_withdraw_leaves_a_canary_that_is_further_ahead() -> None:
    after = orders.withdraw("stable", 2)(at(4, 5), RELEASES)
    assert sequences(after) == {"stable": 2, "canary": 5}
    assert rollout.withdrawn(after["stable"]) == {3, 4}


def test_a_withdrawn_release_is_promoted_again_only_by_force() -> None:
    after = orders.withdraw("stable", None)(at(5), RELEASES)
    with pytest.raises(UsageError, match="was withdrawn"):
        orders.promote(5, force=False)(after, RELEASES)
    forced = orders.promote(5, force=True)(after, RELEASES)
    assert sequences(forced) == {"stable": 5}
    assert rollout.withdrawn(forced["stable"]) == frozenset()


@pytest.mark.parametrize(
    ("track", "to", "error"),
    [("stable", 9, MissingError), ("stable", 5, UsageError), ("beta", None, MissingError)],
)
def test_withdraw_to_what_cannot_be_is_refused(
    track: str, to: int | None, error: type[Exception]
) -> None:
    with pytest.raises(error):
        orders.withdraw(track, to)(at(5), RELEASES)


def test_withdraw_with_nothing_older_kept_is_refused() -> None:
    with pytest.raises(MissingError, match="no older release"):
        orders.withdraw("stable", None)(at(1), RELEASES)


def test_resume_moves_to_the_newest_release_that_came_meanwhile() -> None:
    held = orders.hold("freeze")(at(3), RELEASES)
    assert sequences(orders.resume("stable")(held, RELEASES)) == {"stable": 6}
    with pytest.raises(UsageError, match="no track of this channel is held"):
        orders.resume("stable")(at(3), RELEASES)


def test_resume_passes_over_what_was_withdrawn() -> None:
    back = orders.withdraw("stable", 4)(at(6), RELEASES)
    held = orders.hold("freeze")(back, RELEASES)
    assert sequences(orders.resume("stable")(held, RELEASES)) == {"stable": 4}


def test_a_pin_binds_one_host_and_survives_moves_of_the_track() -> None:
    pinned = orders.pin("mx1", 2)(at(4), RELEASES)
    moved = rollout.moved(pinned["stable"], RELEASES[6])
    assert rollout.pinned(moved, "mx1").sequence == 2
    assert rollout.pinned(moved, "mx2").sequence == 6
    assert rollout.pinned(moved, "").sequence == 6
    free = orders.unpin("mx1")(pinned, RELEASES)
    assert rollout.pinned(free["stable"], "mx1").sequence == 4
    with pytest.raises(UsageError, match="not pinned"):
        orders.unpin("mx1")(free, RELEASES)


def test_there_is_a_limit_to_pins_and_a_malformed_one_is_refused() -> None:
    pointer = RELEASES[1]
    for number in range(rollout.MAX_PINS):
        pointer = rollout.pin(pointer, f"mx{number}", RELEASES[2])
    with pytest.raises(LimitError, match="MAX_PINS"):
        rollout.pin(pointer, "one-more", RELEASES[2])
    with pytest.raises(TrustError, match="names no release"):
        rollout.pinned(Pointer(1, "a" * 64, {"pin/mx1": "2"}), "mx1")


WORDS = st.text(min_size=1, max_size=20).filter(str.strip)


@given(reason=WORDS, host=WORDS, gone=st.sets(st.integers(1, 99), max_size=20))
def test_what_a_pointer_says_survives_the_wire(reason: str, host: str, gone: set[int]) -> None:
    pointer = rollout.withdraw(rollout.hold(RELEASES[3], reason), gone)
    pointer = decode(encode(rollout.pin(pointer, host, RELEASES[2])), Pointer, "pointer")
    assert rollout.held(pointer) == reason
    assert rollout.withdrawn(pointer) == gone
    assert rollout.pins(pointer) == {host: RELEASES[2]}
    assert rollout.unpin(rollout.resume(pointer), host).rollout.keys() <= {"withdrawn"}


def canary(name: str, sequence: int, **more: object) -> HostRow:
    load = Load("inhouse", sequence, RELEASES[sequence].manifest_sha256, "r", NOW, "none")
    told = {
        "engine": "scan", "kind": "command", "version": "", "track": "canary", "outcome": "kept",
        "proof": "proven", "proof_at": NOW - timedelta(hours=2), "detail": "", "generation": 1,
        "installed_at": NOW, "trouble": "", "held": "", "quarantined": "", "loads": (load,),
    }  # fmt: skip
    engine = EngineRow(**{**told, **more})  # type: ignore[arg-type] # fields of the row
    return HostRow(name, NOW, NOW, NOW, "", "", 0, NOW, "", None, None, "", (engine,))


@pytest.mark.parametrize(
    ("hosts", "outcome", "reason"),
    [
        ([], Outcome.waiting, "proven by 0 canary hosts, 2 are needed"),
        ([canary("a", 5)], Outcome.waiting, "proven by 1"),
        ([canary("a", 5), canary("b", 4)], Outcome.waiting, "proven by 1"),
        ([canary("a", 5), canary("b", 5, track="stable")], Outcome.waiting, "proven by 1"),
        ([canary("a", 5), canary("b", 5, proof="unproven")], Outcome.waiting, "proven by 1"),
        ([canary("a", 5), canary("b", 5)], Outcome.ready, ""),
        ([canary("a", 5), canary("b", 5, proof_at=NOW)], Outcome.waiting, "for less than"),
        (
            [canary("a", 5), canary("b", 5), canary("c", 4, outcome="undone", trouble="died")],
            Outcome.failed,
            "failed on c: died",
        ),
        (
            [canary("a", 5), canary("b", 5), canary("c", 4, quarantined="5" * 64)],
            Outcome.failed,
            "failed on c",
        ),
        ([canary("a", 5), canary("b", 5), canary("c", 4, quarantined="4" * 64)], Outcome.ready, ""),
    ],
)
def test_stable_follows_only_what_enough_canaries_proved_and_none_failed(
    hosts: list[HostRow], outcome: Outcome, reason: str
) -> None:
    verdict = judge(hosts, "inhouse", RELEASES[5], min_hosts=2, soak=timedelta(hours=1), now=NOW)
    assert verdict.outcome is outcome
    assert reason in verdict.reason
