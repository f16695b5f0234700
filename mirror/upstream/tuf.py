"""Another sigmirror: its repository passes through byte for byte, verified with our own copy."""

import asyncio
import hashlib
from collections.abc import Coroutine, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from keys import files
from keys.credentials import redact_url
from keys.errors import CredentialError, FetchError, MissingError
from keys.model import rollout
from keys.model.release import MAX_MANIFEST_BYTES, Assurance, Pin
from keys.trust.channel import Channels
from keys.trust.source import Once
from mirror.feeds import UpstreamSettings
from mirror.rollout import STABLE
from mirror.upstream.access import Access
from mirror.upstream.base import Advance, Held, Offer, Pull
from mirror.upstream.client import VendorClient
from mirror.upstream.downloads import Catch, Downloads, Offered
from mirror.upstream.transcript import Transcript
from mirror.upstream.vendor_copy import VendorCopy, Verified

MAX_TIMESTAMP_BYTES = 64 << 10

T = TypeVar("T")


class TufUpstream:
    """Releases from a repository the vendor signs."""

    kind = "tuf"
    passes_through = True
    remote = True
    lacks: tuple[str, ...] = ()

    def __init__(
        self, settings: UpstreamSettings, access: Access, copy: VendorCopy, held: Held
    ) -> None:
        self.name = settings.name
        self.transcript = Transcript()
        self._settings = settings
        self._access = access
        self._copy = copy
        self._held = held

    async def check(self, *, now: datetime) -> Offer:
        """Ask for the next root and the timestamp: two requests."""
        async with VendorClient(self._access, self.transcript) as client:
            source = Once(_Source(client, asyncio.get_running_loop()))
            unchanged = await asyncio.to_thread(self._copy.unchanged, source, now=now)
            data = await asyncio.to_thread(self._timestamp, source)
        version = self._copy.timestamp_version(data)
        return Offer(
            version=f"{version}-{hashlib.sha256(data).hexdigest()[:12]}",
            address=redact_url(self._settings.url),
            status="200",
            length=len(data),
            assurance=Assurance.signed,
            unchanged=unchanged,
        )

    def _timestamp(self, source: Once) -> bytes:
        try:
            return source.read("timestamp.json", max_bytes=MAX_TIMESTAMP_BYTES)
        except MissingError as exc:
            address = redact_url(self._settings.url)
            if str(exc).endswith(": 403"):
                raise CredentialError(f"{address}: 403, the vendor refuses us") from exc
            raise FetchError(
                f"{address}: there is no repository", hint="the address ends in /r/<name>"
            ) from exc

    async def fetch(self, quarantine: Path, pull: Pull) -> Advance:
        """Verify all metadata, then bring what this site is entitled to and has not."""
        catch = Catch(quarantine)
        async with VendorClient(self._access, self.transcript) as client:
            downloads = Downloads(client, self._held, catch, self._settings, pull)
            verified, offered = await asyncio.to_thread(
                self._verify, downloads, asyncio.get_running_loop(), pull.now
            )
            if pull.definitions:
                for channel, offer in offered.items():
                    await downloads.take(channel, offer)
        metadata = await asyncio.to_thread(_write, quarantine / "metadata", verified.metadata)
        return Advance(
            verified.timestamp_version,
            metadata,
            catch.blobs,
            catch.chosen,
            catch.ended,
            tuple(catch.notes),
        )

    async def settle(self) -> None:
        """Let the next check say ``unchanged`` after two requests."""
        await asyncio.to_thread(self._copy.settle)

    def _verify(
        self, downloads: Downloads, loop: asyncio.AbstractEventLoop, now: datetime
    ) -> tuple[Verified, dict[str, Offered]]:
        """Refresh the trusted copy and read every document it lists; runs in a thread."""
        source = Once(_Source(downloads.client, loop))
        verified = self._copy.refresh(source, now=now)

        def read(target: str, pin: Pin, max_bytes: int) -> bytes:
            return _wait(downloads.document(target, pin, max_bytes), loop)

        for target, pin in verified.documents().items():
            read(target, pin, MAX_MANIFEST_BYTES)
        channels = Channels(self._copy.repository, source, read)
        offered = {}
        for channel in verified.channels:
            releases = {m.sequence: (pin, m) for pin, m in channels.manifests(channel)}
            files = {number: channels.files(m) for number, (_, m) in releases.items()}
            if pointer := channels.pointer(channel, STABLE):
                pointed = channels.pointed(channel, pointer)
                gone = rollout.withdrawn(pointer)
                offered[channel] = Offered(pointed, releases, files, gone)
        return verified, offered


class _Source:
    """The vendor's metadata as a thread asks for it."""

    def __init__(self, client: VendorClient, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop

    def read(self, name: str, *, max_bytes: int) -> bytes:
        return _wait(self._client.read(f"metadata/{name}", max_bytes=max_bytes), self._loop)


def _wait(work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
    return asyncio.run_coroutine_threadsafe(work, loop).result()


def _write(folder: Path, contents: Mapping[str, bytes]) -> dict[str, Path]:
    files.make_folder(folder)
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return {name: folder / name for name in contents}
