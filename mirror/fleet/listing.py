"""What each host runs, read from the tables that its newest report filled."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from keys.model.release import decode
from keys.model.report import IgnoredTold, SettingsTold
from mirror.fleet.roster import EngineRow, HostRow, Load, Turn
from mirror.fleet.tables import engines, hosts, loads


async def read_hosts(connection: AsyncConnection, name: str) -> list[HostRow]:
    """Read every host by name, or the one of this name."""
    by_engine: dict[tuple[str, str], list[Load]] = {}
    for row in await connection.execute(_chosen(loads, "host", name).order_by("channel")):
        plain = _without(row._mapping, "host", "engine")  # noqa: SLF001 - SQLAlchemy's public name
        by_engine.setdefault((row.host, row.engine), []).append(Load(**plain))
    by_host: dict[str, list[EngineRow]] = {}
    for row in await connection.execute(_chosen(engines, "host", name).order_by("engine")):
        plain = _without(row._mapping, "host")  # noqa: SLF001 - as above
        plain["ignored"] = decode(plain["ignored"], tuple[IgnoredTold, ...], "the fleet's database")
        found = by_engine.get((row.host, row.engine), ())
        by_host.setdefault(row.host, []).append(EngineRow(**plain, loads=tuple(found)))
    return [
        _host(row._mapping, by_host.get(row.name, ()))  # noqa: SLF001 - as above
        for row in await connection.execute(_chosen(hosts, "name", name).order_by("name"))
    ]


def _host(row: sa.RowMapping, found: Iterable[EngineRow]) -> HostRow:
    plain = _without(row, "series", "number", "told", "chain")
    if plain["settings"] is not None:
        plain["settings"] = decode(plain["settings"], SettingsTold, "the fleet's database")
    plain["turns"] = decode(plain["turns"], tuple[Turn, ...], "the fleet's database")
    return HostRow(**plain, engines=tuple(found))


def _chosen(table: sa.Table, column: str, name: str) -> sa.Select[tuple[object, ...]]:
    asked = sa.select(table)
    return asked.where(table.c[column] == name) if name else asked


def _without(row: sa.RowMapping, *names: str) -> dict[str, Any]:
    return {str(key): value for key, value in row.items() if key not in names}
