"""What a host chooses from what it is offered."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from updater.plan import Action, Entitlement, Have, Offer, Plan, existing, plan
from updater.quarantine import Cause, Entry, Quarantine
from updater.state import Generation, Release, digests

START = datetime(2026, 1, 1, tzinfo=UTC)


def release(sequence: int, channel: str = "a") -> Release:
    return Release(
        sequence=sequence,
        manifest_sha256=f"{ord(channel[0]):032x}{sequence:032x}",
        published=START + timedelta(days=sequence),
    )


def held(*releases: tuple[str, Release], version: str = "1") -> Entry:
    return Entry(
        releases={channel: r.manifest_sha256 for channel, r in releases},
        cause=Cause.refused,
        reason="broken",
        at=START,
        engine_version=version,
    )


def have(releases: dict[str, Release] | None = None, *entries: Entry, overlay: str = "") -> Have:
    return Have(releases or {}, overlay, Quarantine(entries=entries), "1")


def test_an_engine_without_anything_takes_what_the_track_points_at() -> None:
    assert plan(have(), ["a"], [Offer("a", release(3))], "") == Plan(
        Action.install, {"a": release(3)}
    )


def test_nothing_offered_and_nothing_installed_is_a_wait() -> None:
    assert plan(have(), ["a"], [], "").action is Action.wait


def test_the_same_release_is_kept() -> None:
    assert plan(have({"a": release(3)}), ["a"], [Offer("a", release(3))], "").action is Action.keep


def test_nothing_is_said_of_ignoring_where_nothing_is_ignored() -> None:
    chosen = plan(have({"a": release(3)}, held(("a", release(3)))), ["a"], [], "")
    assert (chosen.action, chosen.held) == (Action.keep, ())


def test_a_channel_without_an_offer_keeps_what_it_has() -> None:
    chosen = plan(have({"a": release(3)}), ["a", "b"], [Offer("b", release(1, "b"))], "")
    assert chosen.releases == {"a": release(3), "b": release(1, "b")}


def test_a_channel_that_left_the_settings_leaves_the_generation() -> None:
    chosen = plan(have({"a": release(3), "b": release(1, "b")}), ["a"], [], "")
    assert (chosen.action, chosen.releases) == (Action.install, {"a": release(3)})


def test_another_overlay_makes_a_new_generation_of_the_same_releases() -> None:
    chosen = plan(have({"a": release(3)}), ["a"], [Offer("a", release(3))], "f" * 64)
    assert (chosen.action, chosen.releases) == (Action.install, {"a": release(3)})


def test_a_lower_pointer_is_an_ordered_rollback() -> None:
    chosen = plan(have({"a": release(3)}), ["a"], [Offer("a", release(2))], "")
    assert (chosen.action, chosen.releases) == (Action.rollback, {"a": release(2)})


def test_a_release_in_quarantine_is_held_and_said_so() -> None:
    chosen = plan(
        have({"a": release(3)}, held(("a", release(4)))), ["a"], [Offer("a", release(4))], ""
    )
    assert chosen.action is Action.keep
    assert chosen.held == ("a release 4 is in quarantine (broken)",)


def test_quarantine_by_one_engine_version_does_not_bind_the_next() -> None:
    entry = held(("a", release(4)), version="0.9")
    chosen = plan(have({"a": release(3)}, entry), ["a"], [Offer("a", release(4))], "")
    assert chosen.releases == {"a": release(4)}


def test_one_strike_does_not_hold_a_release_and_a_second_does() -> None:
    first = Entry(
        releases=digests({"a": release(4)}),
        cause=Cause.reload,
        reason="hung",
        at=START,
        engine_version="1",
        strikes=1,
    )
    once = Quarantine().adding(first)
    assert once.blocking({"a": release(4)}, "1") is None
    assert once.adding(first).blocking({"a": release(4)}, "1") is not None


def test_of_two_that_fail_only_together_the_later_in_the_settings_waits() -> None:
    entry = held(("a", release(2)), ("b", release(2, "b")))
    offers = [Offer("a", release(2)), Offer("b", release(2, "b"))]
    chosen = plan(have({"a": release(1), "b": release(1, "b")}, entry), ["a", "b"], offers, "")
    assert chosen.releases == {"a": release(2), "b": release(1, "b")}


def test_a_release_published_again_with_other_bytes_is_installed() -> None:
    again = Release(sequence=3, manifest_sha256="f" * 64)
    chosen = plan(have({"a": release(3)}), ["a"], [Offer("a", again)], "")
    assert chosen.releases == {"a": again}


@pytest.mark.parametrize(
    ("ends_on", "tz", "expected"),
    [
        pytest.param(date(2026, 1, 6), "UTC", 5, id="its day is the last covered day"),
        pytest.param(date(2026, 1, 5), "UTC", 4, id="a day later is not covered"),
        pytest.param(date(2026, 1, 5), "America/New_York", 5, id="days of the licence's own zone"),
        pytest.param(date(2025, 12, 31), "UTC", None, id="nothing is covered"),
    ],
)
def test_after_the_licence_ended_the_newest_entitled_release_is_chosen(
    ends_on: date, tz: str, expected: int | None
) -> None:
    offer = Offer(
        "a", release(9), tuple(release(n) for n in (1, 4, 5, 8)), Entitlement(ends_on, tz)
    )
    chosen = plan(have(), ["a"], [offer], "").releases.get("a")
    assert (chosen.sequence if chosen else None) == expected


def test_the_end_of_a_licence_never_takes_back_what_is_installed() -> None:
    offer = Offer("a", release(9), (release(1),), Entitlement(date(2026, 1, 3), "UTC"))
    assert plan(have({"a": release(8)}), ["a"], [offer], "").action is Action.keep


def test_a_kept_generation_of_the_same_releases_is_found_again() -> None:
    def generation(number: int, sequence: int, overlay: str = "") -> Generation:
        return Generation(
            number=number,
            name=f"{number}-00000000",
            created=START,
            releases={"a": release(sequence)},
            overlay=overlay,
        )

    kept = (generation(1, 1), generation(2, 2), generation(3, 1, "x"))
    assert existing(kept, {"a": release(1)}, "") == kept[0]
    assert existing(kept, {"a": release(3)}, "") is None


CHANNELS = ("a", "b", "c")
sequences = st.integers(1, 6)


@st.composite
def situations(draw: st.DrawFn) -> tuple[Have, list[Offer]]:
    def some(channel: str) -> Release:
        return release(draw(sequences), channel)

    installed = {c: some(c) for c in CHANNELS if draw(st.booleans())}
    entries = tuple(
        held(*((c, some(c)) for c in draw(st.sets(st.sampled_from(CHANNELS), min_size=1))))
        for _ in range(draw(st.integers(0, 5)))
    )
    ends = st.none() | st.builds(
        Entitlement, st.dates(date(2025, 12, 30), date(2026, 1, 9)), st.just("Asia/Tokyo")
    )
    offers = [
        Offer(c, some(c), tuple(release(n, c) for n in range(1, 7)), draw(ends))
        for c in CHANNELS
        if draw(st.booleans())
    ]
    return have(installed, *entries), offers


@given(situations())
def test_a_quarantined_combination_is_never_chosen(situation: tuple[Have, list[Offer]]) -> None:
    had, offers = situation
    chosen = plan(had, CHANNELS, offers, "")
    if digests(chosen.releases) != digests(had.releases):
        assert had.quarantine.blocking(chosen.releases, "1") is None


@given(situations())
def test_a_channel_never_goes_back_unless_its_track_points_lower(
    situation: tuple[Have, list[Offer]],
) -> None:
    had, offers = situation
    pointed = {offer.channel: offer.pointed for offer in offers}
    for channel, chosen in plan(had, CHANNELS, offers, "").releases.items():
        installed = had.releases.get(channel)
        if installed and chosen.sequence < installed.sequence:
            assert chosen == pointed[channel]


@given(situations())
def test_nothing_beyond_the_track_or_the_licence_is_chosen(
    situation: tuple[Have, list[Offer]],
) -> None:
    had, offers = situation
    by_channel = {offer.channel: offer for offer in offers}
    for channel, chosen in plan(had, CHANNELS, offers, "").releases.items():
        if chosen != had.releases.get(channel):
            offer = by_channel[channel]
            assert chosen.sequence <= offer.pointed.sequence
            assert offer.entitlement is None or offer.entitlement.covers(chosen)


@given(situations())
def test_a_second_plan_after_the_first_was_followed_keeps(
    situation: tuple[Have, list[Offer]],
) -> None:
    had, offers = situation
    first = plan(had, CHANNELS, offers, "")
    second = plan(Have(first.releases, "", had.quarantine, "1"), CHANNELS, offers, "")
    third = plan(Have(second.releases, "", had.quarantine, "1"), CHANNELS, offers, "")
    assert third.action in {Action.keep, Action.wait, Action.install}
