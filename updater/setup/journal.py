"""What set-up changed on a host, with the original bytes: written before each change is made."""

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import PurePosixPath

import msgspec

from keys import files
from keys.errors import StateError
from keys.model.release import Wire, encode
from updater.setup.host import AnyEntry, Host, Regular
from updater.setup.layout import JOURNAL, JOURNAL_FOLDER


class Change(Wire, frozen=True, omit_defaults=False):
    """One path: what stood there before us, and what we made of it."""

    path: str
    before: AnyEntry
    after: AnyEntry


class Journal(Wire, frozen=True, omit_defaults=False):
    """All changes in force, oldest first; one per path."""

    format: int = 1
    changes: tuple[Change, ...] = ()

    def of(self, path: str) -> Change | None:
        """Return what was done to a path."""
        return next((change for change in self.changes if change.path == path), None)

    def folders(self) -> tuple[str, ...]:
        """List the folders in which a crash may have left something of ours."""
        return tuple(sorted({str(PurePosixPath(change.path).parent) for change in self.changes}))

    def with_changes(self, changes: tuple[Change, ...]) -> "Journal":
        """Return the journal with these changes in place of earlier ones of the same paths."""
        newer = {change.path: change for change in changes}
        kept = tuple(newer.pop(change.path, change) for change in self.changes)
        return Journal(changes=(*kept, *(c for c in changes if c.path in newer)))


def load(host: Host) -> Journal:
    """Read the journal; an empty one where set-up never ran.

    Raises:
        StateError: malformed, or somebody but its owner could have written it.

    """
    entry = host.read(JOURNAL)
    if not isinstance(entry, Regular):
        return Journal()
    if entry.mode & (stat.S_IWGRP | stat.S_IWOTH) or entry.uid not in {0, os.geteuid()}:
        raise StateError(f"{JOURNAL}: others could have written it; it is not followed")
    try:
        return msgspec.json.decode(entry.data, type=Journal)
    except msgspec.DecodeError as exc:
        raise StateError(f"{JOURNAL}: {exc}") from exc


def save(host: Host, journal: Journal) -> None:
    """Write the journal, or remove it when nothing is left to undo."""
    place = host.at(JOURNAL)
    try:
        if journal.changes:
            files.write(place, encode(journal), mode=0o600)
        else:
            place.unlink(missing_ok=True)
    except OSError as exc:
        raise StateError(f"{JOURNAL}: {exc.strerror}", hint="run the command as root") from exc


@contextlib.contextmanager
def locked(host: Host) -> Iterator[None]:
    """Be the only set-up at work; the journal's folder is there for the length of the block.

    Raises:
        StateError: the folder cannot be made.
        LockedError: another set-up is at work.

    """
    folder = host.at(JOURNAL_FOLDER)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with files.lock(folder / "lock", what="set-up"):
            try:
                yield
            finally:
                if not host.at(JOURNAL).exists():
                    shutil.rmtree(folder)
    except OSError as exc:
        raise StateError(
            f"{JOURNAL_FOLDER}: {exc.strerror}", hint="run the command as root"
        ) from exc
