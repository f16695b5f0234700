"""Repositories from one store to another: verified on the way, the timestamp last.

What lies at the destination already is left there, so a second run goes on where one was cut. At
every moment the destination holds the repository that it held before, or the whole new one.
"""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from keys import files
from keys.errors import DigestError, MissingError, StateError, TrustError, UsageError
from keys.model.release import Pin, blob_name
from keys.signing.publisher import RoleFile
from keys.signing.state import ROOT, SNAPSHOT, TIMESTAMP, decode
from keys.trust import roles
from keys.trust.tuf_api import Snapshot, Timestamp
from mirror.inventory import Inventory, read_inventory
from mirror.repository import InForce, StoredRepository
from mirror.settings import SITE
from mirror.storage import Store
from mirror.upstream.base import ignore_bytes

AT_ONCE = 8  # blobs on their way
MAX_HELD_BYTES = 4 << 20  # a larger blob is written to disk on its way


class Copied(msgspec.Struct, frozen=True):
    """What became of one repository; ``absent`` blobs of a vendor's were never brought here."""

    repository: str
    timestamp: int
    root_sha256: str
    objects: int
    bytes: int
    kept: int
    absent: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """Two stores, and a folder for what is on its way."""

    source: Store
    target: Store
    scratch: Path
    on_bytes: Callable[[int], None] = ignore_bytes
    dry_run: bool = False

    async def repositories(self) -> tuple[str, ...]:
        """Name the repositories of the source.

        Raises:
            StateError: there is none.

        """
        names = {name.split("/")[1] async for name in self.source.names("r")}
        if not names:
            raise StateError("the source holds no repository", hint="check its address")
        return tuple(sorted(names))

    async def compare(self, name: str) -> None:
        """Make sure that the destination may take a repository; nothing is written.

        Raises:
            Error: as of ``copy``.

        """
        inventory = await self.inventory(name)
        await _check_follows(inventory, StoredRepository(self.target, name))

    async def copy(self, name: str) -> Copied:
        """Copy a repository; a dry run only counts.

        Raises:
            UsageError: the destination holds another repository, or a newer state of this one.
            TrustError: something is not what was signed.
            StateError, StoreError: the source is damaged, or a store fails.

        """
        return await self.copy_of(await self.inventory(name))

    async def inventory(self, name: str) -> Inventory:
        """Read what a repository of the source consists of."""
        return await read_inventory(StoredRepository(self.source, name))

    async def copy_of(self, inventory: Inventory) -> Copied:
        """Copy what was read of a repository, or was chosen of that."""
        there = StoredRepository(self.target, inventory.repository)
        if self.dry_run:
            await _check_follows(inventory, there)
            return await self._blobs(inventory, there)
        async with there.writing(moving=True):
            before = await _check_follows(inventory, there)
            copied = await self._blobs(inventory, there)
            for file in inventory.files:
                await self._role(there, file, before)
            await there.repair(await there.in_force())
        return copied

    async def _role(self, there: StoredRepository, file: RoleFile, before: InForce) -> None:
        """Write a role file; what a writer left behind who never committed gives way."""
        try:
            await there.pass_on(file)
        except TrustError:
            role = file.name.split(".")[1]
            counts = role in {ROOT, TIMESTAMP}
            if counts or await there.role(file.name) == before.metadata.get(role):
                raise
            await self.target.delete(f"r/{there.name}/metadata/{file.name}")
            await there.pass_on(file)

    async def _blobs(self, inventory: Inventory, there: StoredRepository) -> Copied:
        tally = _Tally()
        waiting = iter(sorted(inventory.blobs, key=lambda one: (one[0], one[1].sha256)))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(self._take(waiting, there, tally))
        except ExceptionGroup as exc:
            raise exc.exceptions[0] from None
        return Copied(
            inventory.repository,
            inventory.version,
            hashlib.sha256(inventory.first_root.data).hexdigest(),
            tally.objects,
            tally.bytes,
            tally.kept,
            tally.absent,
        )

    async def _take(
        self, waiting: Iterator[tuple[str, Pin]], there: StoredRepository, tally: "_Tally"
    ) -> None:
        for target, pin in waiting:
            if await there.holds(target, pin):
                tally.kept += 1
                continue
            try:
                await self._blob(target, pin, there)
            except MissingError:
                if there.name == SITE:
                    raise
                tally.absent += 1
                continue
            tally.objects += 1
            tally.bytes += pin.length

    async def _blob(self, target: str, pin: Pin, there: StoredRepository) -> None:
        name = f"r/{there.name}/targets/{blob_name(target, pin.sha256)}"
        if self.dry_run:
            if await self.source.stat(name) is None:
                raise MissingError(f"{name}: not in the store")
            return
        if pin.length <= MAX_HELD_BYTES:
            data = await self.source.read(name, max_bytes=MAX_HELD_BYTES)
            await there.add(target, pin, pin.check(data, name))
            self.on_bytes(pin.length)
            return
        await asyncio.to_thread(files.make_folder, self.scratch)
        with tempfile.TemporaryDirectory(prefix=files.TEMPORARY_PREFIX, dir=self.scratch) as folder:
            path = Path(folder) / "blob"
            await self._bring(name, pin, path)
            await there.add(target, pin, path)

    async def _bring(self, name: str, pin: Pin, path: Path) -> None:
        """Write a large blob to disk.

        Raises:
            DigestError: these are not the bytes that were signed.

        """
        digest, length = hashlib.sha256(), 0
        with path.open("wb") as file:
            async for data in self._chunks(name, pin):
                digest.update(data)
                length += len(data)
                await asyncio.to_thread(file.write, data)
                self.on_bytes(len(data))
        if (digest.hexdigest(), length) != (pin.sha256, pin.length):
            raise DigestError(f"{name}: {length} bytes that are not the signed ones")

    def _chunks(self, name: str, pin: Pin) -> AsyncIterator[bytes]:
        return self.source.chunks(name, 0, pin.length)


@dataclass(slots=True)
class _Tally:
    objects: int = 0
    bytes: int = 0
    kept: int = 0
    absent: int = 0


async def _check_follows(inventory: Inventory, there: StoredRepository) -> InForce:
    """Return what is in force at the destination, if what is copied may take its place."""
    what = f"repository {there.name}"
    try:
        found = await there.in_force()
    except StateError:  # none yet, or one whose copy was cut
        return InForce({}, {})
    if await there.role(inventory.first_root.name) != inventory.first_root.data:
        raise UsageError(
            f"{what}: the destination holds another one, founded with other keys",
            hint="choose an empty destination",
        )
    if TIMESTAMP in found.metadata:
        theirs = decode(found.metadata[TIMESTAMP], TIMESTAMP, Timestamp).version
        if theirs > inventory.version:
            raise UsageError(
                f"{what}: the destination is ahead: its timestamp is version {theirs}, the "
                f"source's {inventory.version}",
                hint="copy the other way",
            )
        snapshot = decode(found.metadata[SNAPSHOT], SNAPSHOT, Snapshot)
        roles.check_snapshot_follows(inventory.state.snapshot, snapshot, what)
    return found
