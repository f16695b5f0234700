"""A vendor's repository goes into the store as the vendor signed it, byte for byte."""

from pathlib import Path

from keys.signing.publisher import RoleFile
from mirror.repository import MAX_ROLE_BYTES, StoredRepository
from mirror.upstream.base import Advance


async def pass_through(repository: StoredRepository, advance: Advance) -> int:
    """Add what was verified: blobs, roles, the timestamp last; return the new bytes.

    Raises:
        TrustError: the vendor used a version number twice.
        StoreError, LockedError: the repository is still the one that was there.

    """
    async with repository.writing():
        new_bytes = 0
        for target, (pin, path) in advance.blobs.items():
            if await repository.add(target, pin, path):
                new_bytes += pin.length
        for name, path in advance.metadata.items():
            await repository.pass_on(RoleFile(name, _read(path)))
        await repository.repair(await repository.in_force())
    return new_bytes


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_ROLE_BYTES)
