"""A mirror's HTTP application over a real repository, with a clock the test sets."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import TypeAlias

from aiohttp import web
from aiohttp.test_utils import TestClient

from keys.credentials import Credential, Secret
from keys.model.licence import Kind, Licence
from keys.model.release import Manifest, Pin, blob_name, file_target
from mirror.fleet.customers import Customers
from mirror.fleet.doors import Door, OpenDoor
from mirror.fleet.sharing import Sharing
from mirror.fleet.throttle import Throttle
from mirror.intake import NO_LABEL, Label
from mirror.publish import Publishing
from mirror.rollout import Entitlement
from mirror.settings import ServeSettings
from mirror.storage.base import Store
from mirror.upstream.base import Candidate
from mirror.web.access import Gate, Proxies
from mirror.web.cache.store import CachedStore
from mirror.web.gauges import Facts
from mirror.web.hot import HotRepository
from mirror.web.metrics import Metrics
from mirror.web.native.index import NativeIndex
from mirror.web.repository import Repositories
from mirror.web.service import Service
from tests.mirror.site import BY, NOW, Client, Mirror, candidate

Browser: TypeAlias = TestClient[web.Request, web.Application]
PASSWORD = Secret("correct horse")


def licence(
    username: str, ends_on: date, *, starts_on: date | None = None, sequence: int = 1,
    feeds: tuple[str, ...] = ("inhouse",),
    issued_at: datetime = datetime(2026, 1, 1, tzinfo=NOW.tzinfo),
) -> Licence:  # fmt: skip
    """Make a licence of channel ``inhouse``, or of others, as its issuer would."""
    starts_on = starts_on or date(ends_on.year - 1, ends_on.month, 1)
    return Licence(
        id=f"{username}-{sequence}",
        serial=username,
        kind=Kind.feed,
        product="rules",
        organisation="株式会社例",
        seats=50,
        starts_on=starts_on,
        ends_on=ends_on,
        tz="Asia/Tokyo",
        sequence=sequence,
        issued_at=issued_at,
        feeds=feeds,
    )


def customers(licences: Mapping[str, Licence]) -> Customers:
    found = Customers()
    for username, one in licences.items():
        found = found.add(username, one, PASSWORD, now=NOW)
    return found


def auth(username: str, password: str = PASSWORD.reveal()) -> dict[str, str]:
    return {"Authorization": Credential(username, Secret(password)).basic()}


@dataclass
class WebSite:
    """One mirror, one service; ``now`` is what its clock says."""

    folder: Path
    store: Store | None = None
    keeper: CachedStore | None = None
    now: datetime = NOW
    serve: ServeSettings = field(default_factory=ServeSettings)
    keep: int = 10
    sharing: Sharing = field(default_factory=Sharing)
    signs_files: bool = False
    entitlements: Callable[[], Iterable[Entitlement]] = tuple
    mirror: Mirror = field(init=False)
    repositories: Repositories = field(init=False)

    def __post_init__(self) -> None:
        self.mirror = Mirror.found(self.folder / "mirror")
        self.store = self.store or self.mirror.store

    @property
    def site(self) -> HotRepository:
        return self.repositories.by_name["site"]

    def door(self, door: Door, *, proxies: Proxies | None = None) -> None:
        """Put another door in force."""
        self.repositories = self._repositories(door, proxies)

    def _repositories(self, door: Door, proxies: Proxies | None = None) -> Repositories:
        assert self.store is not None
        served = self.keeper or self.store
        by_name = {"site": HotRepository(served, "site", self.keeper)}
        return Repositories(
            store=served,
            by_name=by_name,
            gate=Gate(door, Throttle(), proxies or Proxies((), required=False)),
            public=isinstance(door, OpenDoor),
            sharing=self.sharing,
            index=NativeIndex(by_name, gated=door.gated),
        )

    async def application(self, door: Door | None = None) -> web.Application:
        """Build the application, its repository loaded."""
        self.repositories = self._repositories(door or OpenDoor())
        service = Service(self, Metrics(lambda: Facts(self.now)), lambda: self.now)
        await self.site.refresh()
        return service.application()

    async def publish(
        self,
        contents: Mapping[str, bytes],
        *,
        channel: str = "inhouse",
        label: Label = NO_LABEL,
        originals: Mapping[str, bytes] | None = None,
    ) -> Manifest:
        """Publish a release to stable as another process would, and return its manifest."""
        folder = self.folder / f"release-{len(list(self.folder.iterdir()))}"
        beside = candidate(folder, originals or {}).files
        brought = replace(candidate(folder, contents), originals=beside)
        return await self.release(brought, channel=channel, label=label)

    async def release(
        self, brought: Candidate, *, channel: str, label: Label = NO_LABEL
    ) -> Manifest:
        """Publish what an upstream brought."""
        publishing = Publishing(
            self.mirror.editions,
            keep_releases=self.keep,
            entitlements=self.entitlements,
            sidecars=self.mirror.sidecar_key if self.signs_files else lambda: None,
        )
        await publishing.release(
            brought, channel=channel, track="stable", label=label, by=BY, now=self.now
        )
        return self.client().offered(channel, now=self.now)

    def client(self) -> Client:
        return self.mirror.client(self.folder / f"client-{len(list(self.folder.iterdir()))}")


def blob_url(path: str, data: bytes, *, channel: str = "inhouse", repository: str = "site") -> str:
    """Tell the URL of a release's file."""
    return f"/r/{repository}/targets/{blob_name(file_target(channel, path), Pin.of(data).sha256)}"
