"""``POST /v1/enrol``: an invited host brings the digest of the credential it made for itself."""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol

import msgspec
import structlog
from aiohttp import web

from keys.errors import CredentialError, LockedError
from keys.invitation import MAX_ENROLMENT_BYTES, Enrolment
from mirror.fleet.hosts import Hosts
from mirror.fleet.ledger import Records
from mirror.fleet.rate import Rate
from mirror.web.access import Gate
from mirror.web.errors import Refusal

TRIES_AT_ONCE = 10  # of one address; forty hosts behind one address wait a little
TRY_SECONDS = 1.0  # then one in this time
MAX_ADDRESSES = 10_000
LOCK_TRIES = 50
LOCK_SECONDS = 0.1


class Invited(Protocol):
    """Where hosts and their invitations are written down."""

    async def __call__(self) -> Records[Hosts] | None:
        """Open the record; None where hosts have no credentials, or get theirs elsewhere."""
        ...


class EnrolmentDesk:
    """Admits invited hosts; ``admitted`` lets in who was written down."""

    def __init__(self, record: Invited, admitted: Callable[[], Awaitable[None]]) -> None:
        self._record = record
        self._admitted = admitted
        self._rate = Rate(burst=TRIES_AT_ONCE, seconds=TRY_SECONDS, max_clients=MAX_ADDRESSES)

    async def answer(
        self, request: web.Request, gate: Gate, *, now: datetime
    ) -> web.StreamResponse:
        """Admit one host.

        Raises:
            Refusal: 400 and 413 for what is no enrolment, 401 for an invitation that is none, is
                used or ended, 404 where no hosts are enrolled, 429 for too many tries.

        """
        address = gate.address(request)
        if wait := self._rate.wait(address, now=asyncio.get_running_loop().time()):
            raise Refusal(429, "too many tries", {"Retry-After": str(math.ceil(wait))})
        record = await self._record()
        if record is None:
            raise Refusal(404, "no hosts are enrolled here")
        enrolment = await _enrolment(request)
        try:
            await _enrol(record, enrolment, now)
        except CredentialError as exc:
            log = structlog.get_logger()
            log.warning("enrolment-refused", host=enrolment.name, address=address, cause=str(exc))
            raise Refusal(401, str(exc)) from exc
        await self._admitted()
        structlog.get_logger().info("enrolled", host=enrolment.name, address=address)
        text = json.dumps({"name": enrolment.name})
        return web.Response(text=text, content_type="application/json")


async def _enrolment(request: web.Request) -> Enrolment:
    if (request.content_length or 0) > MAX_ENROLMENT_BYTES:
        raise Refusal(413, f"larger than MAX_ENROLMENT_BYTES={MAX_ENROLMENT_BYTES}")
    body = bytearray()
    async for data in request.content.iter_any():
        body += data
        if len(body) > MAX_ENROLMENT_BYTES:
            raise Refusal(413, f"larger than MAX_ENROLMENT_BYTES={MAX_ENROLMENT_BYTES}")
    try:
        return msgspec.json.decode(bytes(body), type=Enrolment)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # the reason may repeat a part of the token
        raise Refusal(400, "not an enrolment: name, token and sha256 are needed") from None


async def _enrol(record: Records[Hosts], enrolment: Enrolment, now: datetime) -> None:
    """Write a host down; waits while somebody else changes the record."""
    for left in reversed(range(LOCK_TRIES)):
        try:
            await asyncio.to_thread(_write, record, enrolment, now)
        except LockedError:
            if not left:
                raise
            await asyncio.sleep(LOCK_SECONDS)
        else:
            return


def _write(file: Records[Hosts], enrolment: Enrolment, now: datetime) -> None:
    with file.changing() as hosts:
        after = hosts.enrol(enrolment.name, enrolment.token, enrolment.sha256, now=now)
        if after is not hosts:
            file.write(after)
