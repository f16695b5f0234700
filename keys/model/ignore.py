"""Signatures a site has its hosts ignore for a while: what stops a false positive at once.

All of them stand in one list, the target ``policy/ignore.json`` of the repository ``site``. Each
names one signature of one channel and ends by itself: the time it ends is signed with it.
"""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec

from keys.errors import LimitError, NameRefusedError, UsageError
from keys.model.names import check_channel
from keys.model.release import Instant, ShortText, Wire

IGNORE_TARGET = "policy/ignore.json"
MAX_IGNORED = 500
MAX_IGNORE_BYTES = 1 << 20
MAX_IGNORE_DAYS = 90
MAX_NAME_CHARACTERS = 200
RESERVED = "sigmirror"  # what the names of markers begin with: no list may silence one

_NAME = re.compile(
    rf"[A-Za-z0-9_{{(\[][A-Za-z0-9_.+@/&=!$%^~'{{}}()\[\]-]{{0,{MAX_NAME_CHARACTERS - 1}}}"
)
_YARA_IN_CLAMD = "YARA."
_NOT_CLAMAVS_OWN = ".UNOFFICIAL"


class Ignored(Wire, frozen=True):
    """One signature that is ignored from ``added`` until ``expires``.

    ``channel`` is written as the mirror calls it: ``NAME``, or ``REPOSITORY/NAME``.
    """

    channel: Annotated[str, msgspec.Meta(max_length=200)]
    name: str
    added: Instant
    expires: Instant
    reason: ShortText = ""

    def __post_init__(self) -> None:
        """Refuse what no list may say."""
        try:
            check_channel(self.channel.rpartition("/")[2])
            check_name(self.name)
        except NameRefusedError as exc:
            raise ValueError(str(exc)) from exc
        if not timedelta(0) < self.expires - self.added <= timedelta(days=MAX_IGNORE_DAYS):
            raise ValueError(f"{self.name}: not within {MAX_IGNORE_DAYS=} days of its beginning")

    def is_in_force(self, at: datetime) -> bool:
        """Tell whether it holds at a time."""
        return self.added <= at < self.expires


class IgnoreList(Wire, frozen=True, omit_defaults=False):
    """All that a site has its hosts ignore."""

    format: Literal[1] = 1
    entries: Annotated[tuple[Ignored, ...], msgspec.Meta(max_length=MAX_IGNORED)] = ()

    def adding(self, entry: Ignored) -> "IgnoreList":
        """Add a signature, in the place of what was said of it before; what ended goes.

        Raises:
            LimitError: they would be more than ``MAX_IGNORED``.

        """
        others = (known for known in self._left(entry.added) if not _alike(known, entry))
        entries = tuple(sorted((*others, entry), key=lambda known: (known.channel, known.name)))
        if len(entries) > MAX_IGNORED:
            raise LimitError(f"{entry.name}: more than {MAX_IGNORED=} signatures ignored at once")
        return IgnoreList(entries=entries)

    def removing(self, channel: str, name: str, *, at: datetime) -> "IgnoreList":
        """Take a signature off the list; what ended goes, too.

        Raises:
            UsageError: it is not on the list.

        """
        left = self._left(at)
        entries = tuple(known for known in left if (known.channel, known.name) != (channel, name))
        if len(entries) == len(left):
            raise UsageError(
                f"{name}: is not ignored on channel {channel}", hint="see `sigmirror ignore list`"
            )
        return IgnoreList(entries=entries)

    def in_force(self, at: datetime) -> tuple[Ignored, ...]:
        """List what holds at a time."""
        return tuple(entry for entry in self.entries if entry.is_in_force(at))

    def of(self, channels: Iterable[str]) -> tuple[Ignored, ...]:
        """List what concerns some channels."""
        wanted = frozenset(channels)
        return tuple(entry for entry in self.entries if entry.channel in wanted)

    def _left(self, at: datetime) -> tuple[Ignored, ...]:
        return tuple(entry for entry in self.entries if at < entry.expires)


def _alike(one: Ignored, other: Ignored) -> bool:
    return (one.channel, one.name) == (other.channel, other.name)


def check_name(name: str) -> str:
    """Return a signature's name if a list may hold it.

    Raises:
        NameRefusedError: empty, too long, with characters that would mean something to an engine,
            or one that markers have.

    """
    if not _NAME.fullmatch(name):
        raise NameRefusedError(
            f"signature {name[:MAX_NAME_CHARACTERS]!r}: not the name of one signature",
            hint="give one name as the engine reports it; no wildcards, blanks, colons or hashes",
        )
    if RESERVED in name.casefold():
        raise NameRefusedError(
            f"signature {name!r}: names with {RESERVED!r} are kept for markers",
            hint="markers prove what an engine runs: they are never ignored",
        )
    return name


def bare(name: str) -> str:
    """Reduce a name as clamd reports it to the one that its definition gives."""
    return name.removesuffix(_NOT_CLAMAVS_OWN).removeprefix(_YARA_IN_CLAMD)
