"""The files of the last pull, kept so that of many only those that changed are brought again.

A vendor answers 304 to who names what he has; then the kept copy counts, after the same checks as
anything that comes. The folder may be lost at any time: then everything is brought once more.
"""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from keys import files
from keys.errors import DigestError, StateError
from keys.model.release import File

MAX_INDEX_BYTES = 16 << 20
_SHOWN = ("ETag", "Last-Modified", "Content-Length")


class KeptFile(msgspec.Struct, frozen=True):
    """One file as it came: its bytes, and the headers that tell its version."""

    sha256: str
    length: int
    headers: dict[str, str]

    @property
    def condition(self) -> dict[str, str]:
        """Return the headers that ask for a change only; none where no validator is known."""
        names = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}
        return {names[name]: value for name, value in self.headers.items() if name in names}


class Kept:
    """One upstream's kept files, in a folder of its own: an index, and each file by its sha256."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._index = folder / "index.json"

    def read(self) -> Mapping[str, KeptFile]:
        """Return what is kept, by path; nothing when the index is unusable."""
        try:
            data = files.read(
                self._index, max_bytes=MAX_INDEX_BYTES, limit="MAX_INDEX_BYTES", error=StateError
            )
            found = msgspec.json.decode(data, type=dict[str, KeptFile])
        except (StateError, msgspec.DecodeError):
            return {}
        return {path: one for path, one in found.items() if (self._folder / one.sha256).is_file()}

    def restore(self, one: KeptFile, target: Path) -> None:
        """Copy a kept file to where it is needed.

        Raises:
            DigestError: it is not what it was; it is kept no longer.
            StateError: the disk refuses.

        """
        source = self._folder / one.sha256
        try:
            shutil.copyfile(source, target)
            with target.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as exc:
            raise StateError(f"{exc.filename or source}: {exc.strerror or exc}") from exc
        if found != one.sha256:
            source.unlink(missing_ok=True)
            raise DigestError(f"{source}: changed on the disk")

    def keep(self, brought: Sequence[tuple[File, Path, Mapping[str, str]]]) -> None:
        """Keep these files, and no others.

        Raises:
            StateError: the disk refuses.

        """
        index = {
            file.path: KeptFile(
                file.sha256, file.length, {n: headers[n] for n in _SHOWN if n in headers}
            )
            for file, _path, headers in brought
        }
        try:
            files.make_folder(self._folder)
            for file, path, _headers in brought:
                self._take(file, path)
            files.write(self._index, msgspec.json.encode(index))
            wanted = {one.sha256 for one in index.values()} | {self._index.name}
            for path in self._folder.iterdir():
                if path.name not in wanted:
                    path.unlink(missing_ok=True)
        except OSError as exc:
            raise StateError(f"{self._folder}: {exc.strerror or exc}") from exc

    def _take(self, file: File, path: Path) -> None:
        """Copy one: a second name would be the same bytes as those in the store."""
        target = self._folder / file.sha256
        if target.is_file():
            return
        with path.open("rb") as reader, files.replacing(target) as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
