"""What a host's newest report says, written down for everybody who asks what the host runs."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from keys.model.release import Pin, decode, encode
from keys.model.report import EngineTold, HostReport, TroubleTold
from mirror.fleet.health import is_fine
from mirror.fleet.roster import Turn
from mirror.fleet.tables import engines, hosts, loads

MAX_TURNS = 20  # remembered of each host
_AGAIN = hosts.update().where(hosts.c.name == sa.bindparam("reporter"))
_INSTEAD = "\N{REPLACEMENT CHARACTER}"


def printable(report: HostReport) -> HostReport:
    """Return a report without its history in which nothing ends a line or moves a cursor.

    What a host writes of itself is read on operators' terminals and in their mail.
    """
    plain = msgspec.to_builtins(msgspec.structs.replace(report, history=()))
    return msgspec.convert(_printable(plain), HostReport)


def _printable(value: object) -> object:
    if isinstance(value, str):
        if value.isprintable():
            return value
        return "".join(one if one.isprintable() else _INSTEAD for one in value)
    if isinstance(value, dict):
        return {_printable(key): _printable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(one) for one in value]
    return value


async def replace(
    connection: AsyncConnection, report: HostReport, known: sa.RowMapping | None, link: str,
    now: datetime,
) -> None:  # fmt: skip
    """Let the tables say what this report says."""
    values = {
        "received": now,
        "at": report.at,
        "series": report.series,
        "number": report.number,
        "system": report.system,
        "sigupdate": report.sigupdate,
        "exit_code": report.exit_code,
        "refreshed": min(report.refreshed.values(), default=None),
        "trouble": _first(report.troubles),
        "detections": report.detections,
        "seats": report.seats,
        "settings": encode(report.settings).decode() if report.settings else None,
        "public_key": report.public_key or (known["public_key"] if known else ""),
        "told": Pin.of(encode(report.engines)).sha256,
        "chain": link,
        "turns": _turns(known["turns"] if known else "[]", report, now),
    }
    if known is None:
        await connection.execute(hosts.insert(), {"name": report.host, "first_seen": now, **values})
    else:
        await connection.execute(_AGAIN, {"reporter": report.host, **values})
    if known is None or known["told"] != values["told"]:
        await _replace_engines(connection, report)


def _turns(before: str, report: HostReport, now: datetime) -> str:
    """Remember when the host's engines turned from well to not well, or back."""
    turns = decode(before.encode(), tuple[Turn, ...], "the fleet's database")
    is_well = all(is_fine(engine.outcome, engine.proof) for engine in report.engines)
    if not turns or turns[-1].is_well is not is_well:
        turns = (*turns, Turn(at=now, is_well=is_well))[-MAX_TURNS:]
    return encode(turns).decode()


async def _replace_engines(connection: AsyncConnection, report: HostReport) -> None:
    """Write each engine down once: of two of one name the last."""
    told = {engine.engine: engine for engine in report.engines}
    for column in (loads.c.host, engines.c.host):
        await connection.execute(column.table.delete().where(column == report.host))
    if report.engines:
        rows = [_engine(report.host, engine) for engine in told.values()]
        await connection.execute(engines.insert(), rows)
    if loaded := [row for engine in told.values() for row in _loads(report.host, engine)]:
        await connection.execute(loads.insert(), loaded)


def _engine(host: str, engine: EngineTold) -> dict[str, object]:
    told = {name: getattr(engine, name) for name in _TOLD}
    own = {
        "trouble": _first(engine.troubles),
        "held": "; ".join(engine.held),
        "quarantined": " ".join(engine.quarantined),
        "ignored": encode(engine.ignored).decode(),
    }
    return {"host": host, **told, **own}


_TOLD = (
    "engine", "kind", "version", "track", "outcome", "proof", "proof_at", "detail", "generation",
    "installed_at",
)  # fmt: skip


def _loads(host: str, engine: EngineTold) -> Iterator[dict[str, object]]:
    for channel, release in engine.channels.items():
        told = msgspec.structs.asdict(release)
        yield {"host": host, "engine": engine.engine, "channel": channel, **told}


def _first(troubles: Sequence[TroubleTold]) -> str:
    return troubles[0].message if troubles else ""
