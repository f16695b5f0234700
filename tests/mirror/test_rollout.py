from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror import rollout
from mirror.rollout import Entitlement

TOKYO = ZoneInfo("Asia/Tokyo")
DAYS = {number: datetime(2027, 3, number, 12, tzinfo=UTC) for number in range(1, 29)}

releases = st.dictionaries(st.integers(1, 50), st.sampled_from(list(DAYS.values())), min_size=1)


@pytest.mark.parametrize(
    ("published", "covered"),
    [
        (datetime(2027, 3, 31, 14, 59, 59, tzinfo=UTC), True),
        (datetime(2027, 3, 31, 15, 0, 0, tzinfo=UTC), False),
    ],
    ids=["23:59:59 in Tokyo", "midnight in Tokyo"],
)
def test_a_licence_covers_its_last_day_in_its_own_zone(published: datetime, covered: bool) -> None:
    assert Entitlement(date(2027, 3, 31), TOKYO).covers(published) is covered


def test_a_new_release_goes_to_the_canary_track_where_there_is_one() -> None:
    assert rollout.first_track("a", ("b", "a")) == "canary"
    assert rollout.first_track("c", ("b", "a")) == "stable"


def test_the_first_release_is_number_one() -> None:
    assert rollout.next_sequence(()) == 1
    assert rollout.next_sequence((3, 9, 4)) == 10


def test_the_newest_covered_release_is_chosen() -> None:
    assert rollout.newest_covered(DAYS, Entitlement(date(2027, 3, 9), ZoneInfo("UTC"))) == 9
    assert rollout.newest_covered(DAYS, Entitlement(date(2027, 2, 9), ZoneInfo("UTC"))) is None


@given(releases, st.sets(st.integers(1, 50)), st.integers(-1, 10), st.integers(0, 30))
def test_what_is_needed_is_never_dropped(
    published: dict[int, datetime], pointed: set[int], keep: int, last_day: int
) -> None:
    entitlement = Entitlement(date(2027, 3, 1) + timedelta(days=last_day), TOKYO)
    kept = rollout.kept(published, pointed, [entitlement], keep=keep)
    assert max(published) in kept
    assert pointed & set(published) <= kept
    assert kept <= set(published)
    assert len(kept) <= max(keep, 1) + len(pointed) + 1
    covered = rollout.newest_covered(published, entitlement)
    assert covered is None or covered in kept
