"""Files that change on disk: noticed by events where those work, by their content everywhere.

What counts is the content, never a time or an inode: overwriting, renaming over, swapping a
symbolic link on the way (as Kubernetes does) and a file system without events all look the same.
"""

import asyncio
import contextlib
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from watchdog.events import (
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from keys.errors import Error

MAX_WATCHED_BYTES = 256 << 20  # of one file; more of it is not looked at
MAX_WATCHED_FILES = 1000  # of one folder
SETTLE_SECONDS = 0.2  # content that changes once more within it is still being written
MAX_SETTLES = 10
_DATABASE_ENDINGS = ("-wal", "-shm", "-journal")  # SQLite's, written at each host's report

_CHANGES: list[type[FileSystemEvent]] = [
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]


@dataclass(frozen=True, slots=True)
class Subject:
    """Files that mean one thing; ``apply`` puts new content in force or raises and keeps the old.

    ``paths`` may name files and folders (whose files count); it is asked anew each time.
    """

    what: str
    paths: Callable[[], Iterable[Path]]
    apply: Callable[[], Awaitable[None]]


Report = Callable[[str, Error | None], Awaitable[None]]
"""Told of each reload: what, and why it was refused if it was."""


class Watcher:
    """Looks at every subject each ``poll_seconds``, and at once when an event comes."""

    def __init__(
        self,
        subjects: Sequence[Subject],
        report: Report,
        *,
        poll_seconds: Callable[[], float],
        events: bool = True,
    ) -> None:
        self._subjects = subjects
        self._report = report
        self._poll_seconds = poll_seconds
        self._events = events
        self._seen: dict[str, bytes] = {}
        self._hints: _Hints | None = None

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch for the length of the block; what is on disk at its start is in force already."""
        for subject in self._subjects:
            self._seen[subject.what] = await _content(subject)
        if self._events:
            self._hints = _Hints(asyncio.get_running_loop())
        task = asyncio.create_task(self._watch(), name="watch")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if self._hints:
                await asyncio.to_thread(self._hints.close)

    async def _watch(self) -> None:
        while True:
            await self._wait()
            for subject in self._subjects:
                try:
                    await self._look(subject)
                except Exception:  # noqa: BLE001 - a mistake of ours must not end the watch
                    structlog.get_logger().exception("reload-failed", what=subject.what)

    async def _wait(self) -> None:
        if self._hints is None:
            await asyncio.sleep(self._poll_seconds())
            return
        paths = {path for subject in self._subjects for path in subject.paths()}
        if not await asyncio.to_thread(self._hints.follow, paths):
            await self._hints.wait(self._poll_seconds())

    async def _look(self, subject: Subject) -> None:
        content = await _content(subject)
        if content == self._seen[subject.what]:
            return
        self._seen[subject.what] = await _settled(subject, content)
        try:
            await subject.apply()
        except Error as exc:
            await self._report(subject.what, exc)
        else:
            await self._report(subject.what, None)


async def _settled(subject: Subject, content: bytes) -> bytes:
    """Wait until the content stays the same for a moment."""
    for _ in range(MAX_SETTLES):
        await asyncio.sleep(SETTLE_SECONDS)
        before, content = content, await _content(subject)
        if before == content:
            break
    return content


async def _content(subject: Subject) -> bytes:
    return await asyncio.to_thread(digest, list(subject.paths()))


def digest(paths: Iterable[Path]) -> bytes:
    """Hash the content of files and of folders' files; what cannot be read counts as that."""
    found = hashlib.sha256()
    for path in paths:
        for file in _files(path):
            found.update(os.fsencode(file) + b"\0" + _digest(file) + b"\0")
    return found.digest()


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    with contextlib.suppress(OSError):
        names = sorted(entry.name for entry in os.scandir(path) if entry.is_file())
        return [path / name for name in names[:MAX_WATCHED_FILES] if not name.startswith(".")]
    return [path]


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.sha256(file.read(MAX_WATCHED_BYTES)).digest()
    except OSError as exc:
        return str(exc.errno).encode()


class _Hints(FileSystemEventHandler):
    """Events of the folders that hold the files; only ever a hint to look earlier."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._changed = asyncio.Event()
        self._turn = threading.Lock()  # a watch that is cancelled leaves `follow` in its thread
        self._ended = False
        self._observer: BaseObserver | None = None
        self._folders: frozenset[Path] = frozenset()

    def follow(self, paths: Iterable[Path]) -> bool:
        """Watch the folders these files lie in, links on the way included.

        Tell whether those are others than before: what changed meanwhile made no event.
        """
        folders = frozenset(folder for path in paths for folder in _folders(path))
        with self._turn:
            if self._ended or folders == self._folders:
                return False
            self._stop()
            self._folders = folders
            self._start()
            return True

    def _start(self) -> None:
        try:
            observer = Observer()
            for folder in self._folders:
                observer.schedule(self, str(folder), event_filter=_CHANGES)
            observer.start()
        except OSError as exc:
            structlog.get_logger().warning("no-events", cause=str(exc), effect="polling only")
        else:
            self._observer = observer

    async def wait(self, seconds: float) -> None:
        """Wait for an event, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        self._changed.clear()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Hand the event to the loop; called in the observer's thread."""
        if os.fsdecode(event.src_path).endswith(_DATABASE_ENDINGS):
            return
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._changed.set)

    def close(self) -> None:
        """Stop watching, for good."""
        with self._turn:
            self._ended = True
            self._stop()

    def _stop(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
            self._observer = None


def _folders(path: Path) -> set[Path]:
    """List the folders whose entries decide what a path leads to."""
    folders = {path.parent, path.resolve().parent}
    if path.is_dir():
        folders |= {path, path.resolve()}
    return {folder for folder in folders if folder.is_dir()}
