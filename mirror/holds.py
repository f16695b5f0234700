"""Releases that are held: brought and verified, and not published until an operator says so.

``<folder>/<upstream>/<channel>/hold.json`` is the record; replacing it is the only step that
counts. It names the folder beside it that has the release's files; every other folder there is
what a crash left. Whoever changes a hold is the only pull of its upstream (``PullState.alone``).
"""

import contextlib
import hashlib
import secrets
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from keys import files
from keys.errors import DigestError, StateError
from keys.model.names import check_path
from keys.model.release import (
    File,
)
from mirror.hold import Dropped, HeldFiles, Hold, digest
from mirror.journal import Entry, Journal
from mirror.upstream.base import Candidate

MAX_HOLD_BYTES = 64 << 20
RECORD = "hold.json"


class Holds:
    """The holds of one mirror; every change of them is journalled."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self._folder = folder
        self._journal = journal

    def find(self, upstream: str, channel: str) -> Hold | None:
        """Return what is remembered of a channel: held, or dropped by an operator.

        Raises:
            StateError: the record is unusable.

        """
        path = self._place(upstream, channel) / RECORD
        try:
            with path.open("rb") as file:
                data = file.read(MAX_HOLD_BYTES + 1)
            return msgspec.json.decode(data, type=Hold)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as exc:
            raise StateError(
                f"{path}: {exc}", hint="remove the file: the next pull looks at the release anew"
            ) from exc

    def of(self, upstream: str) -> tuple[Hold, ...]:
        """List what is held of an upstream.

        Raises:
            StateError: a record is unusable.

        """
        places = sorted((self._folder / upstream).glob(f"[a-z0-9]*/{RECORD}"))
        found = (self.find(upstream, path.parent.name) for path in places)
        return tuple(hold for hold in found if hold and not hold.dropped)

    def all(self) -> tuple[Hold, ...]:
        """List what is held.

        Raises:
            StateError: a record is unusable.

        """
        upstreams = sorted(path.name for path in self._folder.glob("[a-z0-9]*"))
        return tuple(hold for name in upstreams for hold in self.of(name))

    def known(self, hold: Hold, candidate: Candidate) -> Hold | None:
        """Return what is remembered of the very same files, under the version they have now.

        Raises:
            StateError: the record is unusable, or the disk refuses.

        """
        before = self.find(hold.upstream, hold.channel)
        if before is None or before.digest != digest(candidate):
            return None
        place = self._place(hold.upstream, hold.channel)
        now = msgspec.structs.replace(before, version=hold.version, shrink=hold.shrink)
        if now != before:
            with _on_disk(place):
                self._write(place, now)
        return now

    def put(self, hold: Hold, candidate: Candidate | None = None, *, who: str) -> Hold:
        """Hold a release in the place of what was held before; its files are linked or copied.

        Raises:
            StateError: the disk refuses.

        """
        place = self._place(hold.upstream, hold.channel)
        with _on_disk(place):
            files.make_folder(self._folder.parent)
            files.make_folders(place, below=self._folder.parent)
            if candidate:
                content = HeldFiles.of(candidate, secrets.token_hex(8))
                _link(candidate, place / content.folder)
                hold = msgspec.structs.replace(hold, content=content, digest=digest(candidate))
            self._journal.write(_entry(hold, "hold", hold.held_at, who, str(hold.shrink)))
            self._write(place, hold)
        return hold

    def drop(self, hold: Hold, dropped: Dropped) -> None:
        """Remember that this release is not wanted; its files go.

        Raises:
            StateError: the disk refuses.

        """
        place = self._place(hold.upstream, hold.channel)
        self._journal.write(_entry(hold, "drop", dropped.at, dropped.who, dropped.why))
        with _on_disk(place):
            self._write(place, msgspec.structs.replace(hold, content=None, dropped=dropped))

    def forget(self, upstream: str, channel: str) -> None:
        """Remember nothing of a channel.

        Raises:
            StateError: the disk refuses.

        """
        place = self._place(upstream, channel)
        if not place.is_dir():
            return
        with _on_disk(place):
            (place / RECORD).unlink(missing_ok=True)
            files.sync_folder(place)
            files.remove_folder(place)
            files.clear_temporary(place.parent)

    def candidate(self, hold: Hold) -> Candidate:
        """Return the release that was held, every file read again and compared.

        Raises:
            DigestError: a file is missing or not what was held.

        """
        assert hold.content is not None  # noqa: S101 - asked only for holds with files
        place = self._place(hold.upstream, hold.channel)
        candidate = hold.content.candidate(place)
        for file in (*candidate.files, *candidate.originals):
            if not _is_whole(candidate.folder / check_path(file.path), file):
                raise DigestError(
                    f"channel {hold.channel}: {file.path} is not the file that was held",
                    hint=f"nothing was published; remove {place / RECORD}: the next pull brings "
                    "the release again",
                )
        return candidate

    def _write(self, place: Path, hold: Hold) -> None:
        """Replace the record, then remove what it does not name."""
        files.write(place / RECORD, msgspec.json.encode(hold))
        kept = hold.content.folder if hold.content else ""
        for path in place.iterdir():
            if path.is_dir() and path.name != kept:
                files.remove_folder(path)
        files.clear_temporary(place)

    def _place(self, upstream: str, channel: str) -> Path:
        return self._folder / upstream / channel


def _entry(hold: Hold, what: str, at: datetime, who: str, why: str) -> Entry:
    return Entry(at, who, what, timestamp=0, channel=hold.channel, release=hold.release, why=why)


def _link(candidate: Candidate, folder: Path) -> None:
    for file in (*candidate.files, *candidate.originals):
        target = folder / check_path(file.path)
        files.make_folders(target.parent, below=folder.parent)
        files.adopt(candidate.folder / file.path, target, mode=0o444)


def _is_whole(path: Path, file: File) -> bool:
    try:
        with path.open("rb") as reader:
            found = hashlib.file_digest(reader, "sha256").hexdigest()
            return (found, reader.tell()) == (file.sha256, file.length)
    except OSError:
        return False


@contextlib.contextmanager
def _on_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise StateError(f"{path}: {exc.strerror or exc}") from exc
