"""The mirror's HTTP application: routes, limits and one log line per request."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol

import structlog
from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.typedefs import Middleware

from mirror.settings import ServeSettings
from mirror.web import health
from mirror.web.access import ADDRESS, VISITOR
from mirror.web.enrolment import EnrolmentDesk
from mirror.web.errors import RETRY_SECONDS, Handler, Refusal, errors
from mirror.web.hosts import HostDesk, Reports
from mirror.web.metrics import Metrics
from mirror.web.native.clamav import ClamavLayout
from mirror.web.native.files import FilesLayout
from mirror.web.repository import Repositories
from mirror.web.sending import SENT

MAX_BODY_BYTES = 64 << 10
MAX_HEADER_BYTES = 8190
IDLE_SECONDS = 75.0  # a connection that does not finish its request in this time is closed
SITE = "site"
METRICS = web.AppKey("metrics", Metrics)
REPORTS = "/v1/hosts/"
PROBES = frozenset({"/healthz", "/readyz"})


class Current(Protocol):
    """What is in force; asked anew for each request."""

    @property
    def repositories(self) -> Repositories:
        """What requests are answered from."""
        ...

    @property
    def serve(self) -> ServeSettings:
        """The listener's settings: its limits."""
        ...


class Service:
    """Answers requests from what is in force when they come."""

    def __init__(
        self, current: Current, metrics: Metrics, clock: Callable[[], datetime],
        reports: Callable[[], Reports | None] = lambda: None,
        enrolments: EnrolmentDesk | None = None,
    ) -> None:  # fmt: skip
        self._current = current
        self._enrolments = enrolments
        self._hosts = HostDesk(reports)
        self._metrics = metrics
        self._clock = clock
        self._in_flight = 0
        self._plain = FilesLayout()

    def application(self) -> web.Application:
        """Build the application."""
        app = web.Application(middlewares=[errors, self._limits()], client_max_size=MAX_BODY_BYTES)
        app[METRICS] = self._metrics
        app.on_response_prepare.append(_sign_off)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/r/{rest:.*}", self._repository)
        app.router.add_get("/clamav/{name}", self._clamav)
        app.router.add_get("/files{rest:(/.*)?}", self._files)
        app.router.add_post(f"{REPORTS}{{name}}", self._report)
        if self._enrolments is not None:
            app.router.add_post("/v1/enrol", self._enrol)
        return app

    async def _healthz(self, _request: web.Request) -> web.Response:
        return health.healthy()

    async def _readyz(self, _request: web.Request) -> web.Response:
        return health.ready(self._current.repositories.by_name[SITE], now=self._clock())

    async def _repository(self, request: web.Request) -> web.StreamResponse:
        return await self._current.repositories.answer(request, now=self._clock())

    async def _clamav(self, request: web.Request) -> web.StreamResponse:
        return await ClamavLayout(self._current.repositories).answer(request, now=self._clock())

    async def _files(self, request: web.Request) -> web.StreamResponse:
        return await self._plain.answer(self._current.repositories, request, now=self._clock())

    async def _report(self, request: web.Request) -> web.StreamResponse:
        gate = self._current.repositories.gate
        return await self._hosts.answer(request, gate, now=self._clock())

    async def _enrol(self, request: web.Request) -> web.StreamResponse:
        assert self._enrolments is not None  # noqa: S101 - else there is no such route
        gate = self._current.repositories.gate
        return await self._enrolments.answer(request, gate, now=self._clock())

    def _limits(self) -> Middleware:
        """Shed what is too much; end what takes too long."""

        @web.middleware
        async def limits(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path in PROBES:
                return await handler(request)
            if self._in_flight >= self._current.serve.max_requests_in_flight:
                raise Refusal(429, "too many requests", {"Retry-After": str(RETRY_SECONDS)})
            with self._counted():
                async with asyncio.timeout(self._current.serve.max_request_seconds):
                    return await handler(request)

        return limits

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._in_flight += 1
        self._metrics.in_flight.inc()
        try:
            yield
        finally:
            self._in_flight -= 1
            self._metrics.in_flight.dec()


async def _sign_off(_request: web.Request, response: web.StreamResponse) -> None:
    """Tell nobody which versions of Python and libraries answer."""
    response.headers["Server"] = "sigmirror"


def _body_bytes(request: web.BaseRequest, response: web.StreamResponse) -> int:
    """Count the body of an answer from memory."""
    body = response.body if isinstance(response, web.Response) else None
    return len(body) if isinstance(body, bytes) and request.method != "HEAD" else 0


class RequestLog(AbstractAccessLogger):
    """One line per request, written when the answer is sent."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Log and count one answer."""
        sent = request.get(SENT, 0) or _body_bytes(request, response)
        if isinstance(request, web.Request):
            request.app[METRICS].answered(response.status, sent)
            if request.path.startswith(REPORTS):
                request.app[METRICS].reported(response.status)
        structlog.get_logger().info(
            "request",
            host=request.get(VISITOR, ""),
            address=request.get(ADDRESS, request.remote or ""),
            method=request.method,
            path=request.path,
            status=response.status,
            bytes=sent,
            seconds=round(time, 4),
        )
