"""What a mirror tells Prometheus: requests as they come, everything else when it is asked."""

import asyncio
from collections.abc import Callable, Iterator

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric

from mirror.web.gauges import Facts, gauges


class Metrics:
    """One mirror's metrics, in a registry of their own."""

    def __init__(self, facts: Callable[[], Facts]) -> None:
        self._facts = facts
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "sigmirror_requests", "Answers by status.", ["status"], registry=self._registry
        )
        self._sent = Counter(
            "sigmirror_sent_bytes", "Bytes of answers' bodies.", registry=self._registry
        )
        self.in_flight = Gauge(
            "sigmirror_requests_in_flight", "Requests being answered.", registry=self._registry
        )
        self._reports = Counter(
            "sigmirror_reports", "Answers to hosts' reports by status.", ["status"],
            registry=self._registry,
        )  # fmt: skip
        self._reloads = Counter(
            "sigmirror_reloads", "Files that changed on disk, by outcome.", ["what", "outcome"],
            registry=self._registry,
        )  # fmt: skip
        self._refused = Gauge(
            "sigmirror_reload_refused", "1 while the newest files are refused and old ones count.",
            ["what"], registry=self._registry,
        )  # fmt: skip
        self._registry.register(self)

    def answered(self, status: int, sent: int) -> None:
        """Count an answer."""
        self._requests.labels(str(status)).inc()
        self._sent.inc(sent)

    def reported(self, status: int) -> None:
        """Count an answer to a host's report."""
        self._reports.labels(str(status)).inc()

    def reloaded(self, what: str, *, accepted: bool) -> None:
        """Count a reload."""
        self._reloads.labels(what, "accepted" if accepted else "refused").inc()
        self._refused.labels(what).set(0 if accepted else 1)

    async def text(self) -> bytes:
        """Write everything in Prometheus' text format; state files are read in a thread."""
        return await asyncio.to_thread(generate_latest, self._registry)

    def describe(self) -> list[Metric]:
        """Say nothing beforehand: what there is depends on the settings."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Measure what is known elsewhere, now."""
        yield from gauges(self._facts())


def application(metrics: Metrics) -> web.Application:
    """Build the application of the metrics listener."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(
            body=await metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    app = web.Application()
    app.router.add_get("/metrics", answer)
    return app
