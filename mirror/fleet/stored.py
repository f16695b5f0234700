"""Records of the fleet in a bucket: every replica reads them; of two writers at once one wins.

``state/<record>/<N>.json`` is created and never overwritten; ``state/<record>.json`` is a copy of
the newest one, which tells with one cheap question whether there is another. Whoever changes a
record repairs the copy first. Every call blocks.
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
import structlog

from keys import files
from keys.errors import ConflictError, LockedError, MissingError, StateError, StoreError
from mirror.fleet.records import MAX_RECORD_BYTES, Record
from mirror.storage.base import Store

FOLDER = "state"
KEPT_NUMBERS = 20  # far more changes than are made while one writer comes to his end
MAX_AHEAD = 1000

T = TypeVar("T", bound=msgspec.Struct)
_Result = TypeVar("_Result")


class _Numbered(msgspec.Struct, frozen=True):
    number: int = 0
    value: msgspec.Raw = msgspec.Raw(b"{}")


class StoredRecord(Generic[T]):
    """One value in a store; one that is not there is the empty value.

    ``kept`` is a file of our own with what was read last; with ``stand_in`` that will do while the
    store does not answer.
    """

    def __init__(
        self, store: Store, name: str, kind: type[T], *, kept: Path | None = None,
        stand_in: bool = True,
    ) -> None:  # fmt: skip
        self._stand_in = stand_in
        self._store = store
        self._folder = f"{FOLDER}/{name}"
        self._kind = kind
        self._kept = kept
        self._found = _Numbered()

    def read(self) -> T:
        """Return the value.

        Raises:
            StateError: malformed.
            StoreError: the store fails, and nothing stands in for it.

        """
        try:
            found, _ = _waited(self._newest())
        except StoreError:
            if not (self._stand_in and self._kept and self._kept.exists()):
                raise
            return self._value(self._decoded(_read_kept(self._kept)))
        if self._kept is not None:
            _keep(self._kept, found)
        return self._value(found)

    def version(self) -> str:
        """Tell by one request what changes whenever the value does.

        Raises:
            StoreError: the store fails.

        """
        stat = _waited(self._store.stat(self._copy))
        return stat.version if stat else ""

    @contextmanager
    def changing(self) -> Iterator[T]:
        """Hand out the value as it is now; ``write`` then replaces exactly that one.

        Raises:
            StateError, StoreError: as ``read``, but nothing stands in.

        """
        self._found, is_copied = _waited(self._newest())
        if not is_copied:
            _waited(self._store.replace(self._copy, msgspec.json.encode(self._found)))
        yield self._value(self._found)

    @contextmanager
    def replacing(self) -> Iterator[Record[T]]:
        """Hand out the value, and write what it is when the block ends well.

        Raises:
            LockedError: somebody else changed it meanwhile; nothing was written.
            StateError, StoreError: as ``changing``.

        """
        with self.changing() as value:
            record = Record(value)
            yield record
            self.write(record.value)

    def write(self, value: T) -> None:
        """Replace the value that ``changing`` handed out.

        Raises:
            LockedError: somebody else did; nothing was written.
            StoreError: the store fails.

        """
        number = self._found.number + 1
        after = _Numbered(number, msgspec.Raw(msgspec.json.encode(value, order="deterministic")))
        _waited(self._replace(after))
        self._found = after

    async def _replace(self, after: _Numbered) -> None:
        data = msgspec.json.encode(after)
        async with self._store.writing(FOLDER):
            try:
                await self._store.create(self._place(after.number), data)
            except ConflictError as exc:
                raise LockedError(
                    f"{self._copy}: somebody else changed it in this moment",
                    hint="nothing was changed: give the command again",
                ) from exc
            await self._store.replace(self._copy, data)
            if after.number > KEPT_NUMBERS:
                await self._store.delete(self._place(after.number - KEPT_NUMBERS))

    async def _newest(self) -> tuple[_Numbered, bool]:
        """Read the newest one, and tell whether the copy was it."""
        newest, is_copied = _Numbered(), True
        with contextlib.suppress(MissingError):
            newest = self._decoded(await self._bytes(self._copy))
        for _ in range(MAX_AHEAD):
            try:
                data = await self._bytes(self._place(newest.number + 1))
            except MissingError:
                break
            newest, is_copied = self._decoded(data), False
        return newest, is_copied

    async def _bytes(self, name: str) -> bytes:
        return await self._store.read(name, max_bytes=MAX_RECORD_BYTES)

    @property
    def _copy(self) -> str:
        return f"{self._folder}.json"

    def _place(self, number: int) -> str:
        return f"{self._folder}/{number}.json"

    def _decoded(self, data: bytes) -> _Numbered:
        try:
            return msgspec.json.decode(data, type=_Numbered)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise StateError(f"{self._copy}: {exc}") from exc

    def _value(self, found: _Numbered) -> T:
        try:
            return msgspec.json.decode(found.value, type=self._kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise StateError(f"{self._copy}: {exc}") from exc


def _waited(work: Coroutine[None, None, _Result]) -> _Result:
    """Wait for the store in a thread of its own: the caller may or may not be in a loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def _read_kept(path: Path) -> bytes:
    return files.read(path, max_bytes=MAX_RECORD_BYTES, limit="MAX_RECORD_BYTES", error=StateError)


def _keep(path: Path, found: _Numbered) -> None:
    """Keep what was read; a disk that refuses is told of and stops nothing."""
    data = msgspec.json.encode(found)
    try:
        if not path.exists() or path.read_bytes() != data:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            files.write(path, data, mode=0o600)
    except OSError as exc:
        structlog.get_logger().warning("record-not-kept", record=path.name, cause=str(exc))
