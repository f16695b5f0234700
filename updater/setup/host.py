"""A host's files as values: what stands at a path, and the one place that changes it.

Every path is absolute on the host; ``Host`` puts its root in front, so that the same code works
on a copy of a host's files. Some folders belong to the engine's user, so nothing here follows a
symbolic link as its last step.
"""

import contextlib
import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from keys import files
from keys.errors import LimitError, StateError

MAX_FILE_BYTES = 16 << 20

_LEFTOVER = re.compile(re.escape(files.TEMPORARY_PREFIX) + "[0-9a-f]{16}")


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """What stands at a path."""


class Absent(Entry, frozen=True, tag="absent"):
    """Nothing."""


class Regular(Entry, frozen=True, tag="file"):
    """A file: its bytes, permission bits and owner."""

    data: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0

    def text(self) -> str:
        """Return the content as text that gives the same bytes back."""
        return self.data.decode("utf-8", "surrogateescape")

    def with_text(self, text: str) -> "Regular":
        """Return the same file with another content."""
        return msgspec.structs.replace(self, data=text.encode("utf-8", "surrogateescape"))


class Link(Entry, frozen=True, tag="link"):
    """A symbolic link."""

    target: str


class Folder(Entry, frozen=True, tag="folder"):
    """A folder: its permission bits and owner, not what lies in it."""

    mode: int = 0o755
    uid: int = 0
    gid: int = 0


class Special(Entry, frozen=True, tag="special"):
    """A device, socket or pipe: never ours."""


AnyEntry = Absent | Regular | Link | Folder | Special


class Host:
    """The files below one root."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def is_this_one(self) -> bool:
        """Tell whether the files are those of the running system."""
        return self.root == Path("/")

    def at(self, path: str) -> Path:
        """Say where a host's path lies on this machine."""
        return self.root / path.lstrip("/")

    def read(self, path: str) -> AnyEntry:
        """Say what stands at a path.

        Raises:
            StateError: it cannot be read.
            LimitError: a file larger than ``MAX_FILE_BYTES``.

        """
        place = self.at(path)
        with _named(path):
            try:
                found = place.lstat()
                if stat.S_ISLNK(found.st_mode):
                    return Link(str(place.readlink()))
                if stat.S_ISREG(found.st_mode):
                    return _read_file(place)
            except (FileNotFoundError, NotADirectoryError):
                return Absent()
        if stat.S_ISDIR(found.st_mode):
            return Folder(stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)
        return Special()

    def text(self, path: str) -> str:
        """Return a file's text, or nothing where no file stands; a link is followed."""
        place = self.at(path)
        with _named(path):
            if not place.is_file():
                return ""
            with place.open("rb") as file:
                return file.read(MAX_FILE_BYTES).decode("utf-8", "surrogateescape")

    def names(self, folder: str) -> tuple[str, ...]:
        """List the names in a folder, sorted; none where there is no folder."""
        with _named(folder):
            try:
                return tuple(sorted(path.name for path in self.at(folder).iterdir()))
            except (FileNotFoundError, NotADirectoryError):
                return ()

    def clear_leftovers(self, folder: str) -> None:
        """Remove what a crash of ours left in a folder: only names as ``keys.files`` makes them."""
        for name in self.names(folder):
            if _LEFTOVER.fullmatch(name):
                place = self.at(f"{folder}/{name}")
                with _named(f"{folder}/{name}"):
                    _remove_all(place)

    def put(self, path: str, entry: AnyEntry) -> None:
        """Make a path be what ``entry`` says, in one step; a folder that is not empty stays.

        Raises:
            StateError: it cannot be changed.

        """
        place = self.at(path)
        with _named(path):
            match entry:
                case Absent():
                    _remove(place)
                case Regular():
                    _write_file(place, entry)
                case Link():
                    files.point(place, entry.target)
                case Folder():
                    _make_folder(place, entry)
                case Special():
                    raise StateError(f"{path}: not a file, link or folder")


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        hint = "run the command as root" if exc.errno in {errno.EPERM, errno.EACCES} else ""
        raise StateError(f"{path}: {exc.strerror or exc}", hint=hint) from exc


def _read_file(place: Path) -> Regular:
    descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise LimitError(f"{place}: larger than MAX_FILE_BYTES={MAX_FILE_BYTES}")
    return Regular(data, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)


def _write_file(place: Path, entry: Regular) -> None:
    with files.replacing(place, mode=entry.mode) as file:
        file.write(entry.data)
        os.fchown(file.fileno(), entry.uid, entry.gid)


def _make_folder(place: Path, entry: Folder) -> None:
    """Make or adjust a folder; a new one appears with its owner already set."""
    if place.is_dir() and not place.is_symlink():
        _own(place, entry)
        return
    temporary = files.temporary_beside(place)
    temporary.mkdir(mode=0o700)
    try:
        _own(temporary, entry)
        files.move_folder(temporary, place)
    except OSError:
        temporary.rmdir()
        raise


def _own(folder: Path, entry: Folder) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchown(descriptor, entry.uid, entry.gid)
        os.fchmod(descriptor, entry.mode)
    finally:
        os.close(descriptor)


def _remove_all(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def _remove(place: Path) -> None:
    if not place.is_dir() or place.is_symlink():
        place.unlink(missing_ok=True)
        return
    try:
        place.rmdir()
    except OSError as exc:
        if exc.errno != errno.ENOTEMPTY:
            raise
