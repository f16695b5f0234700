"""Why a host is on the release it is on (pure): the track, what the host said, what it has seen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from keys.model.instant import utc
from mirror.fleet.roster import EngineRow, HostRow, Load


@dataclass(frozen=True, slots=True)
class Offered:
    """What this mirror offers of one channel: where tracks point, releases by sequence.

    ``held`` says what a mirror's operator holds back, empty for nothing.
    """

    tracks: Mapping[str, int]
    published: Mapping[int, datetime]
    manifests: Mapping[int, str]
    held: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """One engine's answer: what it reads, what it should, and why these differ."""

    engine: str
    track: str
    reads: int | None
    offered: int | None
    reasons: tuple[str, ...] = field(default=())

    @property
    def is_current(self) -> bool:
        """Tell whether it reads what its track offers."""
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
    load, wanted = _load(engine, channel), offered.tracks.get(engine.track)
    reads = load.sequence if load else None
    reasons = [
        *_of_track(engine, offered, wanted),
        *_of_host(host, engine, load, offered, wanted),
        *(one.line for one in engine.ignored if one.channel == channel),
        *_of_silence(host, now, stale),
    ]
    return Explanation(engine.engine, engine.track, reads, wanted, tuple(reasons))


def _load(engine: EngineRow, channel: str) -> Load | None:
    return next((load for load in engine.loads if load.channel == channel), None)


def _of_track(engine: EngineRow, offered: Offered, wanted: int | None) -> Iterator[str]:
    newest = max(offered.published, default=None)
    if wanted is None:
        yield f"track {engine.track} of this channel points at nothing"
    elif newest is not None and wanted < newest:
        yield f"track {engine.track} points at release {wanted}, the newest is {newest}"
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
