"""A repository with its small objects in memory: no disk, no thread for what is asked most."""

import asyncio
import contextlib
from collections import OrderedDict
from dataclasses import replace
from datetime import datetime
from typing import Protocol

import structlog

from keys.errors import Error, LimitError, MissingError, UnreachableError
from keys.model.release import Redistribution
from keys.model.standing import LicenceState
from mirror.fleet.doors import Visitor
from mirror.storage.base import ReadableStore
from mirror.web.layout import TIMESTAMP, Kind, Place
from mirror.web.snapshot import MAX_ROLE_BYTES, Document, Snapshot, SnapshotReader

MAX_HOT_BYTES = 64 << 20  # of one repository
MAX_HOT_OBJECT_BYTES = 256 << 10  # a larger target is sent from its file
MAX_ABSENT_NAMES = 1024
MAX_LARGE_NAMES = 10_000
MIN_REFRESH_SECONDS = 0.25  # between two looks at the store that requests caused


class Keeper(Protocol):
    """What keeps on a disk of our own what a repository stands on, for times without the store."""

    @property
    def kept(self) -> ReadableStore:
        """What there is."""
        ...

    async def read_anew(self, name: str, *, max_bytes: int) -> bytes:
        """Return an object's bytes as the store has them, whatever was kept."""
        ...

    async def settle(self, repository: str, snapshot: Snapshot) -> None:
        """Keep what a snapshot stands on."""
        ...


