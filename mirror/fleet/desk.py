"""What hosts report: taken in once, kept in order, told again. A host speaks for itself only.

The newest report of a host, by its own numbering, says what the host runs; older ones that come
late only fill the record.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from keys import files
from keys.credentials import read_secret
from keys.errors import LimitError, SignatureError, StateError
from keys.model.release import Instant
from keys.model.report import HostReport, signed_text
from keys.model.task import Answered
from mirror.fleet.audit import CHAIN_START, check, link
from mirror.fleet.database import Database
from mirror.fleet.listing import read_hosts
from mirror.fleet.newest import printable, replace
from mirror.fleet.pools import MAX_MEMBERS, SEPARATOR, pool_of
from mirror.fleet.roster import HostRow
from mirror.fleet.tables import engines, history, hosts, loads, reports, statements
from mirror.fleet.tasks import hand_out, settle
from mirror.settings import Settings


class _Line(msgspec.Struct):
    at: Instant
    chain: str


@dataclass(frozen=True, slots=True)
class Past:
    """What an engine ran at a time, by its own history, and whose signature that carries."""

    host: str
    engine: str
    line: Mapping[str, object]
    public_key: str


class Desk:
    """The fleet's reports in one database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def take(self, report: HostReport, body: bytes, *, now: datetime) -> Answered:
        """Take a report in; tell whether it was new, and what its host is to do.

        Raises:
            SignatureError: its history is not signed by the key it names.
            LimitError: its pool has ``MAX_MEMBERS`` already.
            StateError: the database refuses; nothing of the report was kept.

        """
        if report.history:
            check(report.public_key, report.signature, signed_text(report))
        async with self.database.changing() as connection:
            await self.database.alone(connection, report.host)
            asked = sa.select(hosts).where(hosts.c.name == report.host)
            known = (await connection.execute(asked)).mappings().first()
            is_new = _is_next(report, known) or not await _is_there(connection, report)
            if is_new:
                await _keep(connection, report, body, known, now)
            tasks = await hand_out(connection, report.host, now=now)
        return Answered(taken=is_new, tasks=tuple(tasks))

    async def hosts(self, name: str = "", *, track: str = "") -> list[HostRow]:
        """Return every host by name, the one of this name, or those on a track."""
        async with self.database.reading() as connection:
            return await read_hosts(connection, name, track=track)

    async def at(self, time: datetime, host: str = "") -> list[Past]:
        """Return what each engine ran at a time, as its host's history tells."""
        newest = (
            sa.select(sa.func.max(history.c.id))
            .where(history.c.at <= time)
            .group_by(history.c.host, history.c.engine)
        )
        asked = (
            sa.select(history, statements.c.public_key)
            .join(statements, statements.c.id == history.c.statement)
            .where(history.c.id.in_(newest))
            .order_by(history.c.host, history.c.engine)
        )
        if host:
            asked = asked.where(history.c.host == host)
        async with self.database.reading() as connection:
            return [
                Past(row.host, row.engine, msgspec.json.decode(row.line), row.public_key)
                for row in await connection.execute(asked)
            ]

    async def forget(self, before: datetime) -> int:
        """Remove reports received before a time, but no known host's newest; return how many."""
        known = reports.c.host.in_(sa.select(hosts.c.name))
        newest = sa.select(sa.func.max(reports.c.id)).where(known).group_by(reports.c.host)
        old = reports.delete().where(reports.c.received < before, reports.c.id.not_in(newest))
        async with self.database.changing() as connection:
            return (await connection.execute(old)).rowcount

    async def forget_members(self, before: datetime) -> int:
        """Forget members of pools that reported last before a time; return how many.

        What they reported goes with its age, their newest report included.
        """
        gone = sa.select(hosts.c.name).where(
            hosts.c.name.contains(SEPARATOR, autoescape=True), hosts.c.received < before
        )
        async with self.database.changing() as connection:
            names = list((await connection.execute(gone)).scalars())
            for name in names:
                await _drop(connection, name)
        return len(names)

    async def remove(self, host: str) -> None:
        """Forget what a host that is no more runs; what it reported stays on record."""
        members = sa.select(hosts.c.name).where(
            hosts.c.name.startswith(host + SEPARATOR, autoescape=True)
        )
        async with self.database.changing() as connection:
            for name in [host, *(await connection.execute(members)).scalars()]:
                await _drop(connection, name)


async def _keep(
    connection: AsyncConnection, report: HostReport, body: bytes, known: sa.RowMapping | None,
    now: datetime,
) -> None:  # fmt: skip
    """Keep a new report, and let the tables say what it says where it is the newest."""
    if known is None:
        await _check_room(connection, report.host)
    link = await _append(
        connection, reports, report.host, now, body.decode(),
        {"series": report.series, "number": report.number},
        last=known["chain"] if known else None,
    )  # fmt: skip
    if report.history:
        await _state(connection, report, now)
    plain = printable(report)
    await settle(connection, report.host, plain.tasks)
    if known is None or _is_newer(report, known):
        await replace(connection, plain, known, link, now)
    else:
        kept = hosts.update().where(hosts.c.name == report.host)
        await connection.execute(kept.values(chain=link))


