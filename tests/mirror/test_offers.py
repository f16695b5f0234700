"""Which channel a native name is served from, and which of its releases a visitor gets."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.model.release import Assurance, File, Manifest, Pin, Provenance
from mirror.feeds import UpstreamSettings
from mirror.offers import Offer, clashes, databases, originals, rank, ranked, ranking
from mirror.web.native.clamav import database_of

DAY = timedelta(days=1)
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)


def manifest(
    sequence: int, *names: str, assurance: Assurance = Assurance.signed, channel: str = "clamav"
) -> Manifest:
    pin = Pin.of(b"")
    return Manifest(
        format=1,
        channel=channel,
        sequence=sequence,
        release=f"r{sequence}",
        published=BEGIN + sequence * DAY,
        vendor_time=None,
        assurance=assurance,
        engine="",
        provenance=Provenance("test"),
        file_list=pin,
        originals=tuple(File(name, pin.sha256, pin.length) for name in names),
    )


def offer(*sequences: int, pointed: int | None) -> Offer:
    releases = {number: manifest(number) for number in sequences}
    return Offer("site", "clamav", releases.get(pointed or 0), releases)


@pytest.mark.parametrize(
    ("pointed", "covered_days", "expected"),
    [
        pytest.param(3, 9, 3, id="the pointed one"),
        pytest.param(3, 2, 2, id="the newest covered one before it"),
        pytest.param(2, 9, 2, id="none after the pointed one, though it is covered"),
        pytest.param(3, 0, None, id="none is covered"),
        pytest.param(None, 9, None, id="nothing is pointed at"),
    ],
)
def test_a_visitor_gets_the_newest_covered_release_up_to_the_pointed_one(
    pointed: int | None, covered_days: int, expected: int | None
) -> None:
    found = offer(1, 2, 3, pointed=pointed).newest(lambda at: at <= BEGIN + covered_days * DAY)
    assert (found.sequence if found else None) == expected


def test_a_withdrawn_release_stands_in_for_nothing() -> None:
    one = replace(offer(1, 2, 3, pointed=3), withdrawn=frozenset({2}))
    found = one.newest(lambda at: at <= BEGIN + 2 * DAY)
    assert found is not None
    assert found.sequence == 1


@given(st.sets(st.integers(1, 50), min_size=1), st.integers(0, 60), st.data())
def test_no_visitor_gets_what_is_not_covered_or_not_out(
    sequences: set[int], days: int, data: st.DataObject
) -> None:
    pointed = data.draw(st.sampled_from(sorted(sequences)))
    found = offer(*sequences, pointed=pointed).newest(lambda at: at <= BEGIN + days * DAY)
    allowed = [number for number in sequences if number <= min(pointed, days)]
    assert (found.sequence if found else None) == max(allowed, default=None)


def test_who_is_not_bounded_gets_the_pointed_release() -> None:
    found = offer(1, 2, 3, pointed=2).newest()
    assert found
    assert found.sequence == 2


def test_channels_stand_as_the_settings_name_them() -> None:
    order = ranking(
        [
            UpstreamSettings("paid", kind="http", channel="paid"),
            UpstreamSettings("vendor", kind="tuf"),
            UpstreamSettings("official", kind="clamav", channel="clamav"),
        ]
    )
    offers = [
        Offer("site", "by-hand"), Offer("gone", "a"), Offer("site", "clamav"),
        Offer("vendor", "b"), Offer("vendor", "a"), Offer("site", "paid"),
    ]  # fmt: skip
    assert [found.name for found in ranked(offers, order)] == [
        "site/paid", "vendor/a", "vendor/b", "site/clamav", "site/by-hand", "gone/a",
    ]  # fmt: skip
    assert rank("site", "paid", order) < rank("vendor", "a", order)


def test_only_a_signed_release_has_originals_of_the_vendor() -> None:
    for assurance in Assurance:
        found = originals(manifest(1, "test.cvd", assurance=assurance))
        assert set(found) == ({"test.cvd"} if assurance is Assurance.signed else set())


def test_databases_are_the_whole_ones_by_a_name_that_is_one() -> None:
    names = ("daily.cvd", "daily-2.cdiff", "daily-2.cvd.sign", "Daily.cvd", "a/b.cvd", "x.cld")
    assert databases(manifest(1, *names)) == ("daily.cvd",)
    assert databases(None) == ()


def test_every_holder_after_the_first_is_told() -> None:
    held = [("site/a", ["x.cvd", "y.cvd"]), ("site/b", ["x.cvd"]), ("v/c", ["x.cvd", "z.cvd"])]
    assert list(clashes(held)) == [
        "/clamav/x.cvd: in site/a and in site/b; the first is served",
        "/clamav/x.cvd: in site/a and in v/c; the first is served",
    ]


@given(st.text() | st.from_regex(r"[a-z-]+-?[0-9]*\.(cvd|cdiff)(\.sign)?", fullmatch=True))
def test_any_name_belongs_to_one_database_or_to_none(name: str) -> None:
    database = database_of(name)
    assert database is None or name.startswith(database)


@given(
    st.from_regex(r"[a-z0-9][a-z0-9_]{0,20}", fullmatch=True), st.integers(1, 10**9), st.booleans()
)
def test_every_file_of_a_database_is_told_as_its_own(
    database: str, version: int, sign: bool
) -> None:
    names = [f"{database}.cvd", f"{database}-{version}.cdiff", f"{database}-{version}.cvd.sign"]
    names += [f"{database}-{version}.cdiff.sign"] if sign else []
    assert {database_of(name) for name in names} == {database}
