"""Blobs on a disk of our own, by their sha256: bounded, what was unused longest goes first.

Several processes may share the folder. A blob appears in it whole and verified, or not at all, and
is verified again when a process first uses it: what a disk damaged is never sent. One that is
evicted while it is sent arrives all the same: its bytes stay until the last reader has closed it.
Every call blocks.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from keys import files
from keys.errors import DigestError, LockedError
from mirror.storage.base import CHUNK_BYTES

KEEP_FREE_BYTES = 1 << 20  # of the disk, for whoever else writes there
USED_SECONDS = 60.0  # a use is noted no more often
RETRY_SECONDS = 10.0  # a disk that refused is left alone
LOOK_SHARE = 16  # other processes' additions are counted after this part of the bound was added
FULL_SHARE = 0.9  # of the bound is left, so that not each addition looks at every file
FOLDER_MODE = 0o700  # who may have a blob is decided elsewhere

Identity = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Entry:
    path: Path
    length: int
    used: float


class DiskCache:
    """Blobs below one folder, of ``max_bytes`` together; each process may add a 16th and a blob.

    ``trouble`` says why the disk takes nothing now, if so.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.evicted = 0
        self.trouble = ""
        self._again = 0.0
        self._folder = folder
        self._checked: dict[str, Identity] = {}
        self._counting = threading.Lock()
        self._held = 0  # bytes there were at the last look, and what was added since
        self._added = max_bytes  # since the last look; so the first addition looks

    @property
    def held_bytes(self) -> int:
        """How many bytes there are, as far as this process knows."""
        return self._held

    def takes(self) -> bool:
        """Tell whether the disk is worth a try: not for a while after it refused."""
        return time.monotonic() >= self._again

    def refused(self, cause: Exception) -> None:
        """Remember that the disk took nothing."""
        if not self.trouble:
            structlog.get_logger().error("cache", cause=str(cause), effect="blobs go through")
        self.trouble, self._again = str(cause), time.monotonic() + RETRY_SECONDS

    def took(self) -> None:
        """Remember that the disk took something."""
        self.trouble = ""

    def find(self, sha256: str) -> Path | None:
        """Return the file of a blob, or None; one that was damaged is removed."""
        path = self._place(sha256)
        try:
            found = path.stat()
            if not self._is_known(path, sha256, found):
                structlog.get_logger().error("cache-damaged", blob=sha256)
                path.unlink(missing_ok=True)
                return None
        except FileNotFoundError:
            return None
        except OSError as exc:
            structlog.get_logger().error("cache", blob=sha256, cause=exc.strerror or str(exc))
            return None
        if time.time() - found.st_atime > USED_SECONDS:
            with contextlib.suppress(OSError):  # a read-only disk: the use is not noted
                os.utime(path, ns=(time.time_ns(), found.st_mtime_ns))
        return path

    def _is_known(self, path: Path, sha256: str, found: os.stat_result) -> bool:
        """Tell whether a file holds its blob; one this process knows is not read again."""
        identity = (found.st_ino, found.st_size, found.st_mtime_ns)
        if self._checked.get(sha256) == identity:
            return True
        if not _is_whole(path, sha256):
            return False
        self._checked[sha256] = identity
        return True

    def begin(self, sha256: str, length: int) -> "Draft":
        """Make room for a blob and open a file for it; it must be finished or discarded.

        Raises:
            OSError: the disk is full, read-only, or fails.

        """
        path = self._place(sha256)
        path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        self._make_room(length)
        return Draft(path, sha256, self._added_one)

    def _added_one(self, length: int) -> None:
        with self._counting:
            self._held += length
            self._added += length

    def sweep(self) -> None:
        """Remove what killed processes left; what a living one writes is locked.

        Raises:
            OSError: the folder cannot be read.

        """
        for path in self._folder.glob(f"*/{files.TEMPORARY_PREFIX}*"):
            with contextlib.suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(file.fileno()).st_size:  # else it was made a moment ago
                    path.unlink()

    def _place(self, sha256: str) -> Path:
        return self._folder / sha256[:2] / sha256

    def _make_room(self, length: int) -> None:
        with self._counting:
            is_due = self._added > self.max_bytes / LOOK_SHARE
            if not is_due and self._held + length <= self.max_bytes and self._has_room(length):
                return
            alone = files.lock(self._folder / ".lock", what=str(self._folder))
            with contextlib.suppress(LockedError), alone:  # else another process is at it
                self._evict(length)

    def _has_room(self, length: int) -> bool:
        return shutil.disk_usage(self._folder).free >= length + KEEP_FREE_BYTES

    def _evict(self, length: int) -> None:
        """Remove what was unused longest until there is room for ``length`` bytes more."""
        entries = sorted(self._entries(), key=lambda entry: entry.used)
        held = sum(entry.length for entry in entries)
        bound = self.max_bytes - length
        if held > bound:
            bound = min(bound, int(self.max_bytes * FULL_SHARE))
        for entry in entries:
            if held <= bound and self._has_room(length):
                break
            entry.path.unlink(missing_ok=True)
            self._checked.pop(entry.path.name, None)
            held -= entry.length
            self.evicted += 1
        self._held, self._added = held, 0

    def _entries(self) -> Iterator[_Entry]:
        for folder in os.scandir(self._folder):
            if not folder.is_dir(follow_symlinks=False):
                continue
            for file in os.scandir(folder):
                with contextlib.suppress(FileNotFoundError):
                    if not file.name.startswith("."):
                        found = file.stat(follow_symlinks=False)
                        yield _Entry(Path(file.path), found.st_size, found.st_atime)


class Draft:
    """A blob while it comes, in a file that is locked as long as somebody writes it."""

    def __init__(self, path: Path, sha256: str, added: Callable[[int], None]) -> None:
        self._path = path
        self._sha256 = sha256
        self._added = added
        self._hash = hashlib.sha256()
        self._temporary = files.temporary_beside(path)
        self._file = self._temporary.open("xb")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def write(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            OSError: the disk is full or fails.

        """
        self._hash.update(data)
        self._file.write(data)

    def finish(self) -> Path:
        """Put the blob in its place, if it is what its name says.

        Raises:
            DigestError: it is not.
            OSError: the disk is full or fails.

        """
        if self._hash.hexdigest() != self._sha256:
            raise DigestError(f"blob {self._sha256}: not the bytes that were signed")
        self._file.flush()
        files.promote(self._temporary, self._path)
        self._added(self._file.tell())
        return self._path

    def discard(self) -> None:
        """Leave nothing behind but a finished blob."""
        with contextlib.suppress(OSError):  # what could not be written is not wanted any more
            self._file.close()
        self._temporary.unlink(missing_ok=True)


def _is_whole(path: Path, sha256: str) -> bool:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(CHUNK_BYTES):
            found.update(data)
    return found.hexdigest() == sha256