async def _drop(connection: AsyncConnection, host: str) -> None:
    for column in (loads.c.host, engines.c.host, hosts.c.name):
        await connection.execute(column.table.delete().where(column == host))


async def _check_room(connection: AsyncConnection, host: str) -> None:
    """Refuse one more member of a pool that is full."""
    pool = pool_of(host)
    if not pool:
        return
    members = hosts.c.name.startswith(pool + SEPARATOR, autoescape=True)
    asked = sa.select(sa.func.count()).select_from(hosts).where(members)
    if (await connection.execute(asked)).scalar_one() >= MAX_MEMBERS:
        raise LimitError(f"pool {pool}: more than MAX_MEMBERS={MAX_MEMBERS} report")


async def _is_there(connection: AsyncConnection, report: HostReport) -> bool:
    asked = sa.select(reports.c.id).where(
        reports.c.host == report.host,
        reports.c.series == report.series,
        reports.c.number == report.number,
    )
    return (await connection.execute(asked)).first() is not None


async def _append(
    connection: AsyncConnection, table: sa.Table, host: str, now: datetime, body: str,
    more: Mapping[str, object], *, last: str | None = None,
) -> str:  # fmt: skip
    """Add a row bound to the host's last one, looked up unless it is given; return its link."""
    before = last or await _last_link(connection, table, host)
    chain = link(before, now, body)
    row = {"host": host, "received": now, "body": body, "before": before, "chain": chain, **more}
    await connection.execute(table.insert(), row)
    return chain


async def _last_link(connection: AsyncConnection, table: sa.Table, host: str) -> str:
    last = sa.select(table.c.chain).where(table.c.host == host).order_by(table.c.id.desc())
    return (await connection.execute(last.limit(1))).scalar() or CHAIN_START


async def _state(connection: AsyncConnection, report: HostReport, now: datetime) -> None:
    """Keep what a host signed, whole and line by line; a line that is known is not repeated."""
    link = await _append(
        connection, statements, report.host, now, signed_text(report).decode(),
        {"public_key": report.public_key, "signature": report.signature},
    )  # fmt: skip
    asked = sa.select(statements.c.id).where(statements.c.chain == link)
    statement = (await connection.execute(asked)).scalar_one()
    for engine, line, parsed in _lines(report):
        there = sa.select(history.c.id).where(
            history.c.host == report.host,
            history.c.engine == engine,
            history.c.chain == parsed.chain,
        )
        if (await connection.execute(there)).first() is None:
            row = {"host": report.host, "engine": engine, "at": parsed.at, "line": line}
            row |= {"chain": parsed.chain, "statement": statement}
            await connection.execute(history.insert().values(**row))


def _lines(report: HostReport) -> Iterator[tuple[str, str, _Line]]:
    for tail in report.history:
        for line in tail.lines:
            try:
                yield tail.engine, line, msgspec.json.decode(line, type=_Line)
            except msgspec.DecodeError as exc:
                raise SignatureError(f"engine {tail.engine}: no line of a history: {exc}") from exc


def _is_next(report: HostReport, known: sa.RowMapping | None) -> bool:
    """Tell whether a report follows the newest one, so that it cannot be there already."""
    if known is None:
        return False
    return bool(report.series == known["series"] and report.number > known["number"])


def _is_newer(report: HostReport, known: sa.RowMapping) -> bool:
    """Compare by the host's numbering; another series is a host set up anew."""
    return bool(report.series != known["series"] or report.number > known["number"])


def _prepare(path: Path) -> None:
    """Make an empty file that nobody but its owner reads, for SQLite to fill."""
    try:
        files.make_folder(path.parent)
        files.create(path, b"", mode=0o600)
    except FileExistsError:
        return
    except OSError as exc:
        raise StateError(f"{path}: {exc.strerror or exc}") from exc


async def open_desk(settings: Settings, *, upgrade: bool = True) -> Desk:
    """Open the desk the settings name; the caller closes it. ``upgrade`` as of ``connect``.

    Raises:
        SettingsError: no such kind of database, or the password file.
        StateError: it cannot be reached.

    """
    fleet = settings.fleet
    url = fleet.database or f"sqlite:///{settings.folder}/state/fleet.db"
    file = fleet.database_password_file
    database = Database(url, read_secret(Path(file)) if file else None)
    if not fleet.database:
        _prepare(settings.folder / "state" / "fleet.db")
    await database.connect(upgrade=upgrade)
    return Desk(database)
