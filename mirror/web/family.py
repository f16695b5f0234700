"""One family of Prometheus' gauges, as every one of ours is built (pure)."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

Sample: TypeAlias = tuple[Sequence[str], float]  # the labels' values, and the metric's


def gauge(name: str, text: str, labels: Sequence[str], samples: Iterable[Sample]) -> Metric:
    """Build the gauge ``sigmirror_<name>``; without samples it is still told of."""
    family = GaugeMetricFamily(f"sigmirror_{name}", text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family
