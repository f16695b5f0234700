"""How often one client may come: a bucket of tokens for each, memory bounded."""

from collections import OrderedDict
from dataclasses import dataclass


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Rate:
    """``burst`` at once, then one per ``seconds``; ``now`` is a monotonic time in seconds."""

    def __init__(self, *, burst: int, seconds: float, max_clients: int) -> None:
        self._burst = burst
        self._seconds = seconds
        self._max_clients = max_clients
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait(self, client: str, *, now: float) -> float:
        """Take a token and return 0, or return the seconds until there is one."""
        bucket = self._buckets.pop(client, None) or _Bucket(self._burst, now)
        tokens = min(self._burst, bucket.tokens + (now - bucket.at) / self._seconds)
        taken = tokens >= 1
        self._buckets[client] = _Bucket(tokens - 1 if taken else tokens, now)
        if len(self._buckets) > self._max_clients:
            self._buckets.popitem(last=False)
        return 0.0 if taken else (1 - tokens) * self._seconds
