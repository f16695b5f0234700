"""Why a host is on the release it is on (pure): the track, what the host said, what it has seen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from keys.model.instant import utc
from mirror.fleet.pools import pool_of
from mirror.fleet.roster import EngineRow, HostRow, Load


@dataclass(frozen=True, slots=True)
class Offered:
    """What this mirror offers of one channel: where tracks point, releases by sequence.

    ``held`` says which release this mirror holds back, ``stays`` why an operator lets no track
    move; both are empty for nothing. ``pins`` are the releases of hosts that have their own.
    """

    tracks: Mapping[str, int]
    published: Mapping[int, datetime]
    manifests: Mapping[int, str]
    held: str = ""
    stays: str = ""
    pins: Mapping[str, int] = field(default_factory=dict)
    withdrawn: Sequence[int] = ()

    def newest(self) -> int | None:
        """Return the newest release that was not taken back."""
        return max((n for n in self.published if n not in self.withdrawn), default=None)


@dataclass(frozen=True, slots=True)
class Explanation:
    """One engine's answer: what it reads, what it should, and why these differ.

    It should read what its track offers, unless it ``is_pinned`` to a release of its own.
    """

    engine: str
    track: str
    reads: int | None
    offered: int | None
    reasons: tuple[str, ...] = field(default=())
    is_pinned: bool = False

    @property
    def is_current(self) -> bool:
        """Tell whether it reads what it should."""
        return self.reads == self.offered


def explain(
    host: HostRow, channel: str, offered: Offered, *, now: datetime, stale: timedelta
) -> list[Explanation]:
    """Explain each engine of a host that reads a channel, or might."""
    engines = [e for e in host.engines if _load(e, channel)] or list(host.engines)
    return [_engine(host, engine, channel, offered, now, stale) for engine in engines]


def _engine(
    host: HostRow, engine: EngineRow, channel: str, offered: Offered, now: datetime,
    stale: timedelta,
) -> Explanation:  # fmt: skip
    pinned = offered.pins.get(pool_of(host.name) or host.name)
    load, wanted = _load(engine, channel), pinned or offered.tracks.get(engine.track)
    reads = load.sequence if load else None
    reasons = [
        *(_of_track(engine, offered, wanted) if pinned is None else ()),
        *_of_host(host, engine, load, offered, wanted),
        *(one.line for one in engine.ignored if one.channel == channel),
        *_of_silence(host, now, stale),
    ]
    told = tuple(reasons)
    return Explanation(engine.engine, engine.track, reads, wanted, told, pinned is not None)


def _load(engine: EngineRow, channel: str) -> Load | None:
    return next((load for load in engine.loads if load.channel == channel), None)


def _of_track(engine: EngineRow, offered: Offered, wanted: int | None) -> Iterator[str]:
    newest = offered.newest()
    if wanted is None:
        yield f"track {engine.track} of this channel points at nothing"
    elif newest is not None and wanted < newest:
        yield f"track {engine.track} points at release {wanted}, the newest is {newest}"
    taken = ", ".join(str(number) for number in offered.withdrawn if number > (wanted or 0))
    if taken:
        yield f"withdrawn on this mirror: {taken}"
    if offered.stays:
        yield f"no track of this channel moves: {offered.stays}"
    if offered.held:
        yield f"held on this mirror: {offered.held}"


def _of_host(
    host: HostRow, engine: EngineRow, load: Load | None, offered: Offered, wanted: int | None
) -> Sequence[str]:
    if wanted is None or (load and load.sequence == wanted):
        return [engine.held] if engine.held else []
    if load is None:
        return [f"engine {engine.engine} reads no release of this channel", *_said(engine)]
    found = list(_said(engine))
    if offered.manifests.get(wanted) in engine.quarantined.split():
        found.insert(0, f"engine {engine.engine} has release {wanted} in quarantine")
    published = offered.published.get(wanted)
    if published and (host.refreshed is None or host.refreshed < published):
        seen = utc(host.refreshed) if host.refreshed else "never"
        found.append(f"the host looked last {seen}, before release {wanted} was published")
    return found or [f"the host has not acted on release {wanted} yet"]


def _said(engine: EngineRow) -> Iterator[str]:
    if engine.held:
        yield engine.held
    if engine.trouble:
        yield f"its last run said: {engine.trouble}"
    if engine.proof not in {"proven", "probed"}:
        yield f"engine {engine.engine} is {engine.proof or 'unproven'}: {engine.detail}"


def _of_silence(host: HostRow, now: datetime, stale: timedelta) -> Iterator[str]:
    if now - host.received > stale:
        yield f"silent since {utc(host.received)}"
