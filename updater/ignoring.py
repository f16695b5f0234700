"""What an engine ignores by the order of its site (pure): names by channel, and how each stands.

The site's list is signed and each entry ends by itself; whether it is followed at all is for this
host's settings to say.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum

import msgspec

from keys.model.ignore import Ignored
from keys.model.report import IgnoredTold
from updater.channels import ChannelName

Names = Mapping[str, Sequence[str]]
"""Names of signatures by channel, as the settings write it."""

NOTHING = "nothing"  # the fingerprint of no name at all


class Standing(Enum):
    """How one signature of the site's list stands on this host."""

    in_force = "in force"
    waiting = "waiting"  # for a run that gets it into a generation, or for its beginning
    not_allowed = "not allowed"  # by this host's settings
    not_possible = "not possible"  # this kind of engine cannot ignore
    held = "held"  # in quarantine
    overdue = "overdue"  # ended or taken back, and still ignored


class Conditions(msgspec.Struct, frozen=True):
    """Under which conditions an engine follows the list: its host's settings, its kind."""

    allowed: bool
    possible: bool
    held: bool = False

    @property
    def obstacle(self) -> Standing | None:
        """What keeps every name out, if anything does."""
        if not self.possible:
            return Standing.not_possible
        if not self.allowed:
            return Standing.not_allowed
        return Standing.held if self.held else None


def wanted(
    entries: Iterable[Ignored], channels: Mapping[str, ChannelName], *, at: datetime
) -> dict[str, tuple[str, ...]]:
    """Name what an engine that reads these channels is to ignore at a time."""
    found: dict[str, tuple[str, ...]] = {}
    in_force = [entry for entry in entries if entry.is_in_force(at)]
    for written, channel in channels.items():
        names = {entry.name for entry in in_force if entry.channel == channel.full}
        if names:
            found[written] = tuple(sorted(names))
    return found


def fingerprint(names: Names) -> str:
    """Reduce what is ignored to one value; ``NOTHING`` for nothing."""
    listed = msgspec.json.encode({c: list(n) for c, n in names.items()}, order="deterministic")
    return hashlib.sha256(listed).hexdigest() if names else NOTHING


def grew(names: Names, before: Names) -> bool:
    """Tell whether more is ignored than before."""
    return not set(_pairs(names)) <= set(_pairs(before))


def common(names: Names, others: Names) -> dict[str, tuple[str, ...]]:
    """Keep of some names those that are among the others, too."""
    kept = set(_pairs(others))
    found = {c: tuple(n for n in given if (c, n) in kept) for c, given in names.items()}
    return {channel: given for channel, given in found.items() if given}


def words(names: Names) -> str:
    """Write names for a message."""
    return ", ".join(name for _, name in _pairs(names)) or "nothing"


def standings(
    entries: Iterable[Ignored], channels: Mapping[str, ChannelName], ignored: Names,
    idle: Iterable[str], conditions: Conditions, *, at: datetime,
) -> tuple[IgnoredTold, ...]:  # fmt: skip
    """Say how everything stands that the list names now, or the generation in force ignores."""
    full = {written: channel.full for written, channel in channels.items()}
    done = {(full.get(channel, channel), name) for channel, name in _pairs(ignored)}
    known = {(entry.channel, entry.name): entry for entry in entries if at < entry.expires}
    missing = frozenset(idle)
    return tuple(
        IgnoredTold(
            channel=channel,
            name=name,
            standing=_standing((channel, name), known, done, conditions).value,
            expires=known[channel, name].expires if (channel, name) in known else None,
            found=name not in missing,
        )
        for channel, name in sorted(known.keys() | done)
    )


def _standing(
    key: tuple[str, str], known: Mapping[tuple[str, str], Ignored], done: set[tuple[str, str]],
    conditions: Conditions,
) -> Standing:  # fmt: skip
    if key in done:
        return Standing.in_force if key in known and conditions.allowed else Standing.overdue
    return conditions.obstacle or Standing.waiting


def _pairs(names: Names) -> Iterator[tuple[str, str]]:
    for channel, listed in names.items():
        for name in listed:
            yield channel, name
