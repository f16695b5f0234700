"""A repository as it lies in a store: what is in force, and how a next version is added.

``<N>.timestamp.json``, created and never overwritten, is the commit point; ``timestamp.json`` is a
copy of the newest one that every writer repairs first.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path

from keys.errors import ConflictError, LockedError, StateError, StoreError
from keys.model.release import (
    MAX_FILE_LIST_BYTES,
    MAX_MANIFEST_BYTES,
    File,
    Manifest,
    Pin,
    Pointer,
    blob_name,
    decode,
    decode_file_list,
    file_list_target,
    manifest_target,
)
from keys.signing.publisher import RoleFile
from keys.signing.state import TIMESTAMP, versions_taken, wanted
from mirror.storage import Store

MAX_ROLE_BYTES = 16 << 20
LOCK_WAIT_SECONDS = 60.0
LOCK_RETRY_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class InForce:
    """Metadata in force by role, and the version numbers that are used up."""

    metadata: dict[str, bytes]
    taken: dict[str, int]


class StoredRepository:
    """One repository below ``r/<name>/`` of a store."""

    def __init__(self, store: Store, name: str) -> None:
        self.name = name
        self._store = store

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Be its only writer; wait for another one up to ``LOCK_WAIT_SECONDS``.

        Raises:
            LockedError: the other one did not end in time.

        """
        async with contextlib.AsyncExitStack() as held:
            deadline = time.monotonic() + LOCK_WAIT_SECONDS
            while True:
                try:
                    await held.enter_async_context(self._store.writing(self.name))
                    break
                except LockedError:
                    if time.monotonic() > deadline:
                        raise
                    await asyncio.sleep(LOCK_RETRY_SECONDS)
            yield

    async def in_force(self) -> InForce:
        """Read the metadata that the newest timestamp leads to; unverified.

        Raises:
            StateError: there is no repository of this name.

        """
        listed = [name async for name in self._store.names(self._place("metadata"))]
        taken = versions_taken(name.rpartition("/")[2] for name in listed)
        metadata: dict[str, bytes] = {}
        while missing := wanted(metadata, taken):
            for role, name in missing.items():
                metadata[role] = await self.role(name)
        if "root" not in metadata:
            raise StateError(
                f"repository {self.name}: there is none in this store",
                hint="run `sigmirror init` first, or check store.url",
            )
        return InForce(metadata, taken)

    async def repair(self, in_force: InForce) -> bool:
        """Make ``timestamp.json`` the copy it should be; tell whether it was not."""
        newest, name = in_force.metadata.get(TIMESTAMP), self._place("metadata/timestamp.json")
        found = await self._store.stat(name)
        if newest is None or (found and await self._holds(name, newest)):
            return False
        await self._store.replace(name, newest)
        return True

    async def _holds(self, name: str, data: bytes) -> bool:
        return await self._store.read(name, max_bytes=MAX_ROLE_BYTES) == data

    async def commit(self, files: Iterable[RoleFile]) -> None:
        """Write role files in their order; what they list is in the store already."""
        for file in files:
            name = self._place(f"metadata/{file.name}")
            if file.name == "timestamp.json":
                await self._store.replace(name, file.data)
            else:
                await self._store.create(name, file.data)

    async def role(self, name: str) -> bytes:
        """Return a role file such as ``3.root.json``.

        Raises:
            MissingError: not in the store.

        """
        return await self._store.read(self._place(f"metadata/{name}"), max_bytes=MAX_ROLE_BYTES)

    async def add(self, target: str, pin: Pin, content: bytes | Path) -> bool:
        """Add the bytes of a target, which the caller has checked; tell whether they were new.

        Raises:
            StoreError: the store holds an object of another length under this digest.

        """
        name = self._blob(target, pin)
        if await self._is_there(name, pin):
            return False
        try:
            await self._store.create(name, content)
        except ConflictError:
            return not await self._is_there(name, pin)
        return True

    async def holds(self, target: str, pin: Pin) -> bool:
        """Tell whether a target's bytes are in the store."""
        return await self._is_there(self._blob(target, pin), pin)

    async def _is_there(self, name: str, pin: Pin) -> bool:
        found = await self._store.stat(name)
        if found is not None and found.length != pin.length:
            raise StoreError(
                f"{name}: {found.length} bytes in the store, {pin.length} expected",
                hint="the object is damaged: remove it, then run the command again",
            )
        return found is not None

    async def read(self, target: str, pin: Pin, *, max_bytes: int) -> bytes:
        """Return the bytes of a target.

        Raises:
            MissingError: not in the store.
            DigestError: damaged in the store.

        """
        data = await self._store.read(self._blob(target, pin), max_bytes=max_bytes)
        return pin.check(data, target)

    async def manifest(self, channel: str, sequence: int, pin: Pin) -> Manifest:
        """Return a release's manifest."""
        target = manifest_target(channel, sequence)
        data = await self.read(target, pin, max_bytes=MAX_MANIFEST_BYTES)
        return decode(data, Manifest, target)

    async def pointed(self, channel: str, pointer: Pointer) -> Manifest:
        """Return the manifest a pointer names, whether a role still lists it or not.

        Raises:
            MissingError: not in the store.
            DigestError: damaged in the store.

        """
        target = manifest_target(channel, pointer.sequence)
        name = self._place(f"targets/{blob_name(target, pointer.manifest_sha256)}")
        data = await self._store.read(name, max_bytes=MAX_MANIFEST_BYTES)
        return decode(Pin(pointer.manifest_sha256, len(data)).check(data, target), Manifest, target)

    async def files(self, manifest: Manifest) -> tuple[File, ...]:
        """Return a release's files, sorted by path."""
        target = file_list_target(manifest.channel, manifest.sequence)
        data = await self.read(target, manifest.file_list, max_bytes=MAX_FILE_LIST_BYTES)
        return decode_file_list(data, target)

    def _blob(self, target: str, pin: Pin) -> str:
        return self._place(f"targets/{blob_name(target, pin.sha256)}")

    def _place(self, name: str) -> str:
        return f"r/{self.name}/{name}"
