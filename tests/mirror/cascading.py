"""A vendor on loopback, and a site mirror that passes his repository through."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from keys.credentials import Credential, Secret
from keys.model.standing import LicenceState
from mirror.destination import Destination
from mirror.feeds import UpstreamSettings
from mirror.ingest import Ingest
from mirror.publish import Label
from mirror.pulls import PullState, Result
from mirror.repository import StoredRepository
from mirror.upstream.access import Access
from mirror.upstream.auth import basic
from mirror.upstream.tuf import TufUpstream
from mirror.upstream.vendor_copy import VendorCopy
from tests.mirror.site import BY, NOW, Client, Mirror, candidate
from tests.mirror.vendor import Vendor, root_of

USER, PASSWORD = "EAV-0123456", "correct-horse"
CREDENTIAL = Credential(USER, Secret(PASSWORD))
WRONG = "wrong"
DAY = timedelta(days=1)
SETTINGS = UpstreamSettings(name="av", kind="tuf", licence="av-2026")


@dataclass
class Cascade:
    """A vendor, and a site mirror that pulls from it over HTTP."""

    vendor: Vendor
    site: Mirror
    folder: Path
    password: str = PASSWORD
    settings: UpstreamSettings = SETTINGS
    licence: LicenceState | None = None
    now: datetime = NOW
    root: int = 1

    async def release(self, number: int, contents: dict[str, bytes]) -> None:
        await self.vendor.mirror.publishing().release(
            candidate(self.folder / f"release-{number}", contents, f"release {number}"),
            channel="engine", track="stable", label=Label("yara"), by=BY, now=self.now,
        )  # fmt: skip

    @property
    def repository(self) -> StoredRepository:
        return StoredRepository(self.site.store, "av")

    @property
    def state(self) -> PullState:
        return PullState(self.site.folder / "state/upstreams", "av")

    def upstream(self) -> TufUpstream:
        settings = replace_url(self.settings, self.vendor.url)
        credential = Credential(USER, Secret(self.password))
        copy = VendorCopy(
            "av",
            root_of(self.vendor.mirror, self.folder, self.root),
            self.site.folder / "state/upstreams/av",
        )
        rate = settings.min_rate_bytes_per_second
        access = Access(settings.url, basic(credential), min_rate_bytes_per_second=rate)
        return TufUpstream(settings, access, copy, self.repository)

    def ingest(self) -> Ingest:
        secret = self.folder / "password"
        if not secret.exists():
            secret.write_text(self.password)
        settings = replace_url(self.settings, self.vendor.url)
        return Ingest(
            settings=settings,
            upstream=self.upstream(),
            to=Destination(
                settings,
                self.site.publishing(),
                self.site.policies,
                self.site.holds,
                self.repository,
            ),
            state=self.state,
            quarantine=self.site.folder / "quarantine/av",
            licence=lambda _now: self.licence,
            credential_files=(secret,),
        )

    async def pull(self, *, by_hand: bool = True) -> Result:
        return await self.ingest().pull(now=self.now, by=BY, by_hand=by_hand)

    def client(self, name: str = "client") -> Client:
        return self.site.client(self.folder / name, repository="av")

    async def offered(self) -> dict[str, bytes]:
        """Read what a host believes, by the vendor's keys and the site's choice."""
        return await asyncio.to_thread(self._offered)

    def _offered(self) -> dict[str, bytes]:
        policy = self.site.client(self.folder / "site").channels(now=self.now)
        chosen = policy.policy("av", "engine")
        assert chosen is not None
        client = self.client()
        channels = client.channels(now=self.now)
        files = channels.files(channels.pointed("engine", chosen.tracks["stable"]))
        return {
            file.path: client.blob(f"engine/files/{file.path}", file.pin, 1 << 30) for file in files
        }


def replace_url(settings: UpstreamSettings, url: str) -> UpstreamSettings:
    fields = {name: getattr(settings, name) for name in settings.__struct_fields__}
    return UpstreamSettings(**{**fields, "url": url})
