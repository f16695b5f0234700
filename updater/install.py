"""Generations on disk: staged beside ``current``, put in force by one rename, pruned later.

Files are hard links to blobs (copies where links do not work), 0444; folders are 0755, whatever
the umask: the engine's user has to read all of them. Nothing here is visible to an engine before
``swap``.
"""

import contextlib
import errno
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import msgspec

from keys import files
from keys.errors import StateError
from keys.model.release import File
from updater.engines.base import Marker

FILE_MODE = 0o444
FOLDER_MODE = 0o755
SPARE_BYTES = 1 << 20  # beyond the files themselves: names, state, history


class Contents(msgspec.Struct, frozen=True):
    """Everything that lies in one generation, by name."""

    files: Mapping[str, File]
    overlay: Mapping[str, bytes]
    marker: Marker | None
    ignoring: Mapping[str, bytes] = msgspec.field(default_factory=dict)

    @property
    def own(self) -> Mapping[str, bytes]:
        """The files made on this host."""
        marker = {self.marker.file_name: self.marker.definition} if self.marker else {}
        return {**self.overlay, **self.ignoring, **marker}


class Generations:
    """The folder an engine reads from: ``generations/`` and the link ``current``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.current = folder / "current"
        self._all = folder / "generations"

    def path(self, name: str) -> Path:
        """Tell where a generation lies."""
        return self._all / name

    def in_force(self) -> str:
        """Return the name ``current`` points at, "" when there is none or its folder is lost."""
        try:
            target = self.current.readlink()
        except FileNotFoundError:
            return ""
        except OSError as exc:
            raise StateError(
                f"{self.current}: {exc.strerror or exc}",
                hint="`current` has to be a symbolic link that sigupdate made",
            ) from exc
        return target.name if self.path(target.name).is_dir() else ""

    def names(self) -> tuple[str, ...]:
        """List the generations on disk."""
        if not self._all.is_dir():
            return ()
        return tuple(sorted(p.name for p in self._all.iterdir() if not p.name.startswith(".")))

    def prepare(self) -> None:
        """Make the folders, and clear what a crash left. Call it under the engine's lock.

        Raises:
            StateError: the disk is full or the folder cannot be written.

        """
        with on_disk(self.folder):
            for folder in (self.folder, self._all):
                make_folder(folder)
            files.clear_temporary(self._all)
            files.clear_temporary(self.folder)

    def stage(self, name: str, contents: Contents, blobs: Path) -> Path:
        """Lay out a generation from blobs; it appears under its name whole and durable.

        Raises:
            StateError: no space, a blob is missing, or the folder cannot be written.

        """
        self._check_space(contents, blobs)
        target = self.path(name)
        staging = files.temporary_beside(target)
        with on_disk(target):
            staging.mkdir()
            for inner, file in contents.files.items():
                _link(blobs / file.sha256, _place(staging, inner))
            for inner, data in contents.own.items():
                files.write(_place(staging, inner), data, mode=FILE_MODE)
            _settle(staging)
            files.move_folder(staging, target)
        return target

    def swap(self, name: str) -> None:
        """Put a generation in force: one rename."""
        with on_disk(self.current):
            files.point(self.current, f"{self._all.name}/{name}")

    def prune(self, keep: Collection[str]) -> None:
        """Remove every generation but these and the one in force."""
        kept = {*keep, self.in_force()}
        with on_disk(self._all):
            for name in self.names():
                if name not in kept:
                    files.remove_folder(self.path(name))

    def _check_space(self, contents: Contents, blobs: Path) -> None:
        with on_disk(self._all):
            needed = sum(map(len, contents.own.values())) + SPARE_BYTES
            if blobs.stat().st_dev != self._all.stat().st_dev:
                needed += sum(file.length for file in contents.files.values())
            check_space(self._all, needed)


def _place(root: Path, name: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _link(blob: Path, target: Path) -> None:
    try:
        files.link_or_copy(blob, target, mode=FILE_MODE)
    except FileNotFoundError as exc:
        raise StateError(f"{blob}: this blob is gone", hint="run `sigupdate run` again") from exc
    if target.stat().st_mode & 0o777 != FILE_MODE:
        target.chmod(FILE_MODE)


def _settle(folder: Path) -> None:
    """Set the modes of a tree's folders and make their names durable, the innermost first."""
    for path, _, _ in os.walk(folder, topdown=False):
        Path(path).chmod(FOLDER_MODE)
        files.sync_folder(Path(path))


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, that every user may read, whatever the umask."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        folder.chmod(FOLDER_MODE)


def check_space(folder: Path, needed: int) -> None:
    """Refuse early what would fill the disk.

    Raises:
        StateError: fewer than ``needed`` bytes are free.

    """
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if free < needed:
        raise StateError(
            f"{folder}: {needed} bytes are needed and {free} are free",
            hint="make room on this file system; nothing was changed",
        )


@contextlib.contextmanager
def on_disk(path: Path) -> Iterator[None]:
    """Turn what the disk refuses into a named error.

    Raises:
        StateError: naming the path and the reason.

    """
    try:
        yield
    except OSError as exc:
        full = exc.errno in {errno.ENOSPC, errno.EDQUOT}
        raise StateError(
            f"{exc.filename or path}: {exc.strerror or exc}",
            hint="make room on this file system; the last good state is in force" if full else "",
        ) from exc
