"""What is said of hosts: health in one word, and why one is on the release it is on."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite

from keys.model.report import EngineTold, HostReport, TroubleTold
from mirror.cli.hosts import table
from mirror.fleet.explanation import Explanation, Offered, explain
from mirror.fleet.health import Health, lines, totals
from mirror.fleet.newest import printable
from mirror.fleet.rate import Rate
from mirror.fleet.roster import EngineRow, HostRow, Load, Turn
from mirror.fleet.tables import Time

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ENGINE = EngineRow(
    engine="clamd", kind="clamd", version="1.4.6", track="stable", outcome="kept", proof="proven",
    proof_at=NOW, detail="", generation=3, installed_at=NOW, trouble="", held="", quarantined="",
    loads=(Load("clamav", 2, "b" * 64, "r2", NOW, "signed"),),
)  # fmt: skip
HOST = HostRow(
    name="mx1", first_seen=NOW, received=NOW, at=NOW, system="", sigupdate="1", exit_code=0,
    refreshed=NOW, trouble="", detections=None, seats=None, public_key="", engines=(ENGINE,),
)  # fmt: skip


def host(engine: Mapping[str, object] | None = None, **more: object) -> HostRow:
    changed = replace(ENGINE, **(engine or {}))  # type: ignore[arg-type] # fields of the row
    return replace(HOST, **{"engines": (changed,), **more})  # type: ignore[arg-type] # as above


def turns(count: int, *, before: timedelta = timedelta(0)) -> tuple[Turn, ...]:
    times = (NOW - before - timedelta(hours=number) for number in range(count))
    return tuple(Turn(at, bool(number % 2)) for number, at in enumerate(times))


@pytest.mark.parametrize(
    ("row", "health"),
    [
        (host(), Health.ok),
        (host({"proof": "probed"}), Health.ok),
        (host({"outcome": "went_back"}), Health.ok),
        (host(received=NOW - 2 * DAY), Health.silent),
        (host(refreshed=NOW - 2 * DAY), Health.stale),
        (host(refreshed=None), Health.stale),
        (host({"proof": "unproven"}), Health.unproven),
        (host({"proof": "failed"}), Health.unproven),
        (host({"outcome": "undone"}), Health.rolled_back),
        (host({"outcome": "refused"}), Health.rolled_back),
        (host({"proof": "unproven"}, received=NOW - 2 * DAY), Health.silent),
        (replace(HOST, engines=()), Health.ok),
        (host(refreshed=NOW + DAY), Health.stale),
        (host(turns=turns(5)), Health.ok),
        (host(turns=turns(6)), Health.flapping),
        (host(turns=turns(6, before=2 * DAY)), Health.ok),
        (host({"proof": "unproven"}, turns=turns(6)), Health.unproven),
    ],
)
def test_one_word_says_what_is_wrong_with_a_host(row: HostRow, health: Health) -> None:
    (line,) = lines([row], (), now=NOW, stale=DAY)
    assert line.health is health


def test_a_clock_that_is_wrong_on_the_host_makes_nothing_stale() -> None:
    ahead = host(at=NOW + 900 * DAY, refreshed=NOW + 900 * DAY)
    assert lines([ahead], (), now=NOW, stale=DAY)[0].health is Health.ok


def test_admitted_hosts_that_never_reported_are_listed() -> None:
    found = lines([HOST], ["mx0", "mx1"], now=NOW, stale=DAY)
    assert [(line.host, line.health) for line in found] == [
        ("mx0", Health.silent),
        ("mx1", Health.ok),
    ]


def test_a_host_counts_by_the_worst_of_its_engines() -> None:
    broken = replace(ENGINE, engine="yara", outcome="undone")
    rows = [replace(HOST, engines=(ENGINE, broken)), replace(HOST, name="mx2")]
    counted = totals(lines(rows, (), now=NOW, stale=DAY))
    assert (counted["hosts"], counted["ok"], counted["rolled back"]) == (2, 1, 1)


def test_only_engines_that_read_a_channel_are_listed() -> None:
    other = replace(ENGINE, engine="yara", loads=(Load("rules", 1, "a" * 64, "r", NOW, "none"),))
    rows = [replace(HOST, engines=(ENGINE, other))]
    found = lines(rows, (), now=NOW, stale=DAY, channel="rules")
    assert [line.engine.engine for line in found if line.engine] == ["yara"]


def test_hosts_stand_below_each_other_in_columns_and_a_long_cell_moves_its_own_line_only() -> None:
    many = tuple(Load(f"channel-{n}", n, "a" * 64, "r", NOW, "none") for n in range(1, 6))
    rows = [
        replace(HOST, name="a"),
        replace(HOST, name="gateway"),
        replace(HOST, name="m", engines=(replace(ENGINE, loads=many),)),
        replace(HOST, name="web~pod-1"),
    ]
    found = lines(rows, ["n"], now=NOW, stale=DAY)
    told = list(table(found, ["web"], at=NOW))
    assert told == [
        "a            clamd  clamav 2                                  proven  stable  0s ago  ok",
        "gateway      clamd  clamav 2                                  proven  stable  0s ago  ok",
        (
            "m            clamd  channel-1 1, channel-2 2, channel-3 3, channel-4 4, channel-5 5"
            "  proven  stable  0s ago  ok"
        ),
        (
            "n            -      -                                         -       -       never   "
            "silent  never reported"
        ),
        "web  pool, 1 reporting",
        "  web~pod-1  clamd  clamav 2                                  proven  stable  0s ago  ok",
        "5 hosts: 4 ok, 1 silent",
    ]


def told(row: HostRow, offered: Offered) -> Explanation:
    (found,) = explain(row, "clamav", offered, now=NOW, stale=DAY)
    return found


def offered(stable: int = 3, **more: object) -> Offered:
    published = {number: NOW - (4 - number) * timedelta(hours=1) for number in range(1, 4)}
    manifests = {number: "abc"[number - 1] * 64 for number in published}
    base = Offered({"stable": stable}, published, manifests)
    return replace(base, **more)  # type: ignore[arg-type] # fields of the value


@pytest.mark.parametrize(
    ("row", "what", "reason"),
    [
        (host(), offered(2), "points at release 2, the newest is 3"),
        (host(), offered(2, held="release r4 shrinks"), "held on this mirror: release r4 shrinks"),
        (host(), offered(2, stays="freeze"), "no track of this channel moves: freeze"),
        (host(), offered(2, withdrawn=(1, 3)), "withdrawn on this mirror: 3"),
        (host(), offered(pins={"mx1": 3}), "has not acted on release 3 yet"),
        (host({"quarantined": "c" * 64}), offered(), "has release 3 in quarantine"),
        (host({"trouble": "loader refused"}), offered(), "its last run said: loader refused"),
        (host({"held": "licence ended"}), offered(), "licence ended"),
        (host({"proof": "unproven", "detail": "down"}), offered(), "clamd is unproven: down"),
        (host(refreshed=NOW - timedelta(hours=2)), offered(), "before release 3 was published"),
        (host(received=NOW - 2 * DAY), offered(), "silent since 2026-02-28"),
        (host({"track": "canary"}), offered(), "track canary of this channel points at nothing"),
        (host({"loads": ()}), offered(), "reads no release of this channel"),
        (host(), offered(), "has not acted on release 3 yet"),
    ],
)
def test_the_reason_is_named(row: HostRow, what: Offered, reason: str) -> None:
    found = told(row, what)
    assert any(reason in line for line in found.reasons), found.reasons


def test_a_host_that_is_where_it_should_be_needs_no_reason() -> None:
    found = told(host({"loads": (Load("clamav", 3, "c" * 64, "r3", NOW, "signed"),)}), offered())
    assert found.is_current
    assert found.reasons == ()


def test_a_host_that_is_pinned_should_read_its_own_release() -> None:
    for name in ("mx1", "web~pod-1"):
        row = replace(
            host({"loads": (Load("clamav", 2, "b" * 64, "r2", NOW, "signed"),)}), name=name
        )
        found = told(row, offered(pins={name.partition("~")[0]: 2}))
        assert (found.is_pinned, found.is_current, found.offered) == (True, True, 2)
        assert found.reasons == ()


def test_a_release_that_was_taken_back_is_not_the_newest() -> None:
    found = told(
        host({"loads": (Load("clamav", 2, "b" * 64, "r2", NOW, "signed"),)}),
        offered(2, withdrawn=(3,)),
    )
    assert found.is_current
    assert found.reasons == ("withdrawn on this mirror: 3",)


def test_a_burst_is_allowed_and_then_a_steady_rate() -> None:
    rate = Rate(burst=3, seconds=2.0, max_clients=2)
    assert [rate.wait("a", now=0.0) for _ in range(3)] == [0.0] * 3
    assert rate.wait("a", now=0.0) == 2.0
    assert rate.wait("b", now=0.0) == 0.0
    assert rate.wait("a", now=1.0) == 1.0
    assert rate.wait("a", now=2.0) == 0.0
    rate.wait("c", now=2.0)
    assert rate.wait("b", now=2.0) == 0.0  # forgotten: memory is bounded


INSTANTS = st.datetimes(
    timezones=st.integers(-14 * 60 + 1, 14 * 60 - 1).map(lambda m: timezone(timedelta(minutes=m)))
)


@given(INSTANTS, INSTANTS)
def test_every_instant_is_kept_and_sorts_as_text(one: datetime, other: datetime) -> None:
    kept, dialect = Time(), sqlite.dialect()
    texts = [kept.process_bind_param(instant, dialect) for instant in (one, other)]
    read = [kept.process_result_value(text, dialect) for text in texts]
    assert [len(text or "") for text in texts] == [27, 27]
    assert (texts[0] or "") <= (texts[1] or "") or one >= other
    for instant, found in zip((one, other), read, strict=True):
        assert found is not None
        assert found == instant or found.year in {1, 9999}  # UTC has no name for it


@given(st.text(max_size=2000), st.text(max_size=200))
def test_what_a_host_writes_is_printable_and_otherwise_as_it_wrote_it(
    system: str, engine: str
) -> None:
    told = EngineTold(engine=engine, troubles=(TroubleTold(message=system),))
    report = HostReport(host="mx1", series="aa", number=1, at=NOW, system=system, engines=(told,))
    plain = printable(report)
    (found,) = plain.engines
    words = (plain.system, found.engine, found.troubles[0].message)
    assert all(word.isprintable() for word in words)
    assert printable(plain) == plain
    if system.isprintable() and engine.isprintable():
        assert plain == report
