"""What each host runs, read from the tables that its newest report filled."""

import dataclasses
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from keys.model.release import decode
from keys.model.report import IgnoredTold, SettingsTold
from mirror.fleet.roster import EngineRow, HostRow, Load, Turn
from mirror.fleet.tables import engines, hosts, loads

_DATABASE = "the fleet's database"


def _columns(table: sa.Table, row: type, *others: str) -> list[sa.Column[object]]:
    """List the columns that fill a row, in the order of its fields, without the others."""
    names = (field.name for field in dataclasses.fields(row))
    return [table.c[name] for name in names if name not in others]


_LOAD = _columns(loads, Load)
_ENGINE = _columns(engines, EngineRow, "loads", "ignored")
_HOST = _columns(hosts, HostRow, "engines", "settings", "turns")


async def read_hosts(connection: AsyncConnection, name: str, *, track: str) -> list[HostRow]:
    """Read every host by name, the one of this name, or those with an engine on a track."""
    by_engine: dict[tuple[str, str], list[Load]] = {}
    asked = sa.select(loads.c.host, loads.c.engine, *_LOAD).order_by(loads.c.channel)
    for host, engine, *rest in await connection.execute(_of(asked, loads.c.host, name, track)):
        by_engine.setdefault((host, engine), []).append(Load(*rest))
    by_host: dict[str, list[EngineRow]] = {}
    listed = sa.select(engines.c.host, engines.c.ignored, *_ENGINE).order_by(engines.c.engine)
    for host, ignored, *rest in await connection.execute(_of(listed, engines.c.host, name, track)):
        own = tuple(by_engine.get((host, rest[0]), ()))
        told = decode(ignored, tuple[IgnoredTold, ...], _DATABASE)
        by_host.setdefault(host, []).append(EngineRow(*(*rest, own, told)))
    known = sa.select(hosts.c.settings, hosts.c.turns, *_HOST).order_by(hosts.c.name)
    found: list[HostRow] = []
    for settings, turns, *rest in await connection.execute(_of(known, hosts.c.name, name, track)):
        run = tuple(by_host.get(rest[0], ()))
        used = decode(settings, SettingsTold, _DATABASE) if settings else None
        turned = decode(turns, tuple[Turn, ...], _DATABASE)
        found.append(HostRow(*(*rest, run, used, turned)))
    return found


def _of(asked: sa.Select[Any], host: sa.Column[str], name: str, track: str) -> sa.Select[Any]:
    """Narrow what is asked to the hosts that are wanted."""
    if name:
        asked = asked.where(host == name)
    if track:
        asked = asked.where(host.in_(sa.select(engines.c.host).where(engines.c.track == track)))
    return asked
