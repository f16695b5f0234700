"""Word from the file system that something in a folder changed, where it gives any."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver


class Watcher:
    """Calls ``changed`` when a name in ``folder`` changes; whoever needs more looks for himself.

    The folder may come later, and a file system without inotify is never heard of.
    """

    def __init__(self, folder: Path, changed: Callable[[], None]) -> None:
        self._folder = folder
        self._changed = changed
        self._observer: BaseObserver | None = None

    def ensure(self) -> None:
        """Begin to watch, if that is possible and not done."""
        if self._observer is not None or not self._folder.is_dir():
            return
        from watchdog.events import (  # noqa: PLC0415 - start-up time
            DirCreatedEvent,
            DirMovedEvent,
            FileCreatedEvent,
            FileMovedEvent,
            FileSystemEvent,
            FileSystemEventHandler,
        )
        from watchdog.observers import Observer  # noqa: PLC0415

        changed = self._changed

        class Handler(FileSystemEventHandler):
            def on_any_event(self, event: FileSystemEvent) -> None:  # noqa: ARG002
                changed()

        observer = Observer()
        names = [DirCreatedEvent, DirMovedEvent, FileCreatedEvent, FileMovedEvent]
        try:
            observer.schedule(Handler(), str(self._folder), event_filter=names)
            observer.start()
        except OSError:
            return  # no inotify here, or no watch left: looking has to do
        self._observer = observer

    def stop(self) -> None:
        """Stop watching."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
            self._observer = None
