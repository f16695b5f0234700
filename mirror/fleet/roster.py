"""What each host runs, as its newest report tells."""

from dataclasses import dataclass
from datetime import datetime

from keys.model.release import Instant, Wire
from keys.model.report import IgnoredTold, SettingsTold


@dataclass(frozen=True, slots=True)
class Load:
    """The release of a channel that an engine reads."""

    channel: str
    sequence: int
    manifest_sha256: str
    release: str
    published: datetime | None
    assurance: str


_IGNORED = frozenset({"in force", "overdue"})  # standings; all others mean: detected


@dataclass(frozen=True, slots=True)
class EngineRow:
    """One engine; ``trouble`` and ``held`` are empty when there is none."""

    engine: str
    kind: str
    version: str
    track: str
    outcome: str
    proof: str
    proof_at: datetime | None
    detail: str
    generation: int
    installed_at: datetime | None
    trouble: str
    held: str
    quarantined: str  # manifests' sha256, with blanks between
    loads: tuple[Load, ...] = ()
    ignored: tuple[IgnoredTold, ...] = ()

    @property
    def ignores(self) -> int:
        """Count the signatures that are ignored here now."""
        return sum(one.standing in _IGNORED for one in self.ignored)

    def standing(self, channel: str, name: str) -> str:
        """Say how a signature that is to be ignored stands here, "" where it was not told of."""
        found = (one for one in self.ignored if (one.channel, one.name) == (channel, name))
        return next(
            (one.standing if one.found else f"{one.standing}, no such name" for one in found), ""
        )


class Turn(Wire, frozen=True):
    """When a host's engines turned from well to not well, or back."""

    at: Instant
    is_well: bool


@dataclass(frozen=True, slots=True)
class HostRow:
    """One host; ``received`` is this mirror's own time, ``at`` and ``refreshed`` the host's."""

    name: str
    first_seen: datetime
    received: datetime
    at: datetime
    system: str
    sigupdate: str
    exit_code: int
    refreshed: datetime | None
    trouble: str
    detections: int | None
    seats: int | None
    public_key: str
    engines: tuple[EngineRow, ...] = ()
    settings: SettingsTold | None = None
    turns: tuple[Turn, ...] = ()  # the newest last
