"""Desks over databases of every kind, each empty when it is opened."""

import contextlib
from collections.abc import AsyncIterator

import sqlalchemy as sa

from mirror.fleet.database import Database
from mirror.fleet.desk import Desk


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[Desk]:
    """Open one; a server's database is emptied for whoever comes next."""
    database = Database(url)
    await database.connect()
    yield Desk(database)
    if url.startswith("postgresql"):
        async with database.changing() as connection:
            await connection.execute(sa.text("DROP SCHEMA public CASCADE"))
            await connection.execute(sa.text("CREATE SCHEMA public"))
    await database.close()
