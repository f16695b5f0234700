"""Members of pools come and go; what is in use of a licence is counted by what hosts report."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from keys.errors import LimitError
from keys.model.licence import Licence
from keys.model.release import encode
from keys.model.report import ChannelRelease, EngineTold, HostReport
from keys.model.seats import Usage
from keys.model.standing import state_at
from mirror.feeds import UpstreamSettings
from mirror.fleet import desk as desks
from mirror.fleet.audit import faults
from mirror.fleet.desk import Desk
from mirror.fleet.health import lines
from mirror.fleet.roster import EngineRow, HostRow, Load
from mirror.fleet.usage import usage
from mirror.licence_status import licence_statuses, licence_troubles
from mirror.settings import LicenceSettings, Settings
from tests.keys.issuing import LICENCE, but
from tests.mirror.desks import opened

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
STALE = 26 * HOUR


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(f"sqlite:///{tmp_path}/fleet.db") as desk:
        yield desk


def report(host: str, channel: str = "paid", number: int = 1, **more: object) -> HostReport:
    release = ChannelRelease(sequence=1, manifest_sha256="a" * 64)
    engine = EngineTold(engine="clamd", proof="proven", channels={channel: release})
    told = HostReport(
        host=host, series="aa", number=number, at=NOW, refreshed={"site": NOW}, engines=(engine,)
    )
    return msgspec.structs.replace(told, **more)


async def take(desk: Desk, told: HostReport, *, now: datetime = NOW) -> None:
    await desk.take(told, encode(told), now=now)


async def names(desk: Desk) -> list[str]:
    return [row.name for row in await desk.hosts()]


async def test_a_full_pool_takes_no_more_members_and_forgets_the_silent(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desks, "MAX_MEMBERS", 3)  # ten thousand take too long
    for member in "abc":
        await take(desk, report(f"web~{member}"))
    with pytest.raises(LimitError, match="MAX_MEMBERS=3"):
        await take(desk, report("web~d"))
    await take(desk, report("web_2~a"))  # another pool, and a host: neither is full
    await take(desk, report("web"))
    await take(desk, report("web~a", number=2), now=NOW + HOUR)
    assert await desk.forget_members(NOW + HOUR) == 3
    assert await names(desk) == ["web", "web~a"]
    await take(desk, report("web~d"), now=NOW + HOUR)
    assert [fault async for fault in faults(desk.database)] == []


async def test_what_a_forgotten_member_reported_goes_by_age(desk: Desk) -> None:
    await take(desk, report("web~a"))
    await take(desk, report("mx1"))
    await desk.forget_members(NOW + HOUR)
    assert await desk.forget(NOW + HOUR) == 1
    await take(desk, report("web~a", number=2), now=NOW + HOUR)
    assert [fault async for fault in faults(desk.database)] == []


async def test_removing_a_pool_forgets_its_members_and_no_other(desk: Desk) -> None:
    for name in ("web~a", "web~b", "webx~a", "web_~a", "web"):
        await take(desk, report(name))
    await desk.remove("web")
    assert await names(desk) == ["web_~a", "webx~a"]


async def test_a_silent_member_is_gone_and_a_silent_host_is_not(desk: Desk) -> None:
    await take(desk, report("web~a"))
    await take(desk, report("mx1"))
    found = lines(await desk.hosts(), (), now=NOW + STALE + HOUR, stale=STALE)
    assert [(line.host, line.health.value) for line in found] == [("mx1", "silent")]


async def test_hosts_and_seats_of_a_licence_are_those_that_read_its_channels(desk: Desk) -> None:
    upstreams = [
        UpstreamSettings(name="paid-feed", kind="http", channel="paid", licence="av"),
        UpstreamSettings(name="acme", kind="tuf", licence="av"),
        UpstreamSettings(name="free", kind="http", channel="free"),
        UpstreamSettings(name="other", kind="http", channel="other", licence="another"),
    ]
    for host, channel, seats in (
        ("mx1", "paid", 100),
        ("mx2", "site/paid", 50),
        ("mx3", "acme/engine", None),
        ("mx4", "free", 7),
        ("mx5", "other", 7),
        ("mx6", "elsewhere/paid", 7),
        ("web~a", "paid", 30),
        ("web~b", "paid", 40),
    ):
        await take(desk, report(host, channel, seats=seats))
    rows = await desk.hosts()
    assert usage(rows, upstreams, {"av"}) == Usage(seats=190, hosts=4)
    assert usage(rows, upstreams, {"another"}) == Usage(seats=7, hosts=1)
    assert usage(rows, upstreams, set()) == Usage()


def licence(organisation: str, seats: int, **more: object) -> Licence:
    return but(LICENCE, organisation=organisation, seats=seats, **more)


@pytest.mark.parametrize(
    ("seats", "organisation", "hosts", "limit", "flagged"),
    [
        ([3000], "ACME", 10, 10, False),
        ([3000], "ACME", 11, 10, True),
        ([60, 60], "ACME", 4, 4, False),  # 120 seats together
        ([60, 60], "ACME", 5, 4, True),
        ([3000], "", 11, 10, True),  # typed by the operator
    ],
)
def test_managed_hosts_are_counted_against_all_licences_of_an_organisation(
    seats: list[int], organisation: str, hosts: int, limit: int, flagged: bool
) -> None:
    records = {f"av{n}": licence(organisation, one) for n, one in enumerate(seats)}
    settings = Settings(
        licence=tuple(LicenceSettings(name=name, file="x", seats=3000) for name in records),
        upstream=tuple(
            UpstreamSettings(name=f"feed{name}", kind="http", channel="paid", licence=name)
            for name in records
        ),
    )
    now = datetime(2025, 6, 1, tzinfo=UTC)
    load = Load("paid", 1, "a" * 64, "r1", None, "signed")
    engine = EngineRow("clamd", "", "", "", "", "proven", None, "", 1, None, "", "", "", (load,))
    fleet = [
        HostRow(f"mx{n}", now, now, now, "", "", 0, now, "", None, None, "", (engine,))
        for n in range(hosts)
    ]
    standings = {name: state_at([record], now) for name, record in records.items()}
    for status in licence_statuses(settings, standings, fleet):
        assert (status.hosts, status.host_limit) == (hosts, limit)
        assert ("over_hosts" in status.flags) is flagged
        said = [one for one in licence_troubles(status) if "over_hosts" in one]
        assert bool(said) is flagged
        assert not flagged or f"over_hosts {hosts}/{limit}" in said[0]
