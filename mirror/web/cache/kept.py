"""What repositories stand on, kept on a disk of our own: metadata, manifests, pointers, lists.

It is small beside the blobs, and with it a replica serves after a restart though the store does
not answer. ``timestamp.json`` is put there last and never goes back, so what is kept is whole.
"""

import asyncio
import contextlib
import hashlib
import re
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import msgspec
import structlog

from keys import files
from keys.errors import Error, LockedError, MissingError, StoreError
from keys.model.release import blob_name
from mirror.storage.filesystem import FilesystemStore
from mirror.web.layout import TIMESTAMP, named
from mirror.web.snapshot import MAX_ROLE_BYTES, Snapshot

KEEP_SECONDS = 86400  # what is in force no more: hosts that come late may still ask for it
_OF_RELEASE = re.compile(r"targets/([^/]+)/files/@[a-z]+/[0-9a-f]{64}\.([0-9]+)\.json\.zst")
_MANIFEST = re.compile(r"targets/([^/]+)/releases/[0-9a-f]{64}\.([0-9]+)\.json")


class _Signed(msgspec.Struct):
    version: int


class _Role(msgspec.Struct):
    signed: _Signed


class Kept:
    """Small objects below one folder, by their names in the store; ``store`` reads them."""

    def __init__(self, folder: Path) -> None:
        self.store = FilesystemStore(folder)
        self._folder = folder

    async def read(self, name: str, *, max_bytes: int) -> bytes:
        """Return an object's bytes.

        Raises:
            MissingError: it is not kept, or was damaged.
            LimitError: it is larger than ``max_bytes``.
            StoreError: the disk fails.

        """
        data = await self.store.read(name, max_bytes=max_bytes)
        place = named(name)
        if place and place.sha256 and hashlib.sha256(data).hexdigest() != place.sha256:
            structlog.get_logger().error("cache-damaged", object=name)
            raise MissingError(f"{name}: damaged on disk")
        return data

    async def put(self, name: str, data: bytes) -> None:
        """Keep an object that never changes.

        Raises:
            StoreError: the disk is full, read-only, or fails.

        """
        await self.store.replace(name, data)

    async def settle(self, repository: str, snapshot: Snapshot) -> None:
        """Let a snapshot be what is served after a restart; what is long out of force goes.

        Raises:
            StoreError: the disk is full, read-only, or fails.

        """
        await asyncio.to_thread(self._advance, repository, snapshot)
        names = frozenset(documents(snapshot))
        async for name in self._outdated(repository, names):
            await self.store.delete(name)

    def _advance(self, repository: str, snapshot: Snapshot) -> None:
        """Put a newer timestamp in place, whichever process comes first."""
        path = self._folder / "r" / repository / TIMESTAMP
        lock = self._folder / f".{repository}.lock"
        try:
            with files.lock(lock, what=str(path)):
                if snapshot.version >= _version(path):
                    files.make_folders(path.parent, below=self._folder)
                    files.write(path, snapshot.timestamp.data)
        except LockedError:  # another process does; the next change is ours again
            return
        except OSError as exc:
            raise StoreError(f"{path}: {exc.strerror or exc}") from exc

    async def _outdated(self, repository: str, names: frozenset[str]) -> AsyncIterator[str]:
        releases = {found.groups() for name in names if (found := _MANIFEST.fullmatch(name))}
        before = time.time() - KEEP_SECONDS
        prefix = f"r/{repository}"
        async for full in self.store.names(prefix):
            name = full.removeprefix(f"{prefix}/")
            found = _OF_RELEASE.fullmatch(name)
            if name in names or name == TIMESTAMP or (found and found.groups() in releases):
                continue
            stat = await self.store.stat(full)
            if stat and stat.modified.timestamp() < before:
                yield full


def documents(snapshot: Snapshot) -> Iterable[str]:
    """Name what a snapshot stands on, relative to its repository; release's lists left out."""
    for role, version in snapshot.versions.items():
        if role != "timestamp":
            yield f"metadata/{version}.{role}.json"
    for listed in snapshot.listed.values():
        for target, sha256 in listed.items():
            yield f"targets/{blob_name(target, sha256)}"


def _version(path: Path) -> int:
    """Tell the version of the timestamp that is kept; 0 where there is none that can be read."""
    with contextlib.suppress(Error, msgspec.DecodeError):
        data = files.read(path, max_bytes=MAX_ROLE_BYTES, limit="MAX_ROLE_BYTES", error=StoreError)
        return msgspec.json.decode(data, type=_Role).signed.version
    return 0
