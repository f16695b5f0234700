"""A running mirror: only wiring. Each part starts and stops in a context of its own."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from aiohttp import web

from keys.errors import Error, StateError, StoreError
from mirror import reloads
from mirror.fleet.desk import Desk, open_desk
from mirror.fleet.hosts import Hosts
from mirror.fleet.ledger import Records, hosts_record
from mirror.fleet.promotion import Outcome
from mirror.fleet.tasks import Tasks
from mirror.inforce import InForce
from mirror.notices.rounds import Rounds
from mirror.observer import Observer
from mirror.promotions import promote_ready
from mirror.reloads import Reload
from mirror.rollout import CANARY
from mirror.schedule import Schedule, schedule_of
from mirror.watch import Watcher
from mirror.web import metrics
from mirror.web.enrolment import EnrolmentDesk
from mirror.web.listening import listen
from mirror.web.metrics import Metrics
from mirror.web.service import IDLE_SECONDS, MAX_HEADER_BYTES, RequestLog, Service

NO_GRACE_SECONDS = 0.01  # aiohttp would wait for ever for 0
DATABASE_RETRY_SECONDS = 30.0
RETENTION_SECONDS = 3600.0
PROMOTION_SECONDS = 5.0  # between two looks at what canary hosts say


async def run(config: Path, *, signs: bool, clock: Callable[[], datetime]) -> None:
    """Serve until SIGTERM or SIGINT; with ``signs`` also pull, sign anew and follow folders.

    Raises:
        SettingsError: something keeps the mirror from running.
        StateError: an address is taken.

    """
    in_force = await InForce.start(config, signs=signs, clock=clock)
    async with running(in_force):
        await _stopped()
        structlog.get_logger().info("stopping")


@contextlib.asynccontextmanager
async def running(in_force: InForce) -> AsyncIterator[tuple[str, str]]:
    """Run a mirror for the length of the block; hand out its address and its metrics' address."""
    mirror = _Mirror(in_force)
    serve = in_force.serve
    runner = web.AppRunner(
        mirror.application(),
        handle_signals=False,
        access_log_class=RequestLog,
        keepalive_timeout=IDLE_SECONDS,
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
        shutdown_timeout=serve.shutdown_grace_seconds or NO_GRACE_SECONDS,
    )
    try:
        await runner.setup()  # what began before something failed is ended below
        tls = in_force.certificate.context if in_force.certificate else None
        address = await listen(runner, serve.listen, "serve.listen", ssl_context=tls)
        structlog.get_logger().info(
            "listening", address=address, tls=tls is not None, access=serve.access,
            signs=in_force.signs, metrics=mirror.metrics_address,
        )  # fmt: skip
        yield address, mirror.metrics_address
    finally:
        await runner.cleanup()


