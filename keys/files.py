"""Changes on disk that a crash at any line leaves whole: the only place that renames.

Every change is made beside its place, synced, renamed, and the folder synced.
What root makes in somebody's folder is that one's: its commands leave nothing that the service
cannot read or replace. Temporary names start with ``.tmp-``: no engine reads them and
``clear_temporary`` removes them.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from keys.errors import Error, LockedError

TEMPORARY_PREFIX = ".tmp-"
_COPIED_BYTES = 1 << 20  # at once
_LINKS_DO_NOT_WORK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP}


def read(path: Path, *, max_bytes: int, limit: str, error: type[Error]) -> bytes:
    """Read a small file whole; ``limit`` is the name that ``max_bytes`` goes by.

    Raises:
        error: unreadable, or larger.

    """
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as exc:
        raise error(f"{path}: {exc.strerror or exc}") from exc
    if len(data) > max_bytes:
        raise error(f"{path}: larger than {limit}={max_bytes}")
    return data


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_beside(path: Path) -> Path:
    """Name a temporary file in the folder of ``path``."""
    return path.with_name(f"{TEMPORARY_PREFIX}{os.urandom(8).hex()}")


@contextlib.contextmanager
def replacing(path: Path, *, mode: int = 0o644) -> Iterator[BinaryIO]:
    """Open a file that takes the place of ``path`` when the block ends without an error."""
    with _staged(path, mode) as (file, temporary):
        yield file
        _settle(file, mode)
        temporary.rename(path)
        sync_folder(path.parent)


@contextlib.contextmanager
def creating(path: Path, *, mode: int = 0o644) -> Iterator[BinaryIO]:
    """Open a file that appears as ``path`` when the block ends without an error.

    Raises:
        FileExistsError: the name is taken by then; its content is untouched.

    """
    with _staged(path, mode) as (file, temporary):
        yield file
        _settle(file, mode)
        os.link(temporary, path)
        sync_folder(path.parent)


@contextlib.contextmanager
def _staged(path: Path, mode: int) -> Iterator[tuple[BinaryIO, Path]]:
    temporary = temporary_beside(path)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode & 0o600)
    try:
        _give(descriptor, path.parent)
        with os.fdopen(descriptor, "wb") as file:
            yield file, temporary
    finally:
        temporary.unlink(missing_ok=True)


def _give(descriptor: int, folder: Path) -> None:
    """Give what root made to the owner of the folder it lies in."""
    if os.geteuid() == 0 and (owner := folder.stat()).st_uid:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _settle(file: BinaryIO, mode: int) -> None:
    file.flush()
    os.fchmod(file.fileno(), mode)
    os.fsync(file.fileno())


def write(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace a file's content; readers see the old bytes or the new ones."""
    with replacing(path, mode=mode) as file:
        file.write(data)


def create(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file that must not exist yet.

    Raises:
        FileExistsError: the name is taken; its content is untouched.

    """
    with creating(path, mode=mode) as file:
        file.write(data)


def append(path: Path, line: bytes) -> None:
    """Add one line to a file and make it durable; a torn last line is ended first."""
    with os.fdopen(_kept(path, os.O_RDWR | os.O_APPEND, 0o644), "r+b") as file:
        if file.seek(0, os.SEEK_END) and not _ends_with_newline(file):
            line = b"\n" + line
        file.write(line.rstrip(b"\n") + b"\n")
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def _kept(path: Path, flags: int, mode: int) -> int:
    """Open a file that stays; make it where there is none."""
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        return os.open(path, flags)
    _give(descriptor, path.parent)
    return descriptor


def _ends_with_newline(file: BinaryIO) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def point(link: Path, target: str) -> None:
    """Make a symbolic link point elsewhere in one step."""
    temporary = temporary_beside(link)
    temporary.symlink_to(target)
    try:
        temporary.rename(link)
        sync_folder(link.parent)
    finally:
        temporary.unlink(missing_ok=True)


def promote(temporary: Path, path: Path, *, mode: int = 0o444) -> None:
    """Give a finished file beside ``path`` its name: synced, its mode set, in one step."""
    with temporary.open("rb") as file:
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
    temporary.rename(path)
    sync_folder(path.parent)


def move_folder(source: Path, target: Path) -> None:
    """Rename a synced folder to a name that does not exist, on the same file system."""
    source.rename(target)
    sync_folder(target.parent)


def link_or_copy(source: Path, target: Path, *, mode: int = 0o444) -> None:
    """Give a file a second name; where links do not work, copy and sync it."""
    try:
        os.link(source, target)
    except OSError as exc:
        if exc.errno not in _LINKS_DO_NOT_WORK:
            raise
        with source.open("rb") as reader, replacing(target, mode=mode) as writer:
            _copy(reader, writer)


def adopt(source: Path, target: Path, *, mode: int = 0o644) -> None:
    """Give a finished file a second, durable name that must not exist yet; copy if it must.

    Raises:
        FileExistsError: the name is taken; its content is untouched.

    """
    with source.open("rb") as reader:
        os.fchmod(reader.fileno(), mode)
        _give(reader.fileno(), target.parent)
        os.fsync(reader.fileno())
        try:
            os.link(source, target)
        except OSError as exc:
            if exc.errno not in _LINKS_DO_NOT_WORK:
                raise
            with creating(target, mode=mode) as writer:
                _copy(reader, writer)
    sync_folder(target.parent)


def _copy(reader: BinaryIO, writer: BinaryIO) -> None:
    while piece := reader.read(_COPIED_BYTES):
        writer.write(piece)


def make_folders(folder: Path, *, below: Path) -> None:
    """Make a folder and those above it, down from ``below``, each durable."""
    missing = []
    while folder != below and not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        _make_one(path)
        sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        _make_one(path)


def _make_one(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _give(descriptor, folder.parent)
    finally:
        os.close(descriptor)


def remove_folder(folder: Path) -> None:
    """Remove a folder that no one may find half removed: renamed away first."""
    doomed = temporary_beside(folder)
    with contextlib.suppress(FileNotFoundError):
        folder.rename(doomed)
        _remove_tree(doomed)


def clear_temporary(folder: Path) -> None:
    """Remove what an earlier crash left in a folder. Call it only under that folder's lock."""
    for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
        if path.is_dir() and not path.is_symlink():
            _remove_tree(path)
        else:
            path.unlink(missing_ok=True)


def _remove_tree(folder: Path) -> None:
    import shutil  # noqa: PLC0415 - start-up time: it loads three compressors, and is rarely needed

    shutil.rmtree(folder)


@contextlib.contextmanager
def lock(path: Path, *, what: str) -> Iterator[None]:
    """Hold a lock file for the length of the block; the kernel frees it if we die.

    Raises:
        LockedError: another process holds it; the message names ``what``.

    """
    descriptor = _kept(path, os.O_RDWR, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise LockedError(
                f"{what}: another process is at work (lock {path})",
                hint="wait for it to end; the lock frees itself when its process ends",
            ) from exc
        yield
    finally:
        os.close(descriptor)
