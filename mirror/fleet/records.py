"""Records of the fleet on disk: read whole, changed under a lock, replaced in one step."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from keys import files
from keys.errors import StateError

MAX_RECORD_BYTES = 256 << 20

T = TypeVar("T", bound=msgspec.Struct)


@dataclass(slots=True)
class Record(Generic[T]):
    """A value while it is changed."""

    value: T


class RecordFile(Generic[T]):
    """One JSON file that holds one value; a file that is not there holds the empty value."""

    def __init__(self, path: Path, kind: type[T]) -> None:
        self.path = path
        self._kind = kind

    def read(self) -> T:
        """Return the value.

        Raises:
            StateError: unreadable, malformed or larger than ``MAX_RECORD_BYTES``.

        """
        try:
            with self.path.open("rb") as file:
                data = file.read(MAX_RECORD_BYTES + 1)
        except FileNotFoundError:
            return self._kind()
        except OSError as exc:
            raise StateError(f"{self.path}: {exc.strerror or exc}") from exc
        if len(data) > MAX_RECORD_BYTES:
            raise StateError(f"{self.path}: larger than MAX_RECORD_BYTES={MAX_RECORD_BYTES}")
        try:
            return msgspec.json.decode(data, type=self._kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise StateError(f"{self.path}: {exc}") from exc

    def write(self, value: T) -> None:
        """Replace the value; only its owner may read the file. Call it inside ``changing``.

        Raises:
            StateError: the file system refused.

        """
        data = msgspec.json.format(msgspec.json.encode(value, order="deterministic"))
        try:
            files.write(self.path, data + b"\n", mode=0o600)
        except OSError as exc:
            raise StateError(f"{self.path}: {exc.strerror or exc}") from exc

    @contextmanager
    def changing(self) -> Iterator[T]:
        """Hold the file's lock and hand out the value as it is now.

        Raises:
            LockedError: another command is changing it.
            StateError: as ``read``.

        """
        try:
            files.make_folder(self.path.parent)
            held = files.lock(self.path.with_suffix(".lock"), what=str(self.path))
            with held:
                yield self.read()
        except OSError as exc:
            raise StateError(f"{self.path}: {exc.strerror or exc}") from exc

    @contextmanager
    def replacing(self) -> Iterator[Record[T]]:
        """Hold the lock, hand out the value, and write what it is when the block ends well.

        Raises:
            LockedError, StateError: as ``changing`` and ``write``.

        """
        with self.changing() as value:
            record = Record(value)
            yield record
            self.write(record.value)
