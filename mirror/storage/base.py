"""The contract of a store: names to bytes, never overwritten, with one writer at a time.

Names are relative POSIX paths such as ``r/site/metadata/timestamp.json``. Every implementation
passes the same suite (tests/mirror/store_contract.py) and refuses the same names
(``mirror.storage.names``) with NameRefusedError.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Stat:
    """What is known of an object without reading it: ``version`` changes when its bytes do."""

    length: int
    version: str
    modified: datetime


class ReadableStore(Protocol):
    """Bytes by name, to read. Every method is safe to call from several tasks at once."""

    async def stat(self, name: str) -> Stat | None:
        """Tell an object's length and version, or None when it is not there."""
        ...

    async def read(self, name: str, *, max_bytes: int) -> bytes:
        """Return an object's bytes.

        Raises:
            MissingError: it is not there.
            LimitError: it is larger than ``max_bytes``.

        """
        ...

    async def local_path(self, name: str) -> Path | None:
        """Return a file that holds the object's bytes, or None where the store has no files.

        Raises:
            MissingError: it is not there.

        """
        ...

    def chunks(self, name: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Stream the bytes from ``start`` to before ``stop``, at most ``CHUNK_BYTES`` at a time.

        Raises:
            MissingError: it is not there.

        """
        ...


class Store(ReadableStore, Protocol):
    """Bytes by name, to read and to change."""

    async def create(self, name: str, content: bytes | Path) -> None:
        """Add an object, whole or not at all, durable on return. A file is copied or linked.

        Raises:
            ConflictError: the name is taken; its bytes are untouched.

        """
        ...

    async def replace(self, name: str, data: bytes) -> None:
        """Set an object's bytes in one step, durable on return."""
        ...

    async def delete(self, name: str) -> None:
        """Remove an object; one that is not there is no error."""
        ...

    def names(self, prefix: str) -> AsyncIterator[str]:
        """List the names below a folder, in no promised order."""
        ...

    async def sweep(self, prefix: str) -> None:
        """Remove what crashed writers left below a folder. Call it only as its only writer."""
        ...

    def writing(self, repository: str) -> AbstractAsyncContextManager[None]:
        """Be the only writer of a repository for the length of the block.

        Raises:
            LockedError: another writer is at work.

        """
        ...
