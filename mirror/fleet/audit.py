"""Whether the fleet's record still holds: every report follows the one before, signatures hold."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy.ext.asyncio import AsyncConnection

from keys.errors import SignatureError
from keys.model.instant import utc
from mirror.fleet.database import Database
from mirror.fleet.tables import history, hosts, reports, statements

CHAIN_START = "0" * 64


def check(public_key: str, signature: str, text: bytes) -> None:
    """Verify what a host signed.

    Raises:
        SignatureError: the signature does not hold, or there is none.

    """
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        key.verify(bytes.fromhex(signature), text)
    except (ValueError, InvalidSignature) as exc:
        raise SignatureError("its history is not signed by the key it names") from exc


def link(before: str, received: datetime, body: str) -> str:
    """Bind a row to the one before."""
    told = f"{before}\n{received:%Y-%m-%dT%H:%M:%S.%f}\n{body}"
    return hashlib.sha256(told.encode()).hexdigest()


async def faults(database: Database) -> AsyncIterator[str]:
    """Follow every chain and check every signature; name what does not hold."""
    async with database.reading() as connection:
        ends: dict[str, str] = {}
        async for row in await connection.stream(sa.select(reports).order_by("id")):
            for fault in _unlinked(row, ends):
                yield f"host {row.host}: report {row.number}: {fault}"
        for name, chain in await connection.execute(sa.select(hosts.c.name, hosts.c.chain)):
            if ends.get(name) != chain:
                yield f"host {name}: its newest report is missing"
        ends = {}
        async for row in await connection.stream(sa.select(statements).order_by("id")):
            for fault in (*_unlinked(row, ends), *_unsigned(row)):
                yield f"host {row.host}: statement of {utc(row.received)}: {fault}"
        async for fault in _unstated(connection):
            yield fault


def _unlinked(row: Any, ends: dict[str, str]) -> Iterator[str]:  # noqa: ANN401 - a row of either table
    last = ends.get(row.host)
    ends[row.host] = row.chain
    if last is not None and row.before != last:
        yield "does not follow from the one before"
    if row.chain != link(row.before, row.received, row.body):
        yield "was changed"


def _unsigned(row: Any) -> Iterator[str]:  # noqa: ANN401 - a row of statements
    try:
        check(row.public_key, row.signature, row.body.encode())
    except SignatureError:
        yield "its signature does not hold"


async def _unstated(connection: AsyncConnection) -> AsyncIterator[str]:
    """Name history lines that stand in no statement of their host."""
    asked = sa.select(history, statements.c.body).outerjoin(
        statements, statements.c.id == history.c.statement
    )
    async for row in await connection.stream(asked.order_by(history.c.id)):
        if row.body is None or msgspec.json.encode(row.line).decode() not in row.body:
            yield f"host {row.host}: history of {utc(row.at)}: is in no signed statement"
