"""A repository as it lies in a store: what is in force, and how a next version is added.

``<N>.timestamp.json``, created and never overwritten, is the commit point; ``timestamp.json`` is a
copy of the newest one that every writer repairs first.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from keys.errors import (
    ConflictError,
    HandedOverError,
    LockedError,
    MissingError,
    StateError,
    StoreError,
    TrustError,
)
from keys.model.handover import HANDOVER_FILE, MAX_HANDOVER_BYTES, Handover
from keys.model.instant import utc
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
    encode,
    file_list_target,
    file_target,
    manifest_target,
)
from keys.model.sidecars import sidecars_target
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
    async def writing(self, *, moving: bool = False) -> AsyncIterator[None]:
        """Be its only writer; wait for another one up to ``LOCK_WAIT_SECONDS``.

        Raises:
            LockedError: the other one did not end in time.
            HandedOverError: another machine is its writer now; ``moving`` is what makes it so.

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
            if not moving:
                await self.check_in_charge()
            yield

    async def check_in_charge(self) -> None:
        """Make sure that this is where the repository is signed.

        Raises:
            HandedOverError: it was handed over.
            TrustError: the seal is damaged.

        """
        if handover := await self.handover():
            raise HandedOverError(
                f"repository {self.name}: handed over to {handover.to} on "
                f"{utc(handover.at)}: nothing is signed or changed here any more"
            )

    async def handover(self) -> Handover | None:
        """Tell whom the repository was handed over to, if it was."""
        name = self._place(HANDOVER_FILE)
        try:
            data = await self._store.read(name, max_bytes=MAX_HANDOVER_BYTES)
        except MissingError:
            return None
        return decode(data, Handover, name)

    async def seal(self, handover: Handover) -> None:
        """Let every writer of this place know that another one signs; an older seal is replaced."""
        await self._store.replace(self._place(HANDOVER_FILE), encode(handover))

    async def unseal(self) -> None:
        """Let writers of this place sign again."""
        await self._store.delete(self._place(HANDOVER_FILE))

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
                f"there is no repository {self.name} in this store",
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

    async def pass_on(self, file: RoleFile) -> None:
        """Write a role file that was signed elsewhere; one that is there already must be the same.

        Raises:
            TrustError: another file of this name is there: somebody signed two of one version.

        """
        try:
            await self.commit([file])
        except ConflictError as exc:
            if await self.role(file.name) != file.data:
                raise TrustError(
                    f"repository {self.name}: {file.name} differs from the one served before",
                    hint="two files of one version were signed; ask who signs which is right",
                ) from exc

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

    async def contents(self, manifest: Manifest) -> Iterator[tuple[str, Pin]]:
        """List every blob a manifest leads to, by target."""
        channel, number = manifest.channel, manifest.sequence
        files = (*await self.files(manifest), *manifest.originals)
        found = [(file_target(channel, file.path), file.pin) for file in files]
        if manifest.sidecars:
            found.append((sidecars_target(channel, number), manifest.sidecars))
        return iter([*found, (file_list_target(channel, number), manifest.file_list)])

    def _blob(self, target: str, pin: Pin) -> str:
        return self._place(f"targets/{blob_name(target, pin.sha256)}")

    def _place(self, name: str) -> str:
        return f"r/{self.name}/{name}"
