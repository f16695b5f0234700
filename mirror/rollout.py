"""Which release a track points at, and which releases are kept: decisions, nothing else."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

STABLE = "stable"
CANARY = "canary"


@dataclass(frozen=True, slots=True)
class Entitlement:
    """The last day a licence covers, in its own time zone."""

    ends_on: date
    tz: ZoneInfo

    def covers(self, published: datetime) -> bool:
        """Tell whether a release of this instant is covered."""
        return published.astimezone(self.tz).date() <= self.ends_on


def first_track(channel: str, canary: Iterable[str]) -> str:
    """Name the track a new release of a channel goes to."""
    return CANARY if channel in canary else STABLE


def next_sequence(known: Iterable[int]) -> int:
    """Return the sequence of the next release."""
    return max(known, default=0) + 1


def newest_covered(published: Mapping[int, datetime], entitlement: Entitlement) -> int | None:
    """Choose the newest release that a licence covers; ``published`` is by sequence."""
    covered = [number for number, at in published.items() if entitlement.covers(at)]
    return max(covered, default=None)


def kept(
    published: Mapping[int, datetime],
    pointed: Iterable[int],
    entitlements: Iterable[Entitlement],
    *,
    keep: int,
) -> frozenset[int]:
    """Choose the releases whose manifests stay.

    The newest ``keep``, those that a track points at, and the last one each licence covers.
    """
    newest = sorted(published)[-max(keep, 1) :]
    covered = (newest_covered(published, entitlement) for entitlement in entitlements)
    needed = {*newest, *pointed, *(number for number in covered if number is not None)}
    return frozenset(needed & set(published))
