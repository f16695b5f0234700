"""Blobs of a store that is somewhere else, brought to a disk of our own: once for all who wait.

Where the disk takes none (full, read-only, or too small for it) a blob is read through once to
verify it, and is then sent from the store: slower, never wrong.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import structlog

from keys.errors import DigestError, MissingError, StoreError
from mirror.storage.base import ReadableStore, Stat
from mirror.web.cache.disk import DiskCache

MAX_FETCHES = 4  # at once: others, and the next look at the timestamp, find a connection, too
DAMAGED_SECONDS = 30.0  # an object that is not what its name says is left alone
MAX_REMEMBERED = 1024

_Value = TypeVar("_Value")


@dataclass(slots=True)
class Counts:
    """What became of requests for blobs: from the disk, brought to it, or gone through."""

    hit: int = 0
    miss: int = 0
    passed: int = 0


class Blobs:
    """Blobs by name and sha256. Built in the loop that uses it."""

    def __init__(self, store: ReadableStore, disk: DiskCache) -> None:
        self.disk = disk
        self.counts = Counts()
        self._store = store
        self._fetches: dict[str, asyncio.Task[Path | None]] = {}
        self._turns = asyncio.Semaphore(MAX_FETCHES)
        self._verified: OrderedDict[str, str] = OrderedDict()  # versions of what goes through
        self._damaged: OrderedDict[str, float] = OrderedDict()

    async def file(self, name: str, sha256: str) -> Path | None:
        """Return a file with a blob's verified bytes, or None: the store's were verified.

        Raises:
            MissingError: it is not in the store.
            StoreError: it is damaged there, or the store gave no answer.

        """
        if path := await asyncio.to_thread(self.disk.find, sha256):
            self.counts.hit += 1
            return path
        fetch = self._fetches.get(name)
        if fetch is None:
            fetch = asyncio.create_task(self._fetch(name, sha256), name=f"fetch {sha256}")
            self._fetches[name] = fetch
            fetch.add_done_callback(lambda done: self._ended(name, done))
        return await asyncio.shield(fetch)  # who waits may go; the others still wait

    def _ended(self, name: str, fetch: "asyncio.Task[Path | None]") -> None:
        del self._fetches[name]
        if not fetch.cancelled():
            fetch.exception()  # all who waited were told, if anybody still did

    async def close(self) -> None:
        """Give up what is under way."""
        fetches = list(self._fetches.values())
        for fetch in fetches:
            fetch.cancel()
        await asyncio.gather(*fetches, return_exceptions=True)

    async def _fetch(self, name: str, sha256: str) -> Path | None:
        if self._damaged.get(name, 0.0) > time.monotonic():
            raise StoreError(f"{name}: damaged in the store")
        async with self._turns:
            stat = await self._store.stat(name)
            if stat is None:
                raise MissingError(f"{name}: not in the store")
            try:
                return await self._brought(name, sha256, stat)
            except DigestError as exc:
                _remember(self._damaged, name, time.monotonic() + DAMAGED_SECONDS)
                structlog.get_logger().error("damaged", object=name)
                raise StoreError(f"{name}: damaged in the store") from exc

    async def _brought(self, name: str, sha256: str, stat: Stat) -> Path | None:
        if stat.length <= self.disk.max_bytes and self.disk.takes():
            try:
                path = await self._to_disk(name, sha256, stat)
            except OSError as exc:
                self.disk.refused(exc)
            else:
                self.disk.took()
                self.counts.miss += 1
                return path
        await self._verify(name, sha256, stat)
        self.counts.passed += 1
        return None

    async def _to_disk(self, name: str, sha256: str, stat: Stat) -> Path:
        draft = await asyncio.to_thread(self.disk.begin, sha256, stat.length)
        try:
            async for data in self._store.chunks(name, 0, stat.length):
                await asyncio.to_thread(draft.write, data)
            return await asyncio.to_thread(draft.finish)
        finally:
            draft.discard()

    async def _verify(self, name: str, sha256: str, stat: Stat) -> None:
        """Read a blob through; what is sent later is of the same version."""
        if self._verified.get(name) == stat.version:
            return
        found = hashlib.sha256()
        async for data in self._store.chunks(name, 0, stat.length):
            await asyncio.to_thread(found.update, data)
        if found.hexdigest() != sha256:
            raise DigestError(f"{name}: not the bytes that were signed")
        _remember(self._verified, name, stat.version)


def _remember(known: OrderedDict[str, _Value], name: str, value: _Value) -> None:
    known[name] = value
    known.move_to_end(name)
    if len(known) > MAX_REMEMBERED:
        known.popitem(last=False)
