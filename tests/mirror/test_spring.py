"""Two customers of one vendor over a spring: licences end, releases go on, both renew in May.

Fetched with our own client and with plain python-tuf, over a real listener.
"""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

import pytest
import urllib3
from aiohttp.test_utils import TestServer
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface

from keys.errors import MissingError
from keys.model.release import Manifest, Pin, blob_name
from keys.trust.channel import Channels
from keys.trust.repository import Repository
from mirror.fleet.customers import Customers
from mirror.fleet.doors import CustomersDoor
from tests.mirror.site import BY
from tests.mirror.web_site import PASSWORD, WebSite, customers, licence

ENDS = {"EAV-0123456": date(2026, 3, 31), "EAV-0654321": date(2026, 4, 15)}
RENEWED_ON = datetime(2026, 5, 1, 3, tzinfo=UTC)
DAYS = [datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(days=5 * n) for n in range(16)]


class UncoveredError(Exception):
    """The mirror answered 402."""


@dataclass
class Customer:
    """A customer's host; it keeps what it trusts from one day to the next."""

    username: str
    base: str
    folder: Path
    root: bytes

    def get(self, path: str) -> bytes:
        pair = f"{self.username}:{PASSWORD.reveal()}".encode()
        headers = {"Authorization": "Basic " + b64encode(pair).decode()}
        answer = urllib3.request("GET", f"{self.base}/r/site/{path}", headers=headers)
        if answer.status == 404:
            raise MissingError(path)
        if answer.status == 402:
            raise UncoveredError(answer.headers["Licence-Ends-On"])
        assert answer.status == 200, answer.data
        return answer.data

    def read(self, name: str, *, max_bytes: int) -> bytes:
        """Serve as the metadata source."""
        del max_bytes
        return self.get(f"metadata/{name}")

    def blob(self, target: str, pin: Pin, max_bytes: int) -> bytes:
        del max_bytes
        return pin.check(self.get(f"targets/{blob_name(target, pin.sha256)}"), target)

    def look(self, now: datetime) -> tuple[set[int], set[int]]:
        """Refresh; return the releases that are listed, and those whose files are handed out."""
        repository = Repository("site", self.folder / "metadata", self.folder / "clock.json")
        repository.bootstrap(self.root)
        repository.refresh(self, now=now)
        channels = Channels(repository, self, self.blob)
        listed = [manifest for _, manifest in channels.manifests("inhouse")]
        got = {one.sequence for one in listed if self._covers(channels, one)}
        return {one.sequence for one in listed}, got

    def _covers(self, channels: Channels, manifest: Manifest) -> bool:
        try:
            for file in channels.files(manifest):
                self.blob(f"inhouse/files/{file.path}", file.pin, 1 << 20)
        except UncoveredError:
            return False
        return True


class WithPassword(FetcherInterface):
    """python-tuf's way to fetch, with a credential."""

    def __init__(self, customer: Customer) -> None:
        self._customer = customer

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            yield self._customer.get(url.partition("/r/site/")[2])
        except MissingError as exc:
            raise DownloadHTTPError(url, 404) from exc
        except UncoveredError as exc:
            raise DownloadHTTPError(url, 402) from exc


@pytest.fixture
async def vendor(tmp_path: Path) -> AsyncIterator[tuple[WebSite, TestServer]]:
    site = WebSite(tmp_path)
    known = customers({name: licence(name, ends_on) for name, ends_on in ENDS.items()})
    server = TestServer(await site.application(CustomersDoor(known)))
    await server.start_server()
    yield site, server
    await server.close()


def renewed(known: Customers) -> Customers:
    for name in ENDS:
        one = licence(name, date(2027, 4, 30), starts_on=date(2026, 5, 1), sequence=2)
        known = known.renew(name, one)
    return known


async def through_spring(
    site: WebSite, look: Callable[[datetime], None], known: Customers
) -> dict[int, datetime]:
    """Publish every five days, sign what is due, and let the customers look."""
    published: dict[int, datetime] = {}
    site.keep = 2
    site.entitlements = lambda: known.entitlements(site.now)
    for day in DAYS:
        site.now = day
        manifest = await site.publish({"daily.yar": f"// {day:%m-%d}\n".encode()})
        published[manifest.sequence] = day
        await site.mirror.editions.renew(BY, now=day)
        if day > RENEWED_ON > day - timedelta(days=5):
            known = renewed(known)
            site.door(CustomersDoor(known))
        await site.site.refresh()
        await asyncio.to_thread(look, day)
    return published


@pytest.mark.slow
async def test_two_customers_get_exactly_their_releases_and_no_error(
    vendor: tuple[WebSite, TestServer],
) -> None:
    site, server = vendor
    known = customers({name: licence(name, ends_on) for name, ends_on in ENDS.items()})
    root = (site.mirror.folder / "r/site/metadata/1.root.json").read_bytes()
    base = str(server.make_url("")).rstrip("/")
    hosts = {name: Customer(name, base, site.folder / name, root) for name in ENDS}
    seen: list[tuple[datetime, str, set[int], set[int]]] = []

    def look(day: datetime) -> None:
        seen.extend((day, name, *host.look(day)) for name, host in hosts.items())

    published = await through_spring(site, look, known)
    for day, name, listed, got in seen:
        until = datetime.max.replace(tzinfo=UTC) if day > RENEWED_ON else _midnight(ENDS[name])
        covered = {number for number, at in published.items() if at <= day and at < until}
        assert got == listed & covered, (day, name)
        assert max(covered) in got, "the last release a licence covers is kept"


def _midnight(ends_on: date) -> datetime:
    """Return the end of a day in Tokyo."""
    return datetime(ends_on.year, ends_on.month, ends_on.day, 15, tzinfo=UTC)


@pytest.mark.slow
async def test_plain_python_tuf_sees_no_rollback_and_no_expired_role(
    vendor: tuple[WebSite, TestServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, server = vendor
    known = customers({name: licence(name, ends_on) for name, ends_on in ENDS.items()})
    root = (site.mirror.folder / "r/site/metadata/1.root.json").read_bytes()
    base = str(server.make_url("")).rstrip("/")
    host = Customer("EAV-0123456", base, site.folder / "plain", root)
    (host.folder / "targets").mkdir(parents=True)
    outcomes: dict[date, int] = {}

    def look(day: datetime) -> None:
        # python-tuf takes no clock: the date it believes in can only be patched
        clock = SimpleNamespace(datetime=_Clock(day), timezone=timezone)
        monkeypatch.setattr("tuf.ngclient._internal.trusted_metadata_set.datetime", clock)
        updater = Updater(
            str(host.folder), f"{base}/r/site/metadata/", str(host.folder / "targets"),
            f"{base}/r/site/targets/", WithPassword(host), bootstrap=root,
        )  # fmt: skip
        updater.refresh()
        info = updater.get_targetinfo("inhouse/files/daily.yar")
        assert info is not None
        try:
            updater.download_target(info)
            outcomes[day.date()] = 200
        except DownloadHTTPError as exc:
            outcomes[day.date()] = exc.status_code

    await through_spring(site, look, known)
    covered = {day for day, status in outcomes.items() if status == 200}
    assert covered == {d.date() for d in DAYS if d < _midnight(date(2026, 3, 31)) or d > RENEWED_ON}
    assert set(outcomes.values()) == {200, 402}


class _Clock:
    """Stands for the class ``datetime`` where only the time of day is asked."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self, _zone: object) -> datetime:
        return self._now
