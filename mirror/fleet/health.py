"""What is to be said of a host: fine, or what is wrong with it (pure)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from keys.model.report import SettingsTold
from mirror.fleet.pools import pool_of
from mirror.fleet.roster import EngineRow, HostRow, Load

HOLDS = frozenset({"proven", "probed"})
TAKEN_BACK = frozenset({"undone", "refused"})
A_DAY = timedelta(days=1)
FLAPS = 6  # turns between well and not well in a day, from which on a host is not taken for well
AHEAD = timedelta(minutes=5)  # clocks differ by less


class Health(Enum):
    """One word for an engine of a host; every one but ``ok`` wants somebody to look."""

    ok = "ok"
    silent = "silent"  # no report for too long
    stale = "stale"  # reports, but has not seen fresh metadata for too long
    rolled_back = "rolled back"  # the engine refused the newest release
    unproven = "unproven"  # nothing shows that the engine runs what is installed
    flapping = "flapping"  # well now, and often not well in the last day


@dataclass(frozen=True, slots=True)
class Line:
    """One engine of one host, fit for a table; ``engine`` is None for a host that has none.

    ``pool`` is the one that the host is a member of, mostly empty; ``settings`` is what it told of
    the site's settings.
    """

    host: str
    health: Health
    engine: EngineRow | None
    loads: tuple[Load, ...]
    received: datetime | None
    trouble: str
    pool: str = ""
    settings: SettingsTold | None = None


def is_fine(outcome: str, proof: str) -> bool:
    """Tell whether an engine runs what is installed, and took what it was offered last."""
    return outcome not in TAKEN_BACK and proof in HOLDS


def lines(
    rows: Iterable[HostRow], admitted: Iterable[str], *, now: datetime, stale: timedelta,
    channel: str = "",
) -> list[Line]:  # fmt: skip
    """Judge every host, also those that were admitted and never reported.

    With ``channel`` only engines that read it are listed, and silent hosts. A member of a pool
    that is silent is gone: nothing is said of it.
    """
    known = {row.name: row for row in rows if not _is_gone(row, now, stale)}
    found: list[Line] = []
    for name in sorted({*known, *admitted}):
        row = known.get(name)
        if row is None:
            found.append(Line(name, Health.silent, None, (), None, "never reported"))
            continue
        found += _host(row, now, stale, channel)
    return found


def _is_gone(row: HostRow, now: datetime, stale: timedelta) -> bool:
    return bool(pool_of(row.name)) and now - row.received > stale


def _host(row: HostRow, now: datetime, stale: timedelta, channel: str) -> Iterable[Line]:
    listed = [engine for engine in row.engines if not channel or _reads(engine, channel)]
    if not listed and not row.engines:
        yield _line(row, _of_host(row, now, stale), None, (), _trouble(row, now))
    for engine in listed:
        loads = tuple(load for load in engine.loads if not channel or load.channel == channel)
        trouble = engine.trouble or engine.held or _trouble(row, now)
        yield _line(row, _of(row, engine, now, stale), engine, loads, trouble)


def _line(
    row: HostRow, health: Health, engine: EngineRow | None, loads: tuple[Load, ...], trouble: str
) -> Line:
    pool = pool_of(row.name)
    return Line(row.name, health, engine, loads, row.received, trouble, pool, row.settings)


def _reads(engine: EngineRow, channel: str) -> bool:
    return any(channel == load.channel for load in engine.loads)


def _of(row: HostRow, engine: EngineRow, now: datetime, stale: timedelta) -> Health:
    found = _of_host(row, now, stale)
    if found is Health.silent:
        return found
    if engine.outcome in TAKEN_BACK:
        return Health.rolled_back
    if engine.proof not in HOLDS:
        return Health.unproven
    return Health.flapping if found is Health.ok and _turns(row, now) >= FLAPS else found


def _of_host(row: HostRow, now: datetime, stale: timedelta) -> Health:
    if now - row.received > stale:
        return Health.silent
    if row.refreshed is None or row.at - row.refreshed > stale:
        return Health.stale
    if row.refreshed - row.at > AHEAD:  # by a clock that was wrong: nobody knows when
        return Health.stale
    return Health.ok


def _turns(row: HostRow, now: datetime) -> int:
    """Count how often a host turned from well to not well or back in the last day."""
    return sum(now - turn.at <= A_DAY for turn in row.turns)


def _trouble(row: HostRow, now: datetime) -> str:
    """Say what is wrong with a host as a whole, its clock included."""
    told = [row.trouble] if row.trouble else []
    if row.at - row.received > AHEAD:
        told.append(f"its clock is ahead of this mirror's by {_span(row.at - row.received)}")
    if (turns := _turns(row, now)) >= FLAPS:
        told.append(f"turned between well and not well {turns} times in a day")
    return "; ".join(told)


def _span(time: timedelta) -> str:
    hours, seconds = divmod(int(time.total_seconds()), 3600)
    return f"{hours} h" if hours else f"{seconds // 60} min"


def totals(found: Sequence[Line]) -> dict[str, int]:
    """Count hosts by the worst that is said of any of their engines."""
    order = list(Health)
    worst: dict[str, Health] = {}
    for line in found:
        known = worst.get(line.host, Health.ok)
        if known is Health.ok or (line.health is not Health.ok and _before(line, known, order)):
            worst[line.host] = line.health
    counted = Counter(health.value for health in worst.values())
    return {"hosts": len(worst), **{health.value: counted[health.value] for health in order}}


def _before(line: Line, known: Health, order: Sequence[Health]) -> bool:
    return order.index(line.health) < order.index(known)
