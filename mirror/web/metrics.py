"""What a mirror tells Prometheus: requests as they come, everything else when it is asked."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric

from keys.model.release import Assurance
from keys.model.standing import LicenceState, State
from mirror.pulls import STATES, Pulled


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known elsewhere at one moment; a licence that cannot be read is None.

    ``assurance`` is by repository and channel; ``held`` are the channels held of an upstream.
    """

    now: datetime
    expires: Mapping[str, Mapping[str, datetime]] = field(default_factory=dict)
    assurance: Mapping[str, Mapping[str, Assurance]] = field(default_factory=dict)
    held: Mapping[str, Sequence[str]] = field(default_factory=dict)
    upstreams: Mapping[str, Pulled] = field(default_factory=dict)
    licences: Mapping[str, LicenceState | None] = field(default_factory=dict)


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
        facts = self._facts()
        yield _expiry(facts)
        yield _assurance(facts)
        yield _held(facts)
        yield from _upstreams(facts)
        yield _states(facts)
        yield _cool_downs(facts)
        yield from _licences(facts)


def application(metrics: Metrics) -> web.Application:
    """Build the application of the metrics listener."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(
            body=await metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    app = web.Application()
    app.router.add_get("/metrics", answer)
    return app


def _expiry(facts: Facts) -> Metric:
    family = GaugeMetricFamily(
        "sigmirror_role_expires_in_seconds",
        "Seconds until a role's signature expires.",
        labels=["repository", "role"],
    )
    for repository, roles in facts.expires.items():
        for role, expires in roles.items():
            family.add_metric([repository, role], (expires - facts.now).total_seconds())
    return family


def _assurance(facts: Facts) -> Metric:
    family = GaugeMetricFamily(
        "sigmirror_release_assurance",
        "1 for how the origin of a channel's newest release was proven.",
        labels=["repository", "channel", "assurance"],
    )
    for repository, channels in facts.assurance.items():
        for channel, found in channels.items():
            for word in Assurance:
                family.add_metric([repository, channel, word.value], float(word is found))
    return family


def _held(facts: Facts) -> Metric:
    family = GaugeMetricFamily(
        "sigmirror_held", "1 while a release that shrinks is held.", labels=["upstream", "channel"]
    )
    for upstream, channels in facts.held.items():
        for channel in channels:
            family.add_metric([upstream, channel], 1.0)
    return family


def _states(facts: Facts) -> Metric:
    family = GaugeMetricFamily(
        "sigmirror_upstream_state",
        "1 for the state an upstream is in.",
        labels=["upstream", "state"],
    )
    for upstream, pulled in facts.upstreams.items():
        found = pulled.state(held=bool(facts.held.get(upstream)))
        for word in STATES:
            family.add_metric([upstream, word], float(word == found))
    return family


def _cool_downs(facts: Facts) -> Metric:
    family = GaugeMetricFamily(
        "sigmirror_upstream_cool_down_seconds",
        "Seconds until the vendor lets us come back; 0 when he does.",
        labels=["upstream"],
    )
    for upstream, pulled in facts.upstreams.items():
        left = ((pulled.not_before or facts.now) - facts.now).total_seconds()
        family.add_metric([upstream], max(0.0, left))
    return family


_NEVER = datetime.fromtimestamp(0, UTC)

_UPSTREAM: tuple[tuple[str, str, Callable[[Pulled], float]], ...] = (
    (
        "last_attempt_timestamp_seconds",
        "When a pull was last tried (0: never).",
        lambda pulled: (pulled.last_attempt or _NEVER).timestamp(),
    ),
    (
        "last_success_timestamp_seconds",
        "When a pull last succeeded (0: never).",
        lambda pulled: (pulled.last_success or _NEVER).timestamp(),
    ),
    (
        "last_change_timestamp_seconds",
        "When a pull last brought a release (0: never).",
        lambda pulled: (pulled.last_change or _NEVER).timestamp(),
    ),
    ("failed", "1 while the last pull failed.", lambda pulled: float(pulled.failure is not None)),
    ("stopped", "1 while the vendor rejects the credential.", lambda one: float(one.stopped)),
    ("received_bytes", "Bytes the last pull received.", lambda one: float(one.received_bytes)),
)


def _upstreams(facts: Facts) -> Iterator[Metric]:
    for name, text, value in _UPSTREAM:
        family = GaugeMetricFamily(f"sigmirror_upstream_{name}", text, labels=["upstream"])
        for upstream, pulled in facts.upstreams.items():
            family.add_metric([upstream], value(pulled))
        yield family
    age = GaugeMetricFamily(
        "sigmirror_upstream_age_seconds", "Seconds since a pull succeeded.", labels=["upstream"]
    )
    for upstream, pulled in facts.upstreams.items():
        if pulled.last_success is not None:
            age.add_metric([upstream], (facts.now - pulled.last_success).total_seconds())
    yield age


def _licences(facts: Facts) -> Iterator[Metric]:
    left = GaugeMetricFamily(
        "sigmirror_licence_days_left",
        "Days until a licence's last day; negative after it.",
        labels=["licence", "organisation"],
    )
    state = GaugeMetricFamily(
        "sigmirror_licence_state", "1 for the state a licence is in.", labels=["licence", "state"]
    )
    for name, standing in facts.licences.items():
        found = standing.state.value if standing else "unusable"
        if standing:
            left.add_metric([name, standing.licence.organisation], standing.days_left)
        for word in (*(one.value for one in State), "unusable"):
            state.add_metric([name, word], float(word == found))
    yield left
    yield state
