"""The mirror's HTTP application: routes, limits and one log line per request."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

import structlog
from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.typedefs import Middleware

from mirror.web import health
from mirror.web.access import ADDRESS, VISITOR
from mirror.web.errors import RETRY_SECONDS, Handler, Refusal, errors
from mirror.web.metrics import Metrics
from mirror.web.repository import Repositories
from mirror.web.sending import SENT

MAX_BODY_BYTES = 64 << 10
MAX_HEADER_BYTES = 8190
IDLE_SECONDS = 75.0  # a connection that does not finish its request in this time is closed
SITE = "site"
METRICS = web.AppKey("metrics", Metrics)
PROBES = frozenset({"/healthz", "/readyz"})


class Service:
    """Answers requests from what is in force when they come."""

    def __init__(
        self,
        repositories: Repositories,
        metrics: Metrics,
        clock: Callable[[], datetime],
        *,
        max_in_flight: int,
        max_seconds: float,
    ) -> None:
        self.repositories = repositories  # replaced whole by a reload
        self.max_in_flight = max_in_flight
        self.max_seconds = max_seconds
        self._metrics = metrics
        self._clock = clock
        self._in_flight = 0

    def application(self) -> web.Application:
        """Build the application."""
        app = web.Application(middlewares=[errors, self._limits()], client_max_size=MAX_BODY_BYTES)
        app[METRICS] = self._metrics
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/r/{rest:.*}", self._repository)
        return app

    async def _healthz(self, _request: web.Request) -> web.Response:
        return health.healthy()

    async def _readyz(self, _request: web.Request) -> web.Response:
        return health.ready(self.repositories.by_name[SITE], now=self._clock())

    async def _repository(self, request: web.Request) -> web.StreamResponse:
        return await self.repositories.answer(request, now=self._clock())

    def _limits(self) -> Middleware:
        """Shed what is too much; end what takes too long."""

        @web.middleware
        async def limits(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path in PROBES:
                return await handler(request)
            if self._in_flight >= self.max_in_flight:
                raise Refusal(429, "too many requests", {"Retry-After": str(RETRY_SECONDS)})
            with self._counted():
                async with asyncio.timeout(self.max_seconds):
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


class RequestLog(AbstractAccessLogger):
    """One line per request, written when the answer is sent."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Log and count one answer."""
        sent = request.get(SENT, 0) or response.body_length
        if isinstance(request, web.Request):
            request.app[METRICS].answered(response.status, sent)
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