class HotRepository:
    """One repository of a store, as requests see it.

    ``problem`` is what is wrong with it; ``unreachable`` says that the store did not answer when
    it was looked at last: what is known goes on being served.
    """

    def __init__(self, store: ReadableStore, name: str, keeper: Keeper | None = None) -> None:
        self.name = name
        self.snapshot: Snapshot | None = None
        self.problem = ""
        self.unreachable = False
        self._keeper = keeper
        self._store = store
        self._reader = SnapshotReader(store, name, keeper)
        self._objects: OrderedDict[str, Document] = OrderedDict()
        self._size = 0
        self._absent: set[str] = set()
        self._large: set[str] = set()
        self._refreshing = asyncio.Lock()
        self._refreshed = float("-inf")

    async def refresh(self) -> None:
        """Look whether another timestamp was published; a broken one leaves the last in force."""
        async with self._refreshing:
            await self._refresh()

    async def _refresh(self) -> None:
        self._absent.clear()
        started = asyncio.get_running_loop().time()
        last = self.snapshot
        try:
            found = await self._reader.read(last)
        except (Error, KeyError) as exc:
            self.unreachable = isinstance(exc, UnreachableError)
            await self._fall_back()
            self._report(str(exc))
        else:
            self.unreachable = False
            self.snapshot = found or last
            if self._keeper and found and found is not last and not found.damaged:
                await self._keeper.settle(self.name, found)
            self._report("; ".join(found.damaged.values()) if found else "")
        self._refreshed = started

    async def _fall_back(self) -> None:
        """Start with what was served before, where the store cannot be read."""
        if self._keeper is None or self.snapshot is not None:
            return
        with contextlib.suppress(Error, KeyError):
            kept = await SnapshotReader(self._keeper.kept, self.name).read(None)
            self.snapshot = replace(kept, stored="") if kept else None

    def _report(self, problem: str) -> None:
        if problem and problem != self.problem:
            structlog.get_logger().error("repository", repository=self.name, cause=problem)
        elif self.problem and not problem:
            structlog.get_logger().info("repository", repository=self.name, effect="well again")
        self.problem = problem

    async def document(self, place: Place) -> Document | None:
        """Return a small object from memory, or None when it is to be sent from its file.

        Raises:
            MissingError: there is no such object.

        """
        if place.kind is Kind.timestamp:
            if self.snapshot is None:
                raise (UnreachableError if self.unreachable else MissingError)(place.name)
            return self.snapshot.timestamp
        if found := self._objects.get(place.name):
            self._objects.move_to_end(place.name)
            return found
        if place.name in self._large:
            return None
        return await self._load(place)

    async def read(self, place: Place, *, max_bytes: int) -> bytes:
        """Return an object's bytes, small or not.

        Raises:
            MissingError: there is no such object.
            LimitError: it is larger than ``max_bytes``.

        """
        document = await self.document(place)
        if document is not None:
            return document.data
        return await self._store.read(self.path(place), max_bytes=max_bytes)

    async def head(self, place: Place, count: int) -> bytes:
        """Return the first bytes of an object.

        Raises:
            MissingError: there is no such object.

        """
        document = await self.document(place)
        if document is not None:
            return document.data[:count]
        parts = [part async for part in self._store.chunks(self.path(place), 0, count)]
        return b"".join(parts)

    async def signed_at(self, role: str) -> datetime | None:
        """Tell when a role in force was signed in this store, or came into it."""
        version = self.snapshot.versions.get(role) if self.snapshot else None
        if version is None:
            return None
        stat = await self._store.stat(f"r/{self.name}/metadata/{version}.{role}.json")
        return stat.modified if stat else None

    async def _load(self, place: Place) -> Document | None:
        if place.name in self._absent:
            raise MissingError(place.name)
        limit = MAX_ROLE_BYTES if place.kind is Kind.role else MAX_HOT_OBJECT_BYTES
        try:
            data = await self._store.read(self.path(place), max_bytes=limit)
        except LimitError:
            self._remember_large(place)
            return None
        except MissingError:
            if len(self._absent) < MAX_ABSENT_NAMES:
                self._absent.add(place.name)
            raise
        except UnreachableError as exc:
            if self._is_next_root(place):  # as far as anybody here knows, there is none
                raise MissingError(place.name) from exc
            raise
        document = Document.of(data)
        if place.sha256 and place.sha256 not in document.etag:
            structlog.get_logger().error("damaged", repository=self.name, object=place.name)
            return document  # a host refuses it by its own pin; mended, it is sent at once
        return self._keep(place.name, document)

    def _remember_large(self, place: Place) -> None:
        """Try no more to read an object into memory whose bytes never change."""
        if place.sha256:
            if len(self._large) >= MAX_LARGE_NAMES:
                self._large.clear()
            self._large.add(place.name)

    def _is_next_root(self, place: Place) -> bool:
        newest = self.snapshot.versions.get("root") if self.snapshot else None
        return newest is not None and place.name == f"metadata/{newest + 1}.root.json"

    def _keep(self, name: str, document: Document) -> Document:
        self._size += len(document.data) - len(self._drop(name))
        self._objects[name] = document
        while self._size > MAX_HOT_BYTES:
            self._size -= len(self._objects.popitem(last=False)[1].data)
        return document

    def _drop(self, name: str) -> bytes:
        known = self._objects.pop(name, None)
        return known.data if known else b""

    async def allows(self, place: Place, standing: LicenceState | None) -> bool:
        """Tell whether a licence covers a blob; one nobody named yet is looked for once more.

        Another process may have published it a moment ago.
        """
        if not self._names(place.name):
            await self._look_again()
        return self.snapshot is not None and self.snapshot.index.allows(place.name, standing)

    async def redistribution(self, place: Place) -> Redistribution:
        """Tell who may be served a blob, as the releases that name it say.

        One that none names may be of a release published a moment ago, or of one that is gone.
        """
        if not self._names(place.name) and (self._keeper or not await self._is_current()):
            await self._look_again()  # which requests of strangers cannot make a dear habit
        if self.snapshot is None:
            return "none"
        return self.snapshot.index.redistribution(place.name, place.channel)

    async def _is_current(self) -> bool:
        stat = await self._store.stat(f"r/{self.name}/{TIMESTAMP}")
        return bool(stat and self.snapshot and self.snapshot.stored == stat.version)

    def _names(self, name: str) -> bool:
        return self.snapshot is not None and name in self.snapshot.index

    async def _look_again(self) -> None:
        """Look at the store later than now, and no more often than the limit allows."""
        loop = asyncio.get_running_loop()
        asked = loop.time()
        async with self._refreshing:
            if self._refreshed > asked:
                return
            await asyncio.sleep(max(0.0, self._refreshed + MIN_REFRESH_SECONDS - loop.time()))
            await self._refresh()

    def standing(self, visitor: Visitor, channel: str, now: datetime) -> LicenceState | None:
        """Tell where a visitor's licences for what a channel holds stand."""
        content = self.snapshot.index.contents.get(channel) if self.snapshot else None
        return visitor.standing(channel, now, seen=self.newest, content=content)

    @property
    def newest(self) -> datetime | None:
        """When the newest release was published: signed, so the clock is not behind it."""
        releases = self.snapshot.releases.values() if self.snapshot else ()
        return max((release.published for release in releases), default=None)

    def path(self, place: Place) -> str:
        """Name an object as the store does."""
        return f"r/{self.name}/{place.name}"
