"""Who was told of what, in ``state/notices.json``: a restart repeats nothing."""

from datetime import datetime, timedelta

import msgspec

from keys.model.release import Instant, Wire
from mirror.notify_rules import Kind

MAX_KEPT = 10_000  # notices of one way
RETRY = timedelta(minutes=1)  # after the first failure; twice as long after each more
RETRY_AT_MOST = timedelta(hours=1)


class Told(Wire, frozen=True):
    """One notice that was told; ``gone`` is since when it is no more, until that is told, too."""

    kind: Kind
    title: str
    turn: str
    since: Instant
    at: Instant
    gone: Instant | None = None


class Failure(Wire, frozen=True):
    """A way that does not work: since when, why, and when it is tried again."""

    since: Instant
    times: int
    reason: str
    next_try: Instant

    @classmethod
    def after(cls, before: "Failure | None", reason: str, *, now: datetime) -> "Failure":
        """Count one more failure; wait longer each time."""
        times = before.times + 1 if before else 1
        wait = min(RETRY * 2 ** min(times - 1, 10), RETRY_AT_MOST)
        return cls(before.since if before else now, times, reason, now + wait)


class Way(Wire, frozen=True):
    """One address or command of a rule: what it was told, and whether it works."""

    told: dict[str, Told] = msgspec.field(default_factory=dict)
    failure: Failure | None = None

    def is_due(self, now: datetime) -> bool:
        """Tell whether it may be tried."""
        return self.failure is None or now >= self.failure.next_try


class Book(Wire, frozen=True):
    """Every way by ``rule/number``."""

    ways: dict[str, Way] = msgspec.field(default_factory=dict)
