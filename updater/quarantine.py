"""Releases this host does not install: refused, not signed by their vendor, or gone back from.

An entry names one release, or several that fail only together. One made by an engine holds for
that engine's version alone: a newer engine may take what an older one could not.
"""

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Literal

import msgspec

from keys.model.release import Instant, Sha256, Wire
from updater.state import Release, digests, read, write

STRIKES = 2  # an engine that dies or hangs may have another reason: once is no proof
MAX_ENTRIES = 200
ANY_VERSION = ""
ANY_NAMES = ""


class Cause(Enum):
    """Why a release is in quarantine."""

    vendor = "vendor"  # a database in it is not what its vendor signed
    refused = "refused"  # the engine's loader refused it
    samples = "samples"  # it misses a sample it must detect, or hits one it must pass
    reload = "reload"  # the engine died, hung or did not take it
    operator = "operator"  # `sigupdate rollback`


class Entry(Wire, frozen=True):
    """Releases that must not be installed together."""

    releases: dict[str, Sha256]  # channel to manifest sha256
    cause: Cause
    reason: str
    at: Instant
    engine_version: str = ANY_VERSION
    ignoring: str = ANY_NAMES  # fingerprint of what was ignored: only together with that
    strikes: int = STRIKES

    @property
    def holds(self) -> bool:
        """Whether it was seen often enough to be sure."""
        return self.strikes >= STRIKES

    def blocks(
        self, combination: Mapping[str, str], engine_version: str, ignoring: str = ANY_NAMES
    ) -> bool:
        """Tell whether a combination (channel to manifest sha256) holds what this entry names.

        Without ``ignoring``, one that holds for certain ignored signatures only does not count.
        """
        return (
            self.holds
            and self.ignoring in {ANY_NAMES, ignoring}
            and self.engine_version in {ANY_VERSION, engine_version}
            and self.releases.items() <= combination.items()
        )


class Quarantine(Wire, frozen=True):
    """All entries of one engine, oldest first."""

    format: Literal[1] = 1
    entries: tuple[Entry, ...] = ()

    def blocking(
        self, releases: Mapping[str, Release], engine_version: str, ignoring: str = ANY_NAMES
    ) -> Entry | None:
        """Return the entry that forbids a combination, if there is one; see ``Entry.blocks``."""
        combination = digests(releases)
        blocking = (e for e in self.entries if e.blocks(combination, engine_version, ignoring))
        return next(blocking, None)

    def adding(self, entry: Entry) -> "Quarantine":
        """Add an entry; a second strike against the same releases counts on the first."""
        alike = [kept for kept in self.entries if _alike(kept, entry)]
        strikes = max(entry.strikes, 1 + max((kept.strikes for kept in alike), default=0))
        newest = msgspec.structs.replace(entry, strikes=min(strikes, STRIKES))
        others = tuple(kept for kept in self.entries if kept not in alike)
        return msgspec.structs.replace(self, entries=(*others, newest)[-MAX_ENTRIES:])

    def lifting(self, prefix: str) -> "Quarantine":
        """Drop the entries that name a release whose manifest sha256 begins like this."""
        left = tuple(
            entry
            for entry in self.entries
            if not any(digest.startswith(prefix) for digest in entry.releases.values())
        )
        return msgspec.structs.replace(self, entries=left)


def _alike(one: Entry, other: Entry) -> bool:
    return (one.releases, one.engine_version, one.ignoring) == (
        other.releases,
        other.engine_version,
        other.ignoring,
    )


class QuarantineFile:
    """``quarantine.json`` of one engine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Quarantine:
        """Read the entries.

        Raises:
            StateError: unreadable or damaged.

        """
        return read(self._path, Quarantine, Quarantine())

    def save(self, quarantine: Quarantine) -> None:
        """Make the entries durable."""
        write(self._path, quarantine)
