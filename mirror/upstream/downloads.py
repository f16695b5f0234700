"""What one pull brings from a vendor's repository: documents, and files of the releases taken."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from keys import files
from keys.errors import (
    CredentialError,
    DigestError,
    LicenceEndedError,
    LimitError,
    MissingError,
)
from keys.model.release import File, Manifest, Pin, Pointer, blob_name, file_target
from keys.model.sidecars import MAX_SIDECARS_BYTES, sidecars_target
from mirror.feeds import UpstreamSettings
from mirror.rollout import Entitlement, newest_covered
from mirror.upstream.base import Held, Pull
from mirror.upstream.bodies import Bodies
from mirror.upstream.client import VendorClient

DOWNLOADS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Offered:
    """One channel of the vendor's: what his track points at, and all there is."""

    pointed: Manifest
    releases: Mapping[int, tuple[Pin, Manifest]]
    files: Mapping[int, tuple[File, ...]]
    withdrawn: frozenset[int] = frozenset()

    def pointer(self, sequence: int) -> Pointer:
        """Point at one of the releases."""
        return Pointer(sequence, self.releases[sequence][0].sha256)


@dataclass(slots=True)
class Catch:
    """What one fetch has brought into quarantine; ``notes`` tell what was left out, and why."""

    folder: Path
    blobs: dict[str, tuple[Pin, Path]] = field(default_factory=dict)
    chosen: dict[str, Pointer] = field(default_factory=dict)
    ended: LicenceEndedError | None = None
    notes: list[str] = field(default_factory=list)


class Downloads:
    """The downloads of one pull."""

    def __init__(
        self, client: VendorClient, held: Held, catch: Catch, settings: UpstreamSettings,
        pull: Pull,
    ) -> None:  # fmt: skip
        self.client = client
        self._held = held
        self._catch = catch
        self._settings = settings
        self._pull = pull
        self._slots = asyncio.Semaphore(DOWNLOADS_AT_ONCE)

    async def document(self, target: str, pin: Pin, max_bytes: int) -> bytes:
        """Return a small target, from the store or else from the vendor."""
        if target in self._catch.blobs:
            path = self._catch.blobs[target][1]
            return await asyncio.to_thread(path.read_bytes)
        if await self._held.holds(target, pin):
            return await self._held.read(target, pin, max_bytes=max_bytes)
        if pin.length > max_bytes:
            raise LimitError(f"{target}: {pin.length} bytes, more than max_bytes={max_bytes}")
        data = pin.check(await self.client.read(_place(target, pin), max_bytes=pin.length), target)
        path = self._part(pin)
        await asyncio.to_thread(path.write_bytes, data)
        self._catch.blobs[target] = (pin, path)
        return data

    async def take(self, channel: str, offered: Offered) -> None:
        """Bring the release a channel points at, or the newest one the licence covers.

        A channel that is not shared with us is left out, and stops no other.
        """
        pointed = offered.pointed
        try:
            await self._release(pointed, offered)
        except (CredentialError, LicenceEndedError) as refused:
            if self._is_not_shared(pointed, refused):
                word = pointed.redistribution
                self._catch.notes.append(f"{channel}: not shared with us (redistribution = {word})")
            elif isinstance(refused, LicenceEndedError):
                await self._take_covered(offered, refused)
            else:
                raise

    async def _take_covered(self, offered: Offered, ended: LicenceEndedError) -> None:
        self._catch.ended = ended
        covered = _newest_covered(offered, ended)
        if covered is not None:
            await self._release(offered.releases[covered][1], offered)

    def _is_not_shared(
        self, manifest: Manifest, refused: CredentialError | LicenceEndedError
    ) -> bool:
        """Tell a channel that is not passed on from a credential or a licence that is wrong.

        Whoever may read metadata without a credential, and no file, is not among the licensed.
        """
        if isinstance(refused, LicenceEndedError) and refused.ends_on:
            return False
        return not self._settings.credentialed or (
            manifest.redistribution == "none" and isinstance(refused, LicenceEndedError)
        )

    async def _release(self, manifest: Manifest, offered: Offered) -> None:
        """Bring a release, and what the native layouts serve, if we want and the vendor has it."""
        channel, files = manifest.channel, offered.files[manifest.sequence]
        beside = manifest.originals if self._settings.originals else ()
        self._check_limits(channel, (*files, *beside))
        await self._bring(channel, files)
        try:
            await self._bring(channel, beside)
            if manifest.sidecars and self._settings.originals:
                target = sidecars_target(channel, manifest.sequence)
                await self.document(target, manifest.sidecars, MAX_SIDECARS_BYTES)
        except MissingError:
            self._catch.notes.append(f"{channel}: the vendor serves no originals of it")
        self._catch.chosen[channel] = offered.pointer(manifest.sequence)

    async def _bring(self, channel: str, files: tuple[File, ...]) -> None:
        """Bring files; on the first error the others are stopped."""
        tasks = [
            asyncio.ensure_future(self._file(file_target(channel, file.path), file.pin))
            for file in files
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _check_limits(self, channel: str, files: tuple[File, ...]) -> None:
        limits, length = self._settings, sum(file.length for file in files)
        if len(files) > limits.max_files:
            raise LimitError(f"{channel}: {len(files)} files, max_files={limits.max_files}")
        if length > limits.max_release_bytes:
            raise LimitError(
                f"{channel}: {length} bytes, max_release_bytes={limits.max_release_bytes}"
            )

    async def _file(self, target: str, pin: Pin) -> None:
        async with self._slots:
            if target in self._catch.blobs or await self._held.holds(target, pin):
                return
            await self._whole_file(target, pin, self._part(pin))
            self._catch.blobs[target] = (pin, self._part(pin))

    async def _whole_file(self, target: str, pin: Pin, path: Path) -> None:
        """Download and verify; what an earlier pull left of other bytes costs a second try."""
        resumed = await asyncio.to_thread(path.exists)
        bodies = Bodies(self.client, self._pull.on_bytes)
        await bodies.download(_place(target, pin), path, pin)
        if await asyncio.to_thread(_is_whole, path, pin):
            return
        await asyncio.to_thread(path.unlink)
        if not resumed:
            raise DigestError(f"{target}: not the bytes the vendor signed")
        await self._whole_file(target, pin, path)

    def _part(self, pin: Pin) -> Path:
        folder = self._catch.folder / "parts"
        files.make_folder(folder)
        return folder / pin.sha256


def _place(target: str, pin: Pin) -> str:
    return f"targets/{blob_name(target, pin.sha256)}"


def _is_whole(path: Path, pin: Pin) -> bool:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == pin.sha256


def _newest_covered(offered: Offered, ended: LicenceEndedError) -> int | None:
    """Choose the newest release the vendor's answer says we are entitled to."""
    try:
        entitlement = Entitlement(date.fromisoformat(ended.ends_on), ZoneInfo(ended.tz or "UTC"))
    except (ValueError, ZoneInfoNotFoundError):
        return None
    last = offered.pointed.sequence
    published = {
        number: manifest.published
        for number, (_, manifest) in offered.releases.items()
        if number <= last and number not in offered.withdrawn
    }
    return newest_covered(published, entitlement)
