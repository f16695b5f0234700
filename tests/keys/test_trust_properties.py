"""Whatever bytes come, the answer is a role or one of our errors; no flipped bit is believed."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import Error, TrustError
from keys.trust import roles
from keys.trust.clock import Known
from keys.trust.tuf_api import Root, Timestamp
from tests.tuf_repository import SignedRepository

SERVER = SignedRepository()
TIMESTAMP = SERVER.newest("timestamp")
INSTANTS = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    timezones=st.just(UTC),
)

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def believe_nothing_else(data: bytes) -> None:
    """Refuse, or read what was signed: a reading of other bytes as the same role is harmless."""
    try:
        role = roles.timestamp(data, SERVER.root, "timestamp.json")
    except Error:
        return
    assert role == SERVER.timestamp


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_as_what_they_are(data: bytes) -> None:
    with pytest.raises(TrustError, match="what it was"):
        roles.parse(data, Root, "what it was")


@given(st.sampled_from(["version", "expires", "meta", "spec_version", "_type"]), JSON)
def test_a_role_with_any_value_in_any_place_says_the_same_or_is_refused(
    key: str, value: Any
) -> None:
    document = json.loads(TIMESTAMP)
    document["signed"][key] = value
    believe_nothing_else(json.dumps(document).encode())


@given(st.integers(0, len(TIMESTAMP) * 8 - 1))
def test_a_role_with_one_bit_flipped_says_the_same_or_is_refused(bit: int) -> None:
    data = bytearray(TIMESTAMP)
    data[bit // 8] ^= 1 << bit % 8
    believe_nothing_else(bytes(data))


@given(INSTANTS, INSTANTS, st.lists(INSTANTS, min_size=1, max_size=4))
def test_the_floor_never_sinks_and_never_passes_a_role_in_force(
    floor: datetime, signed_at: datetime, expiries: list[datetime]
) -> None:
    known = Known(floor=floor, expiries={str(n): at for n, at in enumerate(expiries)})
    after = known.witnessing(signed_at)
    assert after.floor >= floor
    assert after.floor in {floor, signed_at}
    assert after.floor == floor or after.floor < min(expiries)


@given(INSTANTS, INSTANTS)
def test_the_reference_time_is_the_later_of_clock_and_floor(now: datetime, floor: datetime) -> None:
    reference = Known(floor=floor).reference(now)
    assert reference.time == max(now, floor)
    assert reference.time + timedelta(1) > now


@given(st.text(min_size=1, max_size=60))
def test_a_role_of_any_name_is_one_harmless_file_name(role: str) -> None:
    try:
        name = roles.file_name(role)
    except Error:
        return
    assert name.isascii()
    assert "/" not in name
    assert name.endswith(".json")
    assert name not in {".", ".."}


def test_a_kind_of_role_is_never_taken_for_another() -> None:
    with pytest.raises(TrustError, match="holds the role timestamp, not root"):
        roles.parse(TIMESTAMP, Root, "x")
    assert roles.parse(TIMESTAMP, Timestamp, "x").signed.version == 1
