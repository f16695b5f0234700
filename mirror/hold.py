"""One release that is held: what is remembered of it."""

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Literal

from keys.model.release import (
    Assurance,
    File,
    Instant,
    Pointer,
    Provenance,
    ShortText,
    Wire,
    encode,
)
from mirror.shrink import Shrink, shrink_of
from mirror.upstream.base import Candidate

FORMAT: Literal[1] = 1


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

    ``version`` is the vendor's own, ``digest`` that of the candidate's file list. A release of a
    repository that passes through lies in the store already: ``pointer`` is where the site's choice
    would point; others have ``content``.
    """

    format: Literal[1]
    upstream: str
    channel: str
    version: str
    release: ShortText
    held_at: Instant
    shrink: Shrink
    digest: str = ""
    pointer: Pointer | None = None
    content: HeldFiles | None = None
    dropped: Dropped | None = None

    def __str__(self) -> str:
        """Say what is held, and why."""
        what = f"release {self.release} of channel {self.channel}"
        if self.dropped:
            return f"{what} was dropped by {self.dropped.who}: {self.dropped.why}"
        return f"{what} {self.shrink}"

    @property
    def outcome(self) -> str:
        """Say in a word what a pull came to that met it."""
        return "dropped" if self.dropped else "held"

    def settles(self, version: str, *, below_percent: int) -> bool:
        """Tell whether it is known what becomes of a vendor's version: no need to bring it."""
        sizes = self.shrink
        still = shrink_of(sizes.before, sizes.after, below_percent=below_percent)
        return self.version == version and bool(self.dropped or still)


def new_hold(
    upstream: str, channel: str, version: str, release: str, shrink: Shrink, now: datetime,
    *, pointer: Pointer | None = None,
) -> Hold:  # fmt: skip
    """Describe a release that is about to be held."""
    at = now.replace(microsecond=0)
    return Hold(FORMAT, upstream, channel, version, release, at, shrink, pointer=pointer)


def digest(candidate: Candidate) -> str:
    """Identify a candidate by its files, whatever the vendor calls their version."""
    files = [
        sorted(ones, key=lambda one: one.path) for ones in (candidate.files, candidate.originals)
    ]
    return hashlib.sha256(encode(files)).hexdigest()
