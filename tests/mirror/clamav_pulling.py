"""One upstream of kind ``clamav`` as a mirror pulls it, against a server on loopback."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keys.credentials import Credential
from keys.model.release import Pin
from keys.trust.vendor import rsa
from mirror.feeds import UpstreamSettings
from mirror.upstream.base import Candidate, Feed, Offer, Pull
from mirror.upstream.clamav import assembled
from mirror.upstream.clamav.adapter import ClamavUpstream
from tests.clamav_vendor import VENDOR
from tests.mirror.clamav_vendor_server import ClamavServer

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Pulling:
    """Pulls again and again, remembering what an ingest remembers."""

    folder: Path
    server: ClamavServer
    settings: dict[str, Any] = field(default_factory=dict)
    keys: rsa.Keys = VENDOR.keys
    credential: Credential | None = None
    last: str = ""
    now: datetime = NOW
    pulls: int = 0

    @property
    def working(self) -> Path:
        """The folder the driver works in."""
        return self.folder / "state" / "databases"

    def held(self) -> set[str]:
        """List the vendor's files in the working folder."""
        return {path.name for path in self.working.iterdir() if path.suffix not in {".dat", ".txt"}}

    def upstream(self) -> ClamavUpstream:
        written = {"url": self.server.url, "databases": ("test",), **self.settings}
        settings = UpstreamSettings(name="official", kind="clamav", channel="clamav", **written)
        feed = Feed(settings, self.credential, self.last, self.folder / "state")
        return assembled(feed, keys=self.keys)

    async def check(self) -> Offer:
        return await self.upstream().check(now=self.now)

    async def pull(self) -> Candidate | None:
        """Pull once as an ingest does; None when nothing changed."""
        upstream = self.upstream()
        offer = await upstream.check(now=self.now)
        if offer.unchanged or (offer.unchanged is None and offer.version == self.last):
            return None
        self.pulls += 1
        quarantine = self.folder / f"quarantine-{self.pulls}"
        quarantine.mkdir()
        candidate = await upstream.fetch(quarantine, Pull(self.now))
        await upstream.settle()
        self.last = offer.version
        return candidate

    async def release(self) -> Candidate:
        """Pull something new, every byte of it as it is described."""
        candidate = await self.pull()
        assert candidate is not None
        for file in (*candidate.files, *candidate.originals):
            assert file.pin == Pin.of((candidate.folder / file.path).read_bytes())
        return candidate


def names(candidate: Candidate) -> set[str]:
    """Name the vendor's own files of a release."""
    return {file.path for file in candidate.originals}
