"""A store that is somewhere else, read through a disk of our own; the timestamp alone is asked for.

Everything else has a name whose bytes never change.
"""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from pathlib import Path

import structlog

from keys.errors import Error, LimitError, MissingError, StoreError
from mirror.storage.base import CHUNK_BYTES, ReadableStore, Stat
from mirror.web.cache.blobs import Blobs
from mirror.web.cache.disk import FOLDER_MODE, DiskCache
from mirror.web.cache.gauges import CacheFacts
from mirror.web.cache.kept import Kept, documents
from mirror.web.cache.patience import FailFast
from mirror.web.layout import Kind, Place, named
from mirror.web.snapshot import MAX_ROLE_BYTES, Snapshot


class CachedStore:
    """Objects by name, from the disk where they are there. Built in the loop that uses it.

    One that ``sends_away`` clients brings only those blobs to its disk that it has to send itself.
    """

    def __init__(
        self, store: ReadableStore, folder: Path, *, max_bytes: int, sends_away: bool = False
    ) -> None:
        self._sends_away = sends_away
        self._store = FailFast(store)
        self._folder = folder
        self._kept = Kept(folder / "kept")
        self.disk = DiskCache(folder / "blobs", max_bytes)
        self.blobs = Blobs(self._store, self.disk)

    def facts(self) -> CacheFacts:
        """Tell what metrics show."""
        return CacheFacts(
            held_bytes=self.disk.held_bytes,
            max_bytes=self.disk.max_bytes,
            refuses=bool(self.disk.trouble),
            evicted=self.disk.evicted,
            requests=asdict(self.blobs.counts),
        )

    @property
    def kept(self) -> ReadableStore:
        """What repositories stood on when the store last answered."""
        return self._kept.store

    async def prepare(self) -> None:
        """Make the folders and clear what killed processes left; a disk that refuses is told of."""
        try:
            await asyncio.to_thread(self._prepare)
        except OSError as exc:
            self.disk.refused(exc)

    def _prepare(self) -> None:
        for folder in (self._folder, self._folder / "kept", self._folder / "blobs"):
            folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        self.disk.sweep()

    async def close(self) -> None:
        """Give up what is under way."""
        await self.blobs.close()

    async def stat(self, name: str) -> Stat | None:
        """Tell an object's length and version, as the store does."""
        return await self._store.stat(name)

    async def read(self, name: str, *, max_bytes: int) -> bytes:
        """Return an object's bytes."""
        place = named(name)
        if place is None or place.kind is Kind.timestamp:
            return await self._store.read(name, max_bytes=max_bytes)
        if place.kind is Kind.blob:
            return await self._read_blob(name, place, max_bytes)
        return await self._read_document(name, place, max_bytes)

    async def _read_document(self, name: str, place: Place, max_bytes: int) -> bytes:
        with contextlib.suppress(MissingError), self._disk_watched(name):
            return await self._kept.read(name, max_bytes=max_bytes)
        return await self._bring_document(name, place, max_bytes)

    async def read_anew(self, name: str, *, max_bytes: int) -> bytes:
        """Return a document's bytes as the store has them: what is kept of it was damaged."""
        structlog.get_logger().error("cache-damaged", object=name)
        return await self._bring_document(name, named(name), max_bytes)

    async def _bring_document(self, name: str, place: Place | None, max_bytes: int) -> bytes:
        data = await self._store.read(name, max_bytes=max_bytes)
        if place and _is_whole(data, place) and self.disk.takes():
            with contextlib.suppress(MissingError), self._disk_watched(name):
                await self._kept.put(name, data)
        return data

    @contextlib.contextmanager
    def _disk_watched(self, name: str) -> Iterator[None]:
        """Turn a disk that refuses into an object that is not on it."""
        try:
            yield
        except (MissingError, LimitError):
            raise
        except StoreError as exc:
            self.disk.refused(exc)
            raise MissingError(f"{name}: not on disk") from exc

    async def _read_blob(self, name: str, place: Place, max_bytes: int) -> bytes:
        path = None if self._sends_away else await self.local_path(name)
        if path is not None:
            with contextlib.suppress(FileNotFoundError):  # evicted in this moment
                return await asyncio.to_thread(_read_file, path, name, max_bytes)
        data = await self._store.read(name, max_bytes=max_bytes)
        if not _is_whole(data, place):
            raise StoreError(f"{name}: damaged in the store")
        return data

    async def local_path(self, name: str) -> Path | None:
        """Return a file with a blob's verified bytes, or None where they come from the store."""
        place = named(name)
        if place is None or place.kind is not Kind.blob:
            return None
        return await self.blobs.file(name, place.sha256)

    async def chunks(self, name: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Stream the bytes from ``start`` to before ``stop``."""
        if path := await self.local_path(name):
            with contextlib.suppress(FileNotFoundError):  # evicted in this moment
                async for data in _pieces(path, start, stop):
                    yield data
                return
        async for data in self._store.chunks(name, start, stop):
            yield data

    async def settle(self, repository: str, snapshot: Snapshot) -> None:
        """Let a snapshot that was read whole be what is served after a restart.

        Where a part of it cannot be had now, what was settled before stays.
        """
        try:
            for document in documents(snapshot):
                name = f"r/{repository}/{document}"
                if (place := named(name)) and place.kind is Kind.document:
                    await self._read_document(name, place, MAX_ROLE_BYTES)
            if self.disk.takes():
                await self._kept.settle(repository, snapshot)
        except Error as exc:
            structlog.get_logger().warning("not-kept", repository=repository, cause=str(exc))


def _is_whole(data: bytes, place: Place) -> bool:
    return not place.sha256 or hashlib.sha256(data).hexdigest() == place.sha256


def _read_file(path: Path, name: str, max_bytes: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise LimitError(f"{name}: more than max_bytes={max_bytes}")
    return data


async def _pieces(path: Path, start: int, stop: int) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while data := await asyncio.to_thread(
            os.pread, file.fileno(), min(CHUNK_BYTES, stop - start), start
        ):
            start += len(data)
            yield data
