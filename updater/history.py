"""What was in force when: one line per change, appended, each bound to the one before by sha256.

The chain shows an edited, dropped or reordered line; it is no signature. A torn last line, left by
a crash, is passed over.
"""

import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from keys import files
from keys.errors import StateError
from keys.model.release import Instant, Wire, encode
from updater.state import Proved, Release

MAX_LINE_BYTES = 1 << 20
CHAIN_START = "0" * 64


class Entry(Wire, frozen=True, omit_defaults=False):
    """One change, or one change of what is known about the generation in force."""

    at: Instant
    generation: int
    name: str
    releases: dict[str, Release]
    outcome: str
    proof: Proved
    detail: str
    duration_seconds: float
    engine_version: str
    chain: str = ""


class History:
    """``history.jsonl`` of one engine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, entry: Entry) -> None:
        """Append a line and make it durable.

        Raises:
            StateError: the disk is full or the file cannot be written.

        """
        last = self.last()
        linked = msgspec.structs.replace(entry, chain=_link(last.chain if last else "", entry))
        try:
            files.append(self._path, encode(linked))
        except OSError as exc:
            raise StateError(f"{self._path}: {exc.strerror or exc}") from exc

    def last(self) -> Entry | None:
        """Return the newest whole line, reading only the end of the file."""
        return next((entry for entry in map(_parse, reversed(self._tail())) if entry), None)

    def at(self, time: datetime) -> Entry | None:
        """Return the newest line that was written at a time or before it."""
        found = None
        for entry in self.entries():
            if entry.at <= time:
                found = entry
        return found

    def entries(self) -> Iterator[Entry]:
        """Read every whole line, oldest first."""
        for line in self._lines():
            if entry := _parse(line):
                yield entry

    def check(self) -> int:
        """Follow the chain from the first line; return how many lines hold.

        Raises:
            StateError: a line was changed, removed or added by another hand.

        """
        chain, count = "", 0
        for count, entry in enumerate(self.entries(), start=1):
            if entry.chain != _link(chain, msgspec.structs.replace(entry, chain="")):
                raise StateError(f"{self._path}: line {count} does not follow from the one before")
            chain = entry.chain
        return count

    def _lines(self) -> Iterator[bytes]:
        try:
            with self._path.open("rb") as file:
                while line := file.readline(MAX_LINE_BYTES):
                    yield line
        except FileNotFoundError:
            return
        except OSError as exc:
            raise StateError(f"{self._path}: {exc.strerror or exc}") from exc

    def _tail(self) -> list[bytes]:
        try:
            with self._path.open("rb") as file:
                end = file.seek(0, 2)
                file.seek(max(0, end - 2 * MAX_LINE_BYTES))
                return file.read(2 * MAX_LINE_BYTES).splitlines()
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise StateError(f"{self._path}: {exc.strerror or exc}") from exc


def _parse(line: bytes) -> Entry | None:
    try:
        return msgspec.json.decode(line, type=Entry)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _link(chain: str, entry: Entry) -> str:
    return hashlib.sha256((chain or CHAIN_START).encode() + encode(entry)).hexdigest()
