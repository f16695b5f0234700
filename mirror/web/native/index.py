"""What native layouts serve to whom: a channel's release, and where its files lie in the store."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from keys.errors import StoreError
from keys.model import release as wire
from keys.model.release import File, Manifest, Pin
from keys.model.standing import LicenceState
from mirror.fleet.doors import Visitor
from mirror.offers import Offer, Ranking, clashes, databases, ranked
from mirror.web.errors import RETRY_SECONDS, Refusal, not_found, uncovered
from mirror.web.hot import HotRepository
from mirror.web.layout import Kind, Place
from mirror.web.native.channels import ChannelReader, pinned
from mirror.web.snapshot import Snapshot

HEAD_BYTES = 512
MAX_HEADS = 1000
CLOCKS_APART = timedelta(minutes=15)  # a client's clock, a replica that noticed a release later

Names = Callable[[Manifest], Mapping[str, File]]
"""Tell under which names a layout serves the files of a release."""


@dataclass(frozen=True, slots=True)
class Found:
    """One file of the release that a visitor gets, and where its bytes lie."""

    repository: HotRepository
    offer: Offer
    manifest: Manifest
    file: File

    def sibling(self, file: File) -> "Found":
        """Return another file of the same release."""
        return replace(self, file=file)

    @property
    def place(self) -> Place:
        """The file as an object of its repository."""
        target = wire.file_target(self.manifest.channel, self.file.path)
        name = f"targets/{wire.blob_name(target, self.file.sha256)}"
        return Place(self.repository.name, name, Kind.blob, self.file.sha256)


class NativeIndex:
    """Channels as native layouts see them; read anew when a repository changed."""

    def __init__(
        self, repositories: Mapping[str, HotRepository], order: Ranking = (), *, gated: bool
    ) -> None:
        self._repositories = repositories
        self._reader = ChannelReader(repositories)
        self._order = order
        self._gated = gated
        self._seen: tuple[Snapshot | None, ...] = ()
        self._offers: tuple[Offer, ...] = ()
        self._reading = asyncio.Lock()
        self._again = float("-inf")
        self._heads: dict[str, bytes] = {}

    async def offers(self) -> tuple[Offer, ...]:
        """List every channel of every repository, in the settings' order."""
        async with self._reading:
            seen = tuple(one.snapshot for one in self._repositories.values())
            if not _same(seen, self._seen) or self._is_due():
                found = ranked([offer async for offer in self._reader.offers()], self._order)
                _report(found, known=self._offers)
                self._offers, self._seen = found, seen
            return self._offers

    def _is_due(self) -> bool:
        """Tell whether to look again at what could not be read: it may have been mended."""
        now = asyncio.get_running_loop().time()
        if now < self._again or not any(offer.problem for offer in self._offers):
            return False
        self._again = now + RETRY_SECONDS
        return True

    def release(self, offer: Offer, visitor: Visitor, *, now: datetime) -> Manifest:
        """Return the release of a channel that a visitor gets.

        Raises:
            StoreError: the channel cannot be read.
            Refusal: 404 without a release, 402 where no licence of his covers one.

        """
        if offer.problem:
            raise StoreError(offer.problem)
        if offer.pointed is None:
            raise not_found()
        if not self._gated:
            return offer.pointed
        standing = self._standing(offer, visitor, now)
        covered = offer.newest(standing.covers) if standing else None
        if covered is None:
            raise uncovered(offer.channel, standing)
        return covered

    def _standing(self, offer: Offer, visitor: Visitor, now: datetime) -> LicenceState | None:
        return self._repositories[offer.repository].standing(visitor, offer.channel, now)

    async def named(self, visitor: Visitor, names: Names, name: str, *, now: datetime) -> Found:
        """Return the file that a layout serves a visitor under a name, of the first that has it.

        Raises:
            Refusal: 402 where only releases have it that no licence of his covers; 404.
            StoreError: a channel that may have it cannot be read.

        """
        refusal: Refusal | StoreError = not_found()
        for offer in await self.offers():
            try:
                manifest = self.release(offer, visitor, now=now)
            except StoreError as exc:
                refusal = exc
                continue
            except Refusal as exc:
                if offer.pointed and name in names(offer.pointed):
                    refusal = exc
                continue
            if file := names(manifest).get(name):
                return self.found(offer, manifest, file)
        raise refusal

    def check_covered(
        self, found: Found, names: Names, name: str, visitor: Visitor, *, now: datetime
    ) -> None:
        """Refuse a name that only a newer release has than the one a visitor gets.

        Raises:
            Refusal: 402.

        """
        newest = found.offer.pointed
        if newest and newest is not found.manifest and name in names(newest):
            raise uncovered(found.offer.channel, self._standing(found.offer, visitor, now))

    def settled(self, found: Found) -> datetime | None:
        """Tell from when on a download of this file had the bytes that are served now.

        None where that is not known: a visitor's release follows his licence, too.
        """
        since = found.offer.since
        if self._gated or since is None or found.manifest is not found.offer.pointed:
            return None
        return since + CLOCKS_APART

    async def head(self, found: Found) -> bytes:
        """Return the first ``HEAD_BYTES`` of a file, read from the store once.

        Raises:
            StoreError: it is missing.

        """
        known = self._heads.get(found.file.sha256)
        if known is None:
            known = await found.repository.head(found.place, HEAD_BYTES)
            if len(self._heads) >= MAX_HEADS:
                self._heads.clear()
            self._heads[found.file.sha256] = known
        return known

    async def files(self, offer: Offer, manifest: Manifest) -> tuple[File, ...]:
        """Return a release's own files, sorted by path.

        Raises:
            StoreError: its list is missing or damaged.

        """
        target = wire.file_list_target(manifest.channel, manifest.sequence)
        data = await self.document(
            offer, target, manifest.file_list, max_bytes=wire.MAX_FILE_LIST_BYTES
        )
        return await asyncio.to_thread(wire.decode_file_list, data, target)

    async def document(self, offer: Offer, target: str, pin: Pin, *, max_bytes: int) -> bytes:
        """Return what a manifest of a channel pins beside its files.

        Raises:
            StoreError: missing or damaged.

        """
        return await pinned(self._repositories[offer.repository], target, pin.sha256, max_bytes)

    def found(self, offer: Offer, manifest: Manifest, file: File) -> Found:
        """Tell where a file of a release lies."""
        return Found(self._repositories[offer.repository], offer, manifest, file)


def _same(one: tuple[Snapshot | None, ...], other: tuple[Snapshot | None, ...]) -> bool:
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def _report(found: Sequence[Offer], *, known: Sequence[Offer]) -> None:
    """Log what cannot be served, once."""
    told = {offer.problem for offer in known}
    for offer in found:
        if offer.problem and offer.problem not in told:
            structlog.get_logger().error("channel", cause=offer.problem)
    for clash in sorted(_clashes(found) - _clashes(known)):
        structlog.get_logger().warning("clash", cause=clash)


def _clashes(offers: Sequence[Offer]) -> set[str]:
    return set(clashes((offer.name, databases(offer.pointed)) for offer in offers))
