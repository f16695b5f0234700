"""The publish log: who published what, when and why; one JSON line each, only ever appended.

A line is written before its timestamp is committed, so nothing is published without one. A line
whose ``timestamp`` never came to the store was never published; ``hold``, ``drop`` and tasks
publish nothing, their timestamp is 0. Each line is bound to the one before by sha256; the first
bound one to all that stood before it. A line that a crash cut is passed over.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from keys import files
from keys.errors import StateError
from keys.model.release import Wire, encode

MAX_LINE_BYTES = 1 << 20


class Entry(Wire, frozen=True):
    """One line."""

    at: datetime
    who: str
    what: str  # release, point, policy, renew, hold, drop, promote, withdraw, pin, task …
    timestamp: int
    channel: str = ""
    track: str = ""
    sequence: int = 0
    release: str = ""
    why: str = ""
    roles: tuple[str, ...] = ()
    name: str = ""  # of what the line is about beside a release: a signature, a document, a task
    chain: str = ""


class Journal:
    """The log's file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def append(self, entry: Entry) -> None:
        """Add a line, durable on return.

        Raises:
            StateError: the disk refuses.

        """
        await asyncio.to_thread(self.write, entry)

    def write(self, entry: Entry) -> None:
        """Add a line, as ``append`` does; blocks."""
        with self._translated():
            files.make_folder(self._path.parent)
            with _alone(self._path.parent):
                chain = _link(self._end(), entry)
                files.append(self._path, encode(msgspec.structs.replace(entry, chain=chain)))

    def entries(self) -> Iterator[Entry]:
        """Read every whole line, oldest first.

        Raises:
            StateError: unreadable.

        """
        for line in self._lines():
            if entry := _parsed(line):
                yield entry

    def faults(self) -> Iterator[str]:
        """Follow the chain; name each line that does not follow from the one before.

        Raises:
            StateError: unreadable.

        """
        unbound, chain = hashlib.sha256(), ""
        for number, line in enumerate(self._lines(), start=1):
            entry = _parsed(line)
            if entry is None:
                continue
            if not (entry.chain or chain):
                unbound.update(line)
                continue
            if entry.chain != _link(chain or unbound.hexdigest(), entry):
                yield f"{self._path}: line {number} does not follow from the one before"
            chain = entry.chain

    def _end(self) -> str:
        """Return what the next line is bound to."""
        unbound, chain = hashlib.sha256(), ""
        for line in self._tail():
            if entry := _parsed(line):
                chain = entry.chain
        if chain:
            return chain
        for line in self._lines():
            if _parsed(line):
                unbound.update(line)
        return unbound.hexdigest()

    def _tail(self) -> list[bytes]:
        try:
            with self._path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - MAX_LINE_BYTES))
                return file.read().splitlines()
        except FileNotFoundError:
            return []

    def _lines(self) -> Iterator[bytes]:
        missing = contextlib.suppress(FileNotFoundError)
        with self._translated(), missing, self._path.open("rb") as file:
            while line := file.readline(MAX_LINE_BYTES):
                yield line.rstrip(b"\n")

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise StateError(f"{self._path}: {exc.strerror or exc}") from exc


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Be the only writer for the moment that a line takes; wait for another one."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _parsed(line: bytes) -> Entry | None:
    try:
        return msgspec.json.decode(line, type=Entry)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _link(before: str, entry: Entry) -> str:
    plain = encode(msgspec.structs.replace(entry, chain=""))
    return hashlib.sha256(before.encode() + plain).hexdigest()
