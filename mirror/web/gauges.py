"""What is known elsewhere, as Prometheus shows it (pure): upstreams, roles, licences, the fleet.

Labels are names of the settings and words of ours, never what a host or a vendor wrote: how many
series there are is bounded by what an operator configured.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from prometheus_client.metrics_core import Metric

from keys.model.release import Assurance
from keys.model.standing import LicenceState, State
from mirror.pulls import STATES, Pulled
from mirror.web.cache.gauges import CacheFacts, cache_gauges
from mirror.web.family import gauge
from mirror.web.observed import Observed, observed_gauges


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known elsewhere at one moment; a licence that cannot be read is None.

    ``assurance`` is by repository and channel; ``held`` are the channels held of an upstream;
    ``reachable`` says of which repositories the store answers.
    """

    now: datetime
    expires: Mapping[str, Mapping[str, datetime]] = field(default_factory=dict)
    assurance: Mapping[str, Mapping[str, Assurance]] = field(default_factory=dict)
    held: Mapping[str, Sequence[str]] = field(default_factory=dict)
    upstreams: Mapping[str, Pulled] = field(default_factory=dict)
    licences: Mapping[str, LicenceState | None] = field(default_factory=dict)
    observed: Observed | None = None
    cache: CacheFacts | None = None
    reachable: Mapping[str, bool] = field(default_factory=dict)


def gauges(facts: Facts) -> Iterator[Metric]:
    """Show all of it; every metric is there, if without samples, whatever the settings."""
    yield _expiry(facts)
    yield _assurance(facts)
    yield _held(facts)
    yield from _upstreams(facts)
    yield _states(facts)
    yield _cool_downs(facts)
    yield from _licences(facts)
    yield from observed_gauges(facts.observed)
    yield from cache_gauges(facts.cache, facts.reachable)


def _expiry(facts: Facts) -> Metric:
    return gauge(
        "role_expires_in_seconds",
        "Seconds until a role's signature expires.",
        ("repository", "role"),
        (
            ((repository, role), (expires - facts.now).total_seconds())
            for repository, roles in facts.expires.items()
            for role, expires in roles.items()
        ),
    )


def _assurance(facts: Facts) -> Metric:
    return gauge(
        "release_assurance",
        "1 for how the origin of a channel's newest release was proven.",
        ("repository", "channel", "assurance"),
        (
            ((repository, channel, word.value), float(word is found))
            for repository, channels in facts.assurance.items()
            for channel, found in channels.items()
            for word in Assurance
        ),
    )


def _held(facts: Facts) -> Metric:
    return gauge(
        "held",
        "1 while a release that shrinks is held.",
        ("upstream", "channel"),
        (
            ((upstream, channel), 1.0)
            for upstream, channels in facts.held.items()
            for channel in channels
        ),
    )


def _states(facts: Facts) -> Metric:
    found = {
        name: pulled.state(held=bool(facts.held.get(name)))
        for name, pulled in facts.upstreams.items()
    }
    return gauge(
        "upstream_state",
        "1 for the state an upstream is in.",
        ("upstream", "state"),
        (((name, word), float(word == found[name])) for name in found for word in STATES),
    )


def _cool_downs(facts: Facts) -> Metric:
    return gauge(
        "upstream_cool_down_seconds",
        "Seconds until the vendor lets us come back; 0 when he does.",
        ("upstream",),
        (
            ((name,), max(0.0, ((pulled.not_before or facts.now) - facts.now).total_seconds()))
            for name, pulled in facts.upstreams.items()
        ),
    )


def _seconds(at: datetime | None) -> float:
    return (at or datetime.fromtimestamp(0, UTC)).timestamp()


_UPSTREAM: tuple[tuple[str, str, Callable[[Pulled], float]], ...] = (
    (
        "last_attempt_timestamp_seconds",
        "When a pull was last tried (0: never).",
        lambda pulled: _seconds(pulled.last_attempt),
    ),
    (
        "last_success_timestamp_seconds",
        "When a pull last succeeded (0: never).",
        lambda pulled: _seconds(pulled.last_success),
    ),
    (
        "last_change_timestamp_seconds",
        "When a pull last brought a release (0: never).",
        lambda pulled: _seconds(pulled.last_change),
    ),
    ("failed", "1 while the last pull failed.", lambda pulled: float(pulled.failure is not None)),
    ("stopped", "1 while the vendor rejects the credential.", lambda one: float(one.stopped)),
    ("received_bytes", "Bytes the last pull received.", lambda one: float(one.received_bytes)),
)


def _upstreams(facts: Facts) -> Iterator[Metric]:
    for name, text, value in _UPSTREAM:
        samples = (((upstream,), value(one)) for upstream, one in facts.upstreams.items())
        yield gauge(f"upstream_{name}", text, ("upstream",), samples)
    yield gauge(
        "upstream_age_seconds",
        "Seconds since a pull succeeded.",
        ("upstream",),
        (
            ((upstream,), (facts.now - pulled.last_success).total_seconds())
            for upstream, pulled in facts.upstreams.items()
            if pulled.last_success is not None
        ),
    )


def _licences(facts: Facts) -> Iterator[Metric]:
    yield gauge(
        "licence_days_left",
        "Days until a licence's last day; negative after it.",
        ("licence", "organisation"),
        (
            ((name, standing.licence.organisation), float(standing.days_left))
            for name, standing in facts.licences.items()
            if standing
        ),
    )
    words = (*(one.value for one in State), "unusable")
    found = {
        name: standing.state.value if standing else "unusable"
        for name, standing in facts.licences.items()
    }
    yield gauge(
        "licence_state",
        "1 for the state a licence is in.",
        ("licence", "state"),
        (((name, word), float(word == found[name])) for name in found for word in words),
    )
