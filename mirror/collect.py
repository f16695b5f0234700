"""Garbage: what no timestamp of the last days leads to any more, and which may be removed.

Kept are every root; the newest timestamp and those younger than ``KEEP_TIMESTAMPS``; the snapshot
of each, the roles that lists, what those roles list, and the files of every manifest among it.
Anything younger than ``KEEP_NEW`` is kept too. One unreadable role, and nothing goes.
"""

import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from keys.files import TEMPORARY_PREFIX
from keys.model.release import (
    MAX_MANIFEST_BYTES,
    Manifest,
    Pin,
    blob_name,
    decode,
)
from keys.signing.state import ROOT, SNAPSHOT, TIMESTAMP, versions_taken
from keys.signing.state import decode as decode_role
from keys.trust.tuf_api import Snapshot, Targets, Timestamp
from mirror.repository import StoredRepository
from mirror.storage import Stat, Store

KEEP_TIMESTAMPS = timedelta(days=7)
KEEP_NEW = timedelta(hours=24)
_NEW_SECONDS = KEEP_NEW.total_seconds()


@dataclass(frozen=True, slots=True)
class Collected:
    """What was removed, or would be."""

    repository: str
    names: tuple[str, ...]
    length: int
    kept: int


async def collect(
    store: Store, repository: StoredRepository, *, now: datetime, dry_run: bool
) -> Collected:
    """Remove a repository's garbage; ``dry_run`` only tells what would go.

    Raises:
        StoreError, TrustError: something in force is missing or malformed; nothing was removed.

    """
    top = f"r/{repository.name}/"
    async with repository.writing():
        found = {name.removeprefix(top): stat async for name, stat in _objects(store, top)}
        marked = await _Marks(repository, found, now).everything()
        garbage = {
            name: stat
            for name, stat in found.items()
            if name not in marked and now - stat.modified > KEEP_NEW
        }
        if not dry_run:
            for name in garbage:
                await store.delete(top + name)
            await store.sweep(top)
    length = sum(stat.length for stat in garbage.values())
    return Collected(repository.name, tuple(sorted(garbage)), length, len(found) - len(garbage))


def collect_quarantine(folder: Path, *, now: datetime, dry_run: bool) -> Collected:
    """Remove what killed commands left in quarantine; an upstream's own folder stays."""
    found = {path: path.lstat() for path in folder.glob(f"{TEMPORARY_PREFIX}*")}
    old = [path for path, stat in found.items() if now.timestamp() - stat.st_mtime > _NEW_SECONDS]
    length = sum(file.lstat().st_size for path in old for file in path.rglob("*"))
    for path in () if dry_run else old:
        shutil.rmtree(path, ignore_errors=True)
    names = tuple(sorted(path.name for path in old))
    return Collected("quarantine", names, length, len(found) - len(old))


async def _objects(store: Store, prefix: str) -> AsyncIterator[tuple[str, Stat]]:
    async for name in store.names(prefix):
        if stat := await store.stat(name):
            yield name, stat


class _Marks:
    """Follows what is in force, from timestamps down to files."""

    def __init__(
        self, repository: StoredRepository, found: Mapping[str, Stat], now: datetime
    ) -> None:
        self._repository = repository
        self._found = found
        self._now = now
        self._marked: set[str] = {"metadata/timestamp.json"}

    async def everything(self) -> set[str]:
        """Return the names of all that is needed."""
        self._marked.update(name for name in self._found if name.endswith(f".{ROOT}.json"))
        for version in self._timestamps():
            timestamp = decode_role(await self._role(TIMESTAMP, version), TIMESTAMP, Timestamp)
            await self._snapshot(timestamp.snapshot_meta.version)
        return self._marked | self._highest()

    def _highest(self) -> set[str]:
        """Name the highest version of each role, in force or not: no number is used twice."""
        taken = versions_taken(name.rpartition("/")[2] for name in self._found)
        return {f"metadata/{version}.{role}.json" for role, version in taken.items()}

    def _timestamps(self) -> Iterator[int]:
        """List the versions of the timestamps to follow."""
        taken = versions_taken(name.rpartition("/")[2] for name in self._found)
        for version in range(taken.get(TIMESTAMP, 0), 0, -1):
            stat = self._found.get(f"metadata/{version}.{TIMESTAMP}.json")
            if stat and (
                version == taken[TIMESTAMP] or self._now - stat.modified <= KEEP_TIMESTAMPS
            ):
                yield version

    async def _snapshot(self, version: int) -> None:
        if self._is_new(f"metadata/{version}.{SNAPSHOT}.json"):
            snapshot = decode_role(await self._role(SNAPSHOT, version), SNAPSHOT, Snapshot)
            for name, meta in snapshot.meta.items():
                await self._targets(name.removesuffix(".json"), meta.version)

    async def _targets(self, role: str, version: int) -> None:
        name = f"metadata/{version}.{role}.json"
        if name not in self._found or not self._is_new(name):
            return  # a role nobody delegates to does not pass through
        targets = decode_role(await self._role(role, version), role, Targets).targets
        for target, file in targets.items():
            pin = Pin(file.hashes["sha256"], file.length)
            if self._is_new(_blob(target, pin.sha256)) and "/releases/" in target:
                await self._release(target, pin)

    async def _release(self, target: str, pin: Pin) -> None:
        data = await self._repository.read(target, pin, max_bytes=MAX_MANIFEST_BYTES)
        manifest = decode(data, Manifest, target)
        for blob, its in await self._repository.contents(manifest):
            self._marked.add(_blob(blob, its.sha256))

    async def _role(self, role: str, version: int) -> bytes:
        name = f"{version}.{role}.json"
        self._marked.add(f"metadata/{name}")
        return await self._repository.role(name)

    def _is_new(self, name: str) -> bool:
        """Mark a name; tell whether it was not marked before."""
        if name in self._marked:
            return False
        self._marked.add(name)
        return True


def _blob(target: str, sha256: str) -> str:
    return f"targets/{blob_name(target, sha256)}"
