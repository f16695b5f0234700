"""A folder someone else writes into: what lies there now, and copying it without being fooled.

Nothing is followed: a symbolic link or a special file is refused by name, files are opened one
folder at a time below a descriptor, and a file counts only if it was the same before and after.
"""

import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from keys.errors import FetchError, LimitError, NameRefusedError
from keys.model.names import check_path, check_unique
from keys.model.release import File

CHUNK_BYTES = 1 << 20
UNFINISHED_SUFFIXES = (
    "~", ".part", ".partial", ".tmp", ".temp", ".swp", ".crdownload", ".filepart", ".download",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One regular file as a scan saw it; equal entries are the same, unchanged file."""

    path: str
    length: int
    inode: int
    modified_ns: int
    changed_ns: int


@dataclass(frozen=True, slots=True)
class Scan:
    """Every file of a folder at one moment, sorted by path."""

    entries: tuple[Entry, ...]

    @property
    def signature(self) -> str:
        """Return a digest that changes when any file does."""
        digest = hashlib.sha256()
        for entry in self.entries:
            digest.update(repr(entry).encode("utf-8", "backslashreplace"))
        return digest.hexdigest()

    @property
    def length(self) -> int:
        """The bytes of all files."""
        return sum(entry.length for entry in self.entries)

    @property
    def newest(self) -> Entry:
        """The file that was modified last."""
        return max(self.entries, key=lambda entry: entry.modified_ns)

    def without(self, name: str) -> "Scan":
        """Return the scan without one file."""
        return Scan(tuple(entry for entry in self.entries if entry.path != name))


def is_unfinished(name: str) -> bool:
    """Tell whether a name is hidden or one that copying tools use until a file is whole."""
    return name.startswith(".") or name.lower().endswith(UNFINISHED_SUFFIXES)


def scan(folder: Path, *, max_files: int, max_bytes: int) -> Scan:
    """List a folder's files; unfinished and hidden names are passed over.

    Raises:
        NameRefusedError: a symbolic link, a special file, or a name no release may hold.
        LimitError: more than ``max_files`` files or ``max_bytes`` bytes.
        FetchError: the folder cannot be read, or changes while it is.

    """
    entries: list[Entry] = []
    length = 0
    with _translated(folder):
        for entry in _walk(folder, ""):
            entries.append(entry)
            length += entry.length
            if len(entries) > max_files:
                raise LimitError(f"{folder}: more than max_files={max_files} files")
            if length > max_bytes:
                raise LimitError(f"{folder}: more than max_release_bytes={max_bytes} bytes")
    check_unique(entry.path for entry in entries)
    return Scan(tuple(sorted(entries, key=lambda entry: entry.path)))


def _walk(folder: Path, prefix: str) -> Iterator[Entry]:
    with os.scandir(folder) as found:
        for item in found:
            if is_unfinished(item.name):
                continue
            path = f"{prefix}{item.name}"
            if item.is_dir(follow_symlinks=False):
                yield from _walk(folder / item.name, check_path(path) + "/")
            else:
                yield _entry(check_path(path), item.stat(follow_symlinks=False))


def _entry(path: str, found: os.stat_result) -> Entry:
    if stat.S_ISLNK(found.st_mode):
        raise NameRefusedError(
            f"file {path!r}: is a symbolic link", hint="put the file itself into the folder"
        )
    if not stat.S_ISREG(found.st_mode):
        raise NameRefusedError(f"file {path!r}: is not a regular file")
    return Entry(path, found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)


def copy(
    folder: Path, entries: tuple[Entry, ...], target: Path, *, on_bytes: Callable[[int], None]
) -> tuple[File, ...]:
    """Copy scanned files into an empty folder, hashing what was really read.

    Raises:
        FetchError: a file cannot be read, or is no longer the one that was scanned.

    """
    with _translated(folder):
        top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return tuple(_copy_one(top, entry, target / entry.path, on_bytes) for entry in entries)
        finally:
            os.close(top)


def _copy_one(top: int, entry: Entry, target: Path, on_bytes: Callable[[int], None]) -> File:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with _opened(top, entry.path) as reader, target.open("xb") as writer:
        _check_same(entry, reader)
        rest = entry.length
        while rest and (data := os.read(reader, min(CHUNK_BYTES, rest))):
            digest.update(data)
            writer.write(data)
            on_bytes(len(data))
            rest -= len(data)
        _check_same(entry, reader)
    return File(entry.path, digest.hexdigest(), entry.length - rest)


@contextlib.contextmanager
def _opened(top: int, path: str) -> Iterator[int]:
    """Open a file one folder at a time, so that no link on the way is followed."""
    *folders, name = path.split("/")
    with contextlib.ExitStack() as held:
        at = top
        for folder in folders:
            at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            held.callback(os.close, at)
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
        held.callback(os.close, file)
        yield file


def _check_same(entry: Entry, reader: int) -> None:
    found = os.fstat(reader)
    if not stat.S_ISREG(found.st_mode) or _entry(entry.path, found) != entry:
        raise FetchError(
            f"file {entry.path!r}: changed while it was read",
            hint="nothing was published; the folder is read again once it is quiet",
        )


@contextlib.contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise FetchError(f"{exc.filename or folder}: {exc.strerror or exc}") from exc
