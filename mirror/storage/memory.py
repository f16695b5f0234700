"""A store that lives as long as its process: for tests and for looking without keeping."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

from keys.errors import ConflictError, LimitError, LockedError, MissingError
from mirror.storage import names
from mirror.storage.base import CHUNK_BYTES, Stat


class MemoryStore:
    """Objects in a dictionary; a change is one assignment."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}
        self._modified: dict[str, datetime] = {}
        self._writers: set[str] = set()

    async def stat(self, name: str) -> Stat | None:
        """Tell an object's length and version, or None when it is not there."""
        data = self._objects.get(names.check(name))
        if data is None:
            return None
        return Stat(len(data), hashlib.sha256(data).hexdigest(), self._modified[name])

    async def read(self, name: str, *, max_bytes: int) -> bytes:
        """Return an object's bytes."""
        data = self._get(name)
        if len(data) > max_bytes:
            raise LimitError(f"{name}: {len(data)} bytes, more than max_bytes={max_bytes}")
        return data

    async def local_path(self, name: str) -> Path | None:
        """Return None: there are no files."""
        self._get(name)
        return None

    async def chunks(self, name: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Stream the bytes from ``start`` to before ``stop``."""
        data = self._get(name)[start:stop]
        for offset in range(0, len(data), CHUNK_BYTES):
            yield data[offset : offset + CHUNK_BYTES]

    async def create(self, name: str, content: bytes | Path) -> None:
        """Add an object."""
        names.check(name)
        data = content if isinstance(content, bytes) else await _read_file(content)
        if self._objects.setdefault(name, data) is not data:
            raise ConflictError(f"{name}: exists already")
        self._modified[name] = datetime.now(UTC)

    async def replace(self, name: str, data: bytes) -> None:
        """Set an object's bytes."""
        self._objects[names.check(name)] = data
        self._modified[name] = datetime.now(UTC)

    async def delete(self, name: str) -> None:
        """Remove an object."""
        self._objects.pop(names.check(name), None)

    async def names(self, prefix: str) -> AsyncIterator[str]:
        """List the names below a folder."""
        folder = names.check(prefix.rstrip("/")) + "/"
        for name in list(self._objects):
            if name.startswith(folder):
                yield name

    async def sweep(self, prefix: str) -> None:
        """Do nothing: no change is ever half done."""
        names.check(prefix.rstrip("/"))

    @contextlib.asynccontextmanager
    async def writing(self, repository: str) -> AsyncIterator[None]:
        """Be the only writer of a repository for the length of the block."""
        names.check(repository)
        if repository in self._writers:
            raise LockedError(f"repository {repository}: another writer is at work")
        self._writers.add(repository)
        try:
            yield
        finally:
            self._writers.discard(repository)

    def _get(self, name: str) -> bytes:
        try:
            return self._objects[names.check(name)]
        except KeyError:
            raise MissingError(f"{name}: not in the store") from None


async def _read_file(path: Path) -> bytes:
    data = await asyncio.to_thread(path.read_bytes)
    return bytes(bytearray(data))  # an object of its own, so that `create` can tell it apart
