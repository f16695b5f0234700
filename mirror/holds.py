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
from typing import Literal

import msgspec

from keys import files
from keys.errors import DigestError, StateError
from keys.model.names import check_path
from keys.model.release import Assurance, File, Instant, Pointer, Provenance, ShortText, Wire
from mirror.journal import Entry, Journal
from mirror.shrink import Shrink, shrink_of
from mirror.upstream.base import Candidate

FORMAT: Literal[1] = 1
MAX_HOLD_BYTES = 64 << 20
RECORD = "hold.json"


class HeldFiles(Wire, frozen=True):
    """A candidate, but for the place of its files; ``folder`` is a name beside the record."""

    folder: str
    release: ShortText
    vendor_time: Instant | None
    assurance: Assurance
    provenance: Provenance
    files: tuple[File, ...]
    originals: tuple[File, ...] = ()
    signatures: int | None = None

    @classmethod
    def of(cls, candidate: Candidate, folder: str) -> "HeldFiles":
        """Describe a candidate."""
        return cls(
            folder, candidate.release, candidate.vendor_time, candidate.assurance,
            candidate.provenance, candidate.files, candidate.originals, candidate.signatures,
        )  # fmt: skip

    def candidate(self, parent: Path) -> Candidate:
        """Return the candidate that was held."""
        return Candidate(
            self.release, self.vendor_time, self.assurance, self.provenance,
            parent / self.folder, self.files, self.originals, self.signatures,
        )  # fmt: skip


class Dropped(Wire, frozen=True):
    """An operator does not want the release."""

    at: Instant
    who: str
    why: str


class Hold(Wire, frozen=True):
    """One release that is held, or that was dropped and is not brought again.

    ``version`` is the vendor's own. A release of a repository that passes through lies in the store
    already: ``pointer`` is where the site's choice would point; others have ``content``.
    """

    format: Literal[1]
    upstream: str
    channel: str
    version: str
    release: ShortText
    held_at: Instant
    shrink: Shrink
    pointer: Pointer | None = None
    content: HeldFiles | None = None
    dropped: Dropped | None = None

    def __str__(self) -> str:
        """Say what is held, and why."""
        return f"release {self.release} of channel {self.channel} {self.shrink}"

    def settles(self, version: str, *, below_percent: int) -> bool:
        """Tell whether it is known what becomes of a vendor's version: no need to bring it."""
        sizes = self.shrink
        still = shrink_of(sizes.before, sizes.after, below_percent=below_percent)
        return self.version == version and bool(self.dropped or still)


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
                hold = msgspec.structs.replace(hold, content=content)
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
        candidate = hold.content.candidate(self._place(hold.upstream, hold.channel))
        for file in (*candidate.files, *candidate.originals):
            if not _is_whole(candidate.folder / check_path(file.path), file):
                raise DigestError(
                    f"channel {hold.channel}: {file.path} is not the file that was held",
                    hint="nothing was published; drop the hold, and the next release is pulled",
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


def new_hold(
    upstream: str, channel: str, version: str, release: str, shrink: Shrink, now: datetime,
    *, pointer: Pointer | None = None,
) -> Hold:  # fmt: skip
    """Describe a release that is about to be held."""
    at = now.replace(microsecond=0)
    return Hold(FORMAT, upstream, channel, version, release, at, shrink, pointer)


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
            digest = hashlib.file_digest(reader, "sha256").hexdigest()
            return (digest, reader.tell()) == (file.sha256, file.length)
    except OSError:
        return False


@contextlib.contextmanager
def _on_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise StateError(f"{path}: {exc.strerror or exc}") from exc
