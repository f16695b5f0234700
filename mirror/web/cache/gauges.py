"""What Prometheus is shown of the store and of the disk before it (pure)."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric

from mirror.web.family import gauge


@dataclass(frozen=True, slots=True)
class CacheFacts:
    """What is known of the disk; ``requests`` for blobs are by what became of them."""

    held_bytes: int
    max_bytes: int
    refuses: bool
    evicted: int
    requests: Mapping[str, int]


_GAUGES: tuple[tuple[str, str, Callable[[CacheFacts], float]], ...] = (
    ("cache_bytes", "Bytes of blobs on the cache's disk.", lambda cache: float(cache.held_bytes)),
    ("cache_max_bytes", "Bytes of blobs there may be.", lambda cache: float(cache.max_bytes)),
    (
        "cache_refuses",
        "1 while the disk takes nothing and blobs go through.",
        lambda cache: float(cache.refuses),
    ),
)


def cache_gauges(cache: CacheFacts | None, reachable: Mapping[str, bool]) -> Iterator[Metric]:
    """Show all of it; without a disk of our own there are no samples of one."""
    yield gauge(
        "store_reachable",
        "1 while the store answers.",
        ("repository",),
        (((name,), float(found)) for name, found in reachable.items()),
    )
    for name, text, value in _GAUGES:
        yield gauge(name, text, (), [((), value(cache))] if cache else [])
    requests = CounterMetricFamily(
        "sigmirror_cache_requests", "Requests for blobs by what became of them.", labels=["outcome"]
    )
    evicted = CounterMetricFamily("sigmirror_cache_evicted", "Blobs evicted to make room.")
    if cache:
        evicted.add_metric([], cache.evicted)
        for outcome, count in cache.requests.items():
            requests.add_metric([outcome], count)
    yield from (requests, evicted)
