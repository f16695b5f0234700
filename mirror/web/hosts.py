"""``POST /v1/hosts/<name>``: what a host reports of itself, and of nobody else."""

import asyncio
import math
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import structlog
from aiohttp import web

from keys.errors import LimitError, SignatureError, UsageError
from keys.model.release import encode
from keys.model.report import MAX_REPORT_BYTES, REFUSED, HostReport, decode_report
from keys.model.task import Answered
from mirror.fleet.doors import Visitor
from mirror.fleet.pools import SEPARATOR, may_report_as
from mirror.fleet.rate import Rate
from mirror.web.access import CHALLENGE, Gate
from mirror.web.errors import Refusal

REPORT_BURST = 60  # reports a host may send at once, after a time without its mirror
REPORT_SECONDS = 2.0  # then one in this time
POOL_BURST = 6_000  # the same for all members of a pool together
POOL_SECONDS = 0.02
FULL_POOL_SECONDS = 3600
MAX_HOSTS = 100_000


class Reports(Protocol):
    """Where reports go."""

    async def take(self, report: HostReport, body: bytes, *, now: datetime) -> Answered:
        """Take one in; tell whether it was new, and what its host is to do.

        Raises:
            SignatureError: what it signs does not hold.
            LimitError: its pool is full.
            StateError: it cannot be kept now.

        """
        ...


class HostDesk:
    """Takes reports; ``reports`` is None where this mirror keeps none, or not yet."""

    def __init__(self, reports: Callable[[], Reports | None]) -> None:
        self._reports = reports
        self._rate = Rate(burst=REPORT_BURST, seconds=REPORT_SECONDS, max_clients=MAX_HOSTS)
        self._pools = Rate(burst=POOL_BURST, seconds=POOL_SECONDS, max_clients=MAX_HOSTS)

    async def answer(
        self, request: web.Request, gate: Gate, *, now: datetime
    ) -> web.StreamResponse:
        """Take one report.

        Raises:
            Refusal: 401 without a host's credential, 403 for another host, 413 and 400 for what
                is no report, 429 for too many or too full a pool, 503 while they cannot be kept.

        """
        name = request.match_info["name"]
        visitor = await gate.admit(request, now=now)
        if not visitor.name or visitor.licences is not None:
            raise Refusal(401, "a host's credential is needed", {"WWW-Authenticate": CHALLENGE})
        if not may_report_as(visitor.name, name, is_pool=visitor.is_pool):
            raise Refusal(403, _not_itself(visitor))
        self._slow_down(visitor, name)
        reports = self._reports()
        if reports is None:
            raise Refusal(503, "reports cannot be kept now", {"Retry-After": "60"})
        body = await _body(request)
        report = _report(body, name)
        try:
            answer = await reports.take(report, body, now=now)
        except SignatureError as exc:
            raise Refusal(400, str(exc)) from exc
        except LimitError as exc:
            raise Refusal(429, str(exc), {"Retry-After": str(FULL_POOL_SECONDS)}) from exc
        _tell_refusals(report)
        return web.Response(body=encode(answer), content_type="application/json")

    def _slow_down(self, visitor: Visitor, name: str) -> None:
        now = asyncio.get_running_loop().time()
        wait = self._rate.wait(name, now=now)
        if not wait and visitor.is_pool:
            wait = self._pools.wait(visitor.name, now=now)
        if wait:
            raise Refusal(429, "too many reports", {"Retry-After": str(math.ceil(wait))})


def _tell_refusals(report: HostReport) -> None:
    """Log what a host refused to do: somebody may have forged it."""
    for one in report.tasks:
        if one.outcome == REFUSED:
            log = structlog.get_logger()
            log.warning("task-refused", host=report.host, task=one.task, cause=one.detail)


def _not_itself(visitor: Visitor) -> str:
    if visitor.is_pool:
        return f"{visitor.name} is a pool: a member reports as {visitor.name}{SEPARATOR}MEMBER"
    return f"host {visitor.name} reports itself only"


async def _body(request: web.Request) -> bytes:
    if (request.content_length or 0) > MAX_REPORT_BYTES:
        raise Refusal(413, f"larger than MAX_REPORT_BYTES={MAX_REPORT_BYTES}")
    body = bytearray()
    async for data in request.content.iter_any():
        body += data
        if len(body) > MAX_REPORT_BYTES:
            raise Refusal(413, f"larger than MAX_REPORT_BYTES={MAX_REPORT_BYTES}")
    return bytes(body)


def _report(body: bytes, name: str) -> HostReport:
    try:
        report = decode_report(body, "report")
    except (LimitError, UsageError) as exc:
        raise Refusal(400, str(exc)) from exc
    if report.host != name:
        raise Refusal(400, f"a report of host {report.host!r}, sent by {name}")
    return report
