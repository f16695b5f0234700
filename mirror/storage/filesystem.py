"""A store on a file system: each object a file, made whole by ``keys.files``.

Nothing below the store's folder may be a symbolic link: an object can never lie elsewhere.
"""

import asyncio
import contextlib
import errno
import os
import stat
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

from keys import files
from keys.errors import ConflictError, LimitError, MissingError, NameRefusedError, StoreError
from mirror.storage import names
from mirror.storage.base import CHUNK_BYTES, Stat

LOCK_FOLDER = ".locks"
_ABSENT = {errno.ENOENT, errno.ENOTDIR}
_HINTS = {
    errno.ENOSPC: "the disk is full: free some space, then run the command again",
    errno.EDQUOT: "the disk quota is used up: free some space, then run the command again",
    errno.EROFS: "the file system is mounted read-only",
    errno.EACCES: "the store's folder must belong to the user the mirror runs as",
}


class FilesystemStore:
    """Objects as files below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def stat(self, name: str) -> Stat | None:
        """Tell an object's length and version, or None when it is not there."""
        return await asyncio.to_thread(self._stat, name)

    async def read(self, name: str, *, max_bytes: int) -> bytes:
        """Return an object's bytes."""
        return await asyncio.to_thread(self._read, name, max_bytes)

    async def local_path(self, name: str) -> Path | None:
        """Return the object's file."""
        return await asyncio.to_thread(self._existing, name)

    async def chunks(self, name: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Stream the bytes from ``start`` to before ``stop``, all from one version."""
        descriptor = await asyncio.to_thread(self._open, name)
        try:
            while start < stop:
                wanted = min(CHUNK_BYTES, stop - start)
                data = await asyncio.to_thread(os.pread, descriptor, wanted, start)
                if not data:
                    return
                start += len(data)
                yield data
        finally:
            os.close(descriptor)

    async def create(self, name: str, content: bytes | Path) -> None:
        """Add an object; a file on the same file system is linked, another one copied."""
        await asyncio.to_thread(self._create, name, content)

    async def replace(self, name: str, data: bytes) -> None:
        """Set an object's bytes by a rename."""
        await asyncio.to_thread(self._replace, name, data)

    async def delete(self, name: str) -> None:
        """Remove an object's file; folders stay."""
        await asyncio.to_thread(self._delete, name)

    async def names(self, prefix: str) -> AsyncIterator[str]:
        """List the names below a folder."""
        for name in await asyncio.to_thread(self._names, prefix):
            yield name

    async def sweep(self, prefix: str) -> None:
        """Remove temporary files."""
        await asyncio.to_thread(self._sweep, prefix)

    @contextlib.asynccontextmanager
    async def writing(self, repository: str) -> AsyncIterator[None]:
        """Be the only writer, in this process and in every other one on this machine."""
        path = self._folder / LOCK_FOLDER / f"{names.check(repository)}.lock"
        what = f"repository {repository}"
        with contextlib.ExitStack() as held:
            with _translated(what):
                files.make_folder(path.parent)
                held.enter_context(files.lock(path, what=what))
            yield

    def _stat(self, name: str) -> Stat | None:
        try:
            found = self._existing(name).stat()
        except MissingError:
            return None
        version = f"{found.st_mtime_ns:x}-{found.st_ino:x}-{found.st_size:x}"
        return Stat(found.st_size, version, datetime.fromtimestamp(found.st_mtime, UTC))

    def _read(self, name: str, max_bytes: int) -> bytes:
        with os.fdopen(self._open(name), "rb") as file, _translated(name):
            data = file.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise LimitError(f"{name}: more than max_bytes={max_bytes}")
        return data

    def _open(self, name: str) -> int:
        with _translated(name):
            return os.open(self._existing(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def _create(self, name: str, content: bytes | Path) -> None:
        path = self._prepared(name)
        with _translated(name):
            if isinstance(content, Path):
                files.adopt(content, path)
            else:
                files.create(path, content)

    def _replace(self, name: str, data: bytes) -> None:
        path = self._prepared(name)
        with _translated(name):
            files.write(path, data)

    def _delete(self, name: str) -> None:
        with _translated(name), contextlib.suppress(MissingError):
            self._existing(name).unlink(missing_ok=True)

    def _names(self, prefix: str) -> list[str]:
        with _translated(prefix):
            top = self._confined(prefix.rstrip("/"))
            return [path.relative_to(self._folder).as_posix() for path in _walk(top)]

    def _sweep(self, prefix: str) -> None:
        with _translated(prefix):
            for folder, _, _ in os.walk(self._confined(prefix.rstrip("/"))):
                files.clear_temporary(Path(folder))

    def _prepared(self, name: str) -> Path:
        """Make the folders above an object."""
        path = self._confined(name)
        with _translated(name):
            files.make_folder(self._folder)
            files.make_folders(path.parent, below=self._folder)
        return path

    def _existing(self, name: str) -> Path:
        path = self._confined(name)
        with _translated(name):
            if not stat.S_ISREG(path.lstat().st_mode):
                raise MissingError(f"{name}: not in the store")
        return path

    def _confined(self, name: str) -> Path:
        """Tell where an object lies; nothing on the way there is a symbolic link."""
        path = self._folder
        with _translated(name):
            for segment in names.check(name).split("/"):
                path /= segment
                if path.is_symlink():
                    raise NameRefusedError(f"object {name}: {path} is a symbolic link")
        return path


def _walk(folder: Path) -> Iterator[Path]:
    """List the regular files below a folder, hidden and temporary ones left out."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        elif entry.is_file(follow_symlinks=False):
            yield Path(entry.path)


@contextlib.contextmanager
def _translated(name: str) -> Iterator[None]:
    """Turn the operating system's errors into a store's."""
    try:
        yield
    except FileExistsError as exc:
        raise ConflictError(f"{name}: exists already") from exc
    except OSError as exc:
        if exc.errno in _ABSENT:
            raise MissingError(f"{name}: not in the store") from exc
        hint = _HINTS.get(exc.errno or 0, "")
        raise StoreError(f"{name}: {exc.strerror or exc}", hint=hint) from exc
