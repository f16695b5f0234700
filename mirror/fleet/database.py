"""Where the fleet's reports lie: a SQLite file by default, PostgreSQL by its address."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from keys import files
from keys.credentials import Secret, redact_url
from keys.errors import SettingsError, StateError

HEAD = "0005"  # the newest of the migrations
MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_SECONDS = 30.0
_Identity: TypeAlias = tuple[int, int]  # of a file: its device and its number there
_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
}


class Database:
    """One database; opened by ``connect``, its tables brought up to date then."""

    def __init__(self, url: str, password: Secret | None = None) -> None:
        """Prepare; nothing is opened yet.

        Raises:
            SettingsError: the address is of no database this knows.

        """
        self.shown = redact_url(url)
        try:
            parsed = make_url(url)
        except ArgumentError as exc:
            raise SettingsError(f"fleet.database: {self.shown}: not an address") from exc
        driver = _DRIVERS.get(parsed.drivername)
        if driver is None:
            raise SettingsError(
                f"fleet.database: {self.shown}: unknown kind of database",
                hint="use sqlite:////folder/fleet.db or postgresql://user@host/name",
            )
        if parsed.password:
            raise SettingsError(
                f"fleet.database: {self.shown}: holds a password",
                hint="name a file with fleet.database_password_file instead",
            )
        self._url = parsed.set(drivername=driver)
        if password is not None:
            self._url = self._url.set(password=password.reveal())
        self._engine: AsyncEngine | None = None
        self._upgrades = True
        self._opened: _Identity | None = None
        self._opening = asyncio.Lock()

    async def connect(self, *, upgrade: bool = True) -> None:
        """Open it and bring its tables up to date, which only one thread of a process may do.

        A SQLite file that is removed or replaced later is opened anew, in the same way.

        Raises:
            StateError: it cannot be reached, or holds tables of a newer version.

        """
        with _translated(self.shown):
            self._check_file()
            engine = create_async_engine(self._url, **self._options())
            if self._url.drivername.startswith("sqlite"):
                sa.event.listen(engine.sync_engine, "connect", _prepare_sqlite)
                sa.event.listen(engine.sync_engine, "begin", _begin_sqlite)
            try:
                if upgrade:
                    await _bring_up_to_date(engine)
            except BaseException:
                await engine.dispose()
                raise
            self._engine, self._upgrades, self._opened = engine, upgrade, self._file()

    def _check_file(self) -> None:
        """Look at a SQLite file by hand: the driver's thread outlives an opening that fails.

        It is looked at, never opened: closing it would end the locks that every other connection
        of this process holds, and whoever came next would remove the log they write to.
        """
        if not (self._url.drivername.startswith("sqlite") and self._url.database):
            return
        path = Path(self._url.database)
        if not path.exists():
            with contextlib.suppress(FileExistsError):
                files.create(path, b"", mode=0o600)
        if not (path.is_file() and os.access(path, os.R_OK | os.W_OK)):
            raise StateError(f"fleet.database: {self.shown}: not a file that may be written")

    def _file(self) -> _Identity | None:
        """Tell which SQLite file there is now; None for none, and for a server."""
        if not (self._url.drivername.startswith("sqlite") and self._url.database):
            return None
        try:
            found = os.stat(self._url.database)  # noqa: PTH116 - a name as the address has it
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    async def _current(self) -> AsyncEngine:
        """Return what to connect by; what is written to a file without a name is lost."""
        assert self._engine is not None, "used before `connect`"  # noqa: S101
        if self._opened != self._file():
            async with self._opening:
                if self._opened != self._file():
                    await self._engine.dispose()
                    await self.connect(upgrade=self._upgrades)
        return self._engine

    def _options(self) -> dict[str, object]:
        if self._url.drivername.startswith("sqlite"):
            return {"connect_args": {"timeout": BUSY_SECONDS}}
        return {"pool_size": 5, "max_overflow": 5, "pool_pre_ping": True}

    async def close(self) -> None:
        """Close every connection."""
        if self._engine is not None:
            await self._engine.dispose()

    @contextlib.asynccontextmanager
    async def changing(self) -> AsyncIterator[AsyncConnection]:
        """Hand out a transaction: all of it holds, or nothing.

        Raises:
            StateError: the database refuses.

        """
        with _translated(self.shown):
            async with (await self._current()).connect() as plain:
                connection = await plain.execution_options(writes=True)
                async with connection.begin():
                    yield connection

    async def alone(self, connection: AsyncConnection, key: str) -> None:
        """Be the only one who changes what belongs to a key, for the rest of the transaction."""
        if self._url.drivername.startswith("postgresql"):
            asked = sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(key, 0)))
            await connection.execute(asked)

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Hand out a connection to read with.

        Raises:
            StateError: the database refuses.

        """
        with _translated(self.shown):
            async with (await self._current()).connect() as connection:
                yield connection


async def _bring_up_to_date(engine: AsyncEngine) -> None:
    async with engine.connect() as plain:
        connection = await plain.execution_options(writes=True)
        async with connection.begin():
            await connection.run_sync(_upgrade)


def _upgrade(connection: sa.Connection) -> None:
    """Run the migrations that are missing; the library for it is loaded only then.

    Raises:
        StateError: the tables are of a newer version.

    """
    found = _version(connection)
    if found == HEAD:
        return
    if found is not None and found > HEAD:
        raise StateError(
            f"fleet.database: its tables are of version {found}, newer than this program's {HEAD}",
            hint="go on with the newer version of sigmirror",
        )
    from alembic import command  # noqa: PLC0415 - start-up time of every command
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _version(connection: sa.Connection) -> str | None:
    """Return the version of the tables there are, None where there are none."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def _prepare_sqlite(connection: object, _record: object) -> None:
    """Let readers read while one writes; commits survive a crash of the process."""
    connection.isolation_level = None  # type: ignore[attr-defined] # `_begin_sqlite` begins
    cursor = connection.cursor()  # type: ignore[attr-defined] # whatever the driver hands in
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    """Take SQLite's one write lock before what is to be changed is read."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextlib.contextmanager
def _translated(shown: str) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, OSError) as exc:
        reason = str(getattr(exc, "orig", None) or exc).partition("\n")[0]
        raise StateError(f"fleet.database: {shown}: {reason}") from exc