class _Mirror:
    """The parts of one running mirror."""

    def __init__(self, in_force: InForce) -> None:
        self.metrics_address = ""
        self._in_force = in_force
        observer = Observer(lambda: in_force.site, in_force.clock)
        self._metrics = Metrics(lambda: replace(in_force.facts(), observed=observer.latest()))
        self._schedule: Schedule | None = None
        self._restart = asyncio.Event()
        self._desk: Desk | None = None

    def application(self) -> web.Application:
        """Build the application with everything that runs beside it."""
        in_force = self._in_force
        enrolments = EnrolmentDesk(self._hosts_record, in_force.reload_access)
        service = Service(
            in_force, self._metrics, in_force.clock, lambda: self._desk, enrolments=enrolments
        )
        app = service.application()
        app.cleanup_ctx.append(self._reported)
        app.cleanup_ctx.append(self._measured)
        app.cleanup_ctx.append(self._refreshed)
        app.cleanup_ctx.append(self._followed)
        app.cleanup_ctx.append(self._watched)
        if self._in_force.signs:
            app.cleanup_ctx.append(self._scheduled)
            app.cleanup_ctx.append(self._noticed)
            app.cleanup_ctx.append(self._promoted)
        return app

    async def _promoted(self, _app: web.Application) -> AsyncIterator[None]:
        """Let stable follow canary once its hosts have proven a release."""
        async with _task(self._promote(), "promotions"):
            yield

    async def _promote(self) -> None:
        told: set[str] = set()
        while True:
            await asyncio.sleep(PROMOTION_SECONDS)
            settings, now = self._in_force.settings, self._in_force.clock()
            if self._desk is None or not (settings.canary and settings.rollout.automatic):
                continue
            try:
                hosts = await self._desk.hosts(track=CANARY)
                found = await promote_ready(self._in_force.site, hosts, now=now)
            except Error as exc:
                structlog.get_logger().error("promotion", cause=str(exc), hint=exc.hint)
                continue
            for standing in found:
                if str(standing) not in told:
                    log = structlog.get_logger()
                    tell = log.error if standing.verdict.outcome is Outcome.failed else log.info
                    tell("canary", outcome=standing.verdict.outcome.value, message=str(standing))
            told = {str(standing) for standing in found}

    async def _noticed(self, _app: web.Application) -> AsyncIterator[None]:
        """Tell operators what they should know."""
        with Rounds(lambda: self._in_force.site, self._in_force.clock):
            yield

    async def _hosts_record(self) -> Records[Hosts] | None:
        """Open the record of hosts; a vendor's customers have none, and none enrol after a move."""
        site = self._in_force.site
        if site.settings.serve.access == "licences" or await site.repository().handover():
            return None
        return hosts_record(site.settings)

    async def _measured(self, _app: web.Application) -> AsyncIterator[None]:
        """Serve metrics on their own listener."""
        where = self._in_force.serve.metrics_listen
        if not where:
            yield
            return
        runner = web.AppRunner(
            metrics.application(self._metrics), handle_signals=False, access_log=None
        )
        await runner.setup()
        try:
            self.metrics_address = await listen(runner, where, "serve.metrics_listen")
            yield
        finally:
            await runner.cleanup()

    async def _reported(self, _app: web.Application) -> AsyncIterator[None]:
        """Keep hosts' reports; definitions are served with or without them."""
        if not self._in_force.settings.fleet.enabled:
            yield
            return
        async with _task(self._keep_reports(), "reports"):
            yield
        if self._desk is not None:
            await self._desk.database.close()

    async def _keep_reports(self) -> None:
        """Open the database, again and again until it answers; then clear it by age."""
        told = ""
        while self._desk is None:
            try:
                self._desk = await open_desk(self._in_force.settings)
            except Error as exc:
                if str(exc) != told:
                    structlog.get_logger().error("fleet", cause=str(exc), hint=exc.hint)
                told = str(exc)
                await asyncio.sleep(DATABASE_RETRY_SECONDS)
        while True:
            fleet = self._in_force.settings.fleet
            try:
                now = self._in_force.clock()
                await self._desk.forget_members(now - timedelta(hours=fleet.stale_hours))
                await self._desk.forget(now - timedelta(days=fleet.retention_days))
                await Tasks(self._desk.database).forget(now - timedelta(days=fleet.retention_days))
            except Error as exc:
                structlog.get_logger().error("fleet", cause=str(exc), hint=exc.hint)
            await asyncio.sleep(RETENTION_SECONDS)

    async def _refreshed(self, _app: web.Application) -> AsyncIterator[None]:
        """Notice what other processes publish."""
        async with _task(self._refresh(), "refresh"):
            yield
        if self._in_force.served.cache:
            await self._in_force.served.cache.close()

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(self._in_force.served.poll_seconds)
            for repository in self._in_force.repositories.by_name.values():
                await repository.refresh()

    async def _followed(self, _app: web.Application) -> AsyncIterator[None]:
        """Follow records that other machines change."""
        if not self._in_force.settings.store.is_bucket:
            yield
            return
        async with _task(self._follow(), "follow"):
            yield

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._in_force.settings.reload_poll_seconds)
            try:
                if await self._in_force.follow_access():
                    await self._report("access", None)
            except StoreError:  # the store's own metric tells of it
                continue
            except Error as exc:
                await self._report("access", exc)

    async def _watched(self, _app: web.Application) -> AsyncIterator[None]:
        """Follow files that change on disk."""
        settings = self._in_force
        watcher = Watcher(
            settings.subjects(),
            self._report,
            poll_seconds=lambda: settings.settings.reload_poll_seconds,
        )
        async with watcher.watching():
            yield

    async def _report(self, what: str, error: Error | None) -> None:
        """Tell of a reload in the log, in a metric and in the status."""
        log = structlog.get_logger()
        if error is None:
            log.info("reloaded", what=what)
        else:
            log.error("reload-refused", what=what, cause=str(error), hint=error.hint)
        self._metrics.reloaded(what, accepted=error is None)
        now, path = self._in_force.clock(), self._in_force.settings.folder / reloads.FILE
        outcome = Reload.of(error, at=now)
        try:
            await asyncio.to_thread(reloads.remember, path, what, outcome)
        except StateError as exc:
            log.warning("status-not-written", cause=str(exc))

    async def _scheduled(self, _app: web.Application) -> AsyncIterator[None]:
        """Pull and sign; start anew when the settings change."""
        self._in_force.changed.append(self._on_change)
        async with _task(self._pull(), "schedule"):
            yield

    async def _pull(self) -> None:
        while True:
            async with schedule_of(self._in_force.site, self._in_force.clock) as schedule:
                self._schedule = schedule
                await self._restart.wait()
                self._restart.clear()

    def _on_change(self, what: str) -> None:
        if what == "settings":
            self._restart.set()
        elif what == "licences" and self._schedule:
            for upstream in self._in_force.settings.upstream:
                self._schedule.wake(upstream.name)


@contextlib.asynccontextmanager
async def _task(work: Coroutine[None, None, None], name: str) -> AsyncIterator[None]:
    """Run something beside the block; it ends with it."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _stopped() -> None:
    """Wait for the signal to stop; SIGHUP does not: files that change are followed anyway."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, structlog.get_logger().info, "sighup-ignored")
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
