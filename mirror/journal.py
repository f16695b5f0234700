"""The publish log: who published what, when and why; one JSON line each, only ever appended.

A line is written before its timestamp is committed, so nothing is published without one. A line
whose ``timestamp`` never came to the store was never published; ``hold`` and ``drop`` publish
nothing, their timestamp is 0.
"""

import asyncio
from datetime import datetime
from pathlib import Path

from keys import files
from keys.errors import StateError
from keys.model.release import Wire, encode


class Entry(Wire, frozen=True):
    """One line."""

    at: datetime
    who: str
    what: str  # release, point, policy, renew, hold, drop
    timestamp: int
    channel: str = ""
    track: str = ""
    sequence: int = 0
    release: str = ""
    why: str = ""
    roles: tuple[str, ...] = ()


class Journal:
    """The log's file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def append(self, entry: Entry) -> None:
        """Add a line, durable on return.

        Raises:
            StateError: the disk refuses.

        """
        await asyncio.to_thread(self.write, entry)

    def write(self, entry: Entry) -> None:
        """Add a line, as ``append`` does; blocks."""
        try:
            files.make_folder(self._path.parent)
            files.append(self._path, encode(entry))
        except OSError as exc:
            raise StateError(f"{self._path}: {exc.strerror or exc}") from exc
