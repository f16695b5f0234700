"""What is in force of a repository, by when it expires and by what time that was measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from keys.model.instant import utc
from keys.trust.clock import Reference
from keys.trust.tuf_api import Root, Snapshot, Targets, Timestamp


@dataclass(frozen=True, slots=True)
class Refresh:
    """What a refresh came to: ``expires`` is the earliest expiry of the top-level roles."""

    changed: bool
    timestamp_version: int
    expires: datetime
    reference: datetime


@dataclass(frozen=True, slots=True)
class Freshness:
    """What the trusted copy is worth without a mirror: fresh, or stale but authentic."""

    fresh: bool
    reasons: tuple[str, ...]
    timestamp_version: int
    expires: datetime
    reference: datetime


@dataclass(frozen=True, slots=True)
class View:
    """The roles in force for a repository object's life, and the time they were measured by."""

    root: Root
    timestamp: Timestamp
    snapshot: Snapshot
    targets: Targets
    reference: Reference
    offline: bool

    def expiries(self) -> dict[str, datetime]:
        """Tell when each top-level role expires."""
        roles_ = (self.root, self.timestamp, self.snapshot, self.targets)
        return {role.type: role.expires for role in roles_}

    def lists(self, role: str) -> bool:
        """Tell whether the snapshot lists a targets role."""
        return f"{role}.json" in self.snapshot.meta


def expired(expiries: Mapping[str, datetime], reference: Reference) -> tuple[str, ...]:
    """Say which roles have expired, each with the time it was measured by."""
    return tuple(
        f"{role} expired at {utc(at)}; {reference}"
        for role, at in sorted(expiries.items())
        if reference.time >= at
    )
