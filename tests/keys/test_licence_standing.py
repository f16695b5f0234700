"""Where licences stand on a day, and what follows from seats: tables of the rules."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import LicenceError
from keys.model.licence import Kind, Licence, decode_licence, encode_licence
from keys.model.seats import (
    Holding,
    Usage,
    add_on_warning,
    flags,
    host_limit,
    hosts_for,
    merge,
)
from keys.model.standing import State, reference_time, state_at, state_on
from tests.keys.issuing import LICENCE, RENEWAL, but

END = LICENCE.ends_on
ONE_SECOND = timedelta(seconds=1)

DAYS = [
    (-366, State.pending, False),
    (-365, State.pending, False),
    (-364, State.active, True),
    (-61, State.active, True),
    (-60, State.expiring, True),
    (-1, State.expiring, True),
    (0, State.expiring, True),
    (1, State.renewal_window, False),
    (89, State.renewal_window, False),
    (90, State.lapsed, False),
    (4000, State.lapsed, False),
]


@pytest.mark.parametrize("tz", ["Asia/Tokyo", "UTC", "America/St_Johns"])
@pytest.mark.parametrize(("days", "state", "may_pull"), DAYS)
def test_the_state_follows_from_the_day_in_the_licences_own_zone(
    days: int, state: State, tz: str, *, may_pull: bool
) -> None:
    licence, day = but(tz=tz), END + timedelta(days=days)
    assert state_on([licence], day).state is state
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(tz))
    for instant in (midnight, midnight + timedelta(days=1) - ONE_SECOND):
        found = state_at([licence], instant.astimezone(UTC))
        assert (found.state, found.may_pull, found.may_enrol) == (state, may_pull, may_pull)
        assert found.days_left == -days


def test_the_last_second_of_the_end_date_in_japan_is_covered() -> None:
    last = datetime(2026, 3, 31, 14, 59, 59, tzinfo=UTC)
    assert state_at([LICENCE], last).may_pull
    assert state_at([LICENCE], last).covers(last)
    assert not state_at([LICENCE], last + ONE_SECOND).may_pull
    assert not state_at([LICENCE], last + ONE_SECOND).covers(last + ONE_SECOND)
    assert state_at([LICENCE], last + ONE_SECOND).covers(last)


def test_the_guides_example_of_a_window() -> None:
    assert state_on([LICENCE], date(2026, 4, 1)).state is State.renewal_window
    assert state_on([LICENCE], date(2026, 6, 28)).state is State.renewal_window
    assert state_on([LICENCE], date(2026, 6, 29)).state is State.lapsed
    assert LICENCE.renewable_until == date(2026, 6, 28)


def test_an_exclusive_end_date_ends_a_day_earlier() -> None:
    licence = but(end_date_inclusive=False)
    assert state_on([licence], END - timedelta(days=1)).may_pull
    assert not state_on([licence], END).may_pull


def test_grace_days_extend_what_is_covered() -> None:
    licence = but(grace_days=7)
    assert state_on([licence], END + timedelta(days=7)).may_pull
    assert not state_on([licence], END + timedelta(days=8)).may_pull


def test_notices_are_due_on_warn_days_and_then_daily() -> None:
    due = [
        days for days in range(-70, 100)
        if state_on([LICENCE], END + timedelta(days=days)).notice_due
    ]  # fmt: skip
    assert due == [-60, -30, -20, -7, -1, *range(1, 90)]


def test_a_renewal_held_early_lets_every_day_be_pulled() -> None:
    for days in range(-360, 365):
        assert state_on([LICENCE, RENEWAL], END + timedelta(days=days)).may_pull, days
    assert state_on([LICENCE, RENEWAL], END).ends_on == RENEWAL.ends_on
    assert state_on([LICENCE, RENEWAL], END - timedelta(days=5)).state is State.active


def test_a_renewal_with_a_gap_leaves_the_gap_uncovered() -> None:
    late = but(RENEWAL, starts_on=date(2026, 5, 1))
    assert state_on([LICENCE, late], date(2026, 3, 31)).ends_on == END
    assert state_on([LICENCE, late], date(2026, 4, 15)).state is State.renewal_window
    assert state_on([LICENCE, late], date(2026, 5, 1)).may_pull


def test_of_two_serials_in_force_the_earliest_end_counts() -> None:
    other = but(serial="EMSL-0002", ends_on=date(2026, 3, 1))
    assert state_on([LICENCE, other], date(2026, 2, 1)).ends_on == date(2026, 3, 1)
    assert state_on([LICENCE, other], date(2026, 3, 15)).ends_on == END


def test_a_suspended_licence_covers_up_to_its_suspension() -> None:
    on = date(2026, 1, 10)
    found = state_on([LICENCE], date(2026, 2, 1), suspended_on=on)
    assert (found.state, found.covered_until, found.may_pull) == (State.suspended, on, False)
    assert state_on([LICENCE], date(2026, 1, 9), suspended_on=on).may_pull


def test_setting_the_clock_back_revives_nothing() -> None:
    back, seen = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)
    assert state_at([LICENCE], back).may_pull
    assert not state_at([LICENCE], reference_time(back, [LICENCE], seen)).may_pull
    before_issue = datetime(2020, 1, 1, tzinfo=UTC)
    assert reference_time(before_issue, [LICENCE]) == LICENCE.issued_at


def test_no_licence_is_a_named_error() -> None:
    with pytest.raises(LicenceError, match="no licence is held"):
        state_on([], END)
    with pytest.raises(LicenceError, match="no licence is held"):
        state_at([], datetime(2026, 1, 1, tzinfo=UTC))


ORDER = (State.pending, State.active, State.expiring, State.renewal_window, State.lapsed)


@given(
    term=st.integers(0, 5 * 365),
    window=st.integers(1, 400),
    warn=st.lists(st.integers(0, 400), max_size=5).map(tuple),
    inclusive=st.booleans(),
    day=st.integers(-500, 3000),
)
def test_a_licence_never_goes_back(
    term: int, window: int, warn: tuple[int, ...], day: int, *, inclusive: bool
) -> None:
    licence = but(
        ends_on=LICENCE.starts_on + timedelta(days=term),
        renewal_window_days=window,
        warn_days=warn,
        end_date_inclusive=inclusive,
    )
    today = LICENCE.starts_on + timedelta(days=day)
    now, then = (state_on([licence], one) for one in (today, today + timedelta(days=1)))
    assert ORDER.index(now.state) <= ORDER.index(then.state)
    assert then.days_left == now.days_left - 1


@given(day=st.integers(-500, 1500))
def test_holding_a_renewal_beside_never_makes_a_day_worse(day: int) -> None:
    today = END + timedelta(days=day)
    alone, beside = state_on([LICENCE], today), state_on([LICENCE, RENEWAL], today)
    assert beside.may_pull >= alone.may_pull
    assert (beside.covered_until or date.min) >= (alone.covered_until or date.min)


HOSTS = [
    (1, 2), (49, 2), (50, 2), (51, 3), (100, 3), (101, 4), (500, 4), (501, 5), (1000, 5),
    (1001, 10), (5000, 10), (5001, 15), (10_000, 15), (10_001, 20), (1_000_000, 20),
]  # fmt: skip


@pytest.mark.parametrize(("seats", "hosts"), HOSTS)
def test_seats_tell_how_many_hosts_are_managed(seats: int, hosts: int) -> None:
    assert hosts_for(seats) == hosts
    assert host_limit(but(seats=seats)) == hosts
    assert host_limit(but(seats=seats, host_limit_override=77)) == 77


def test_no_seats_are_no_licence() -> None:
    with pytest.raises(LicenceError, match="0 seats"):
        hosts_for(0)
    with pytest.raises(LicenceError, match=r"Expected `int` >= 1 - at `\$.seats`"):
        decode_licence(encode_licence(LICENCE).replace(b'"seats":250', b'"seats":0'), "a.lic")


def test_licences_of_one_organisation_merge_for_a_feed() -> None:
    other = but(serial="EMSL-0002", seats=50, ends_on=date(2026, 3, 1))
    management = but(kind=Kind.management)
    elsewhere = but(serial="EMSL-0003", feeds=("kam",))
    merged = merge([LICENCE, other, management, elsewhere], "inhouse")
    assert merged == Holding(LICENCE.organisation, 300, date(2026, 3, 1))


def test_licences_of_two_organisations_never_merge() -> None:
    with pytest.raises(LicenceError, match=r"Example Ltd and 株式会社サンプル"):
        merge([LICENCE, but(organisation="Example Ltd")], "inhouse")
    with pytest.raises(LicenceError, match="found no licence"):
        merge([LICENCE], "kam")


@pytest.mark.parametrize(
    ("added", "today", "renewing", "warned"),
    [
        (3, date(2026, 1, 1), False, False),
        (2, date(2026, 1, 1), False, True),
        (1, date(2026, 1, 1), True, False),
        (1, date(2025, 4, 1), False, True),
        (1, date(2025, 3, 31), False, False),
    ],
    ids=["three", "two", "with a renewal", "a day below a year left", "a year left"],
)
def test_a_small_add_on_is_warned_of(
    added: int, today: date, *, renewing: bool, warned: bool
) -> None:
    assert bool(add_on_warning(LICENCE, added, today, renewing=renewing)) is warned


MANAGEMENT = but(kind=Kind.management)
FLAGS: list[tuple[str, tuple[Licence, ...], Usage, tuple[str, ...]]] = [
    ("nothing", (LICENCE, MANAGEMENT), Usage(200, 4), ()),
    ("too many hosts", (LICENCE, MANAGEMENT), Usage(0, 5), ("over_hosts",)),
    ("seats nearly used", (LICENCE, MANAGEMENT), Usage(225, 0), ("seats_nearly_used",)),
    ("too many seats", (LICENCE, MANAGEMENT), Usage(251, 0), ("over_seats",)),
    ("no management file", (LICENCE,), Usage(), ("key_file_missing(management)",)),
    ("no scanner file", (MANAGEMENT,), Usage(), ("key_file_missing(scanner)",)),
    ("a feed needs no key file", (but(kind=Kind.feed),), Usage(), ()),
    ("few seats", (but(kind=Kind.feed, seats=49),), Usage(), ("below_smallest_tier",)),
    ("override", (but(kind=Kind.feed, host_limit_override=9),), Usage(0, 9), ()),
]


@pytest.mark.parametrize(
    ("licences", "usage", "expected"), [row[1:] for row in FLAGS], ids=[row[0] for row in FLAGS]
)
def test_flags_stand_beside_the_state(
    licences: tuple[Licence, ...], usage: Usage, expected: tuple[str, ...]
) -> None:
    assert flags(licences, usage) == expected


MALFORMED = [
    (b'"tz":"Asia/Tokyo"', b'"tz":"Asia/Edo"', "tz: no such time zone: 'Asia/Edo'"),
    (b'"tz":"Asia/Tokyo"', b'"tz":"../../etc/passwd"', "tz: no such time zone"),
    (b'"2026-03-31"', b'"2O26-03-31"', "`$.ends_on`"),
    (b'"2026-03-31"', b'"2025-03-31"', "ends_on: before starts_on"),
    (b'"2026-03-31"', b'"2030-04-02"', "ends_on: a term of more than 5 years"),
    (b'"kind":"scanner"', b'"kind":"other"', "`$.kind`"),
    (b'"serial":', b'"cereal":', "unknown field `cereal`"),
    (b'"feeds":["inhouse"]', b'"feeds":["root"]', "feeds: channel 'root': not a channel name"),
    ("株式会社".encode(), b"\\u202e", "organisation: holds a control or invisible character"),
    (b"}", b"", "truncated"),
]


@pytest.mark.parametrize(("old", "new", "reason"), MALFORMED)
def test_a_malformed_record_is_refused_naming_the_field(
    old: bytes, new: bytes, reason: str
) -> None:
    data = encode_licence(LICENCE)
    assert old in data
    with pytest.raises(LicenceError, match=r"^a\.lic: ") as caught:
        decode_licence(data.replace(old, new), "a.lic")
    assert reason in str(caught.value)
