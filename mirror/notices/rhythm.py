"""How often an upstream usually brings something, and whether it is silent for longer (pure)."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

MIN_CHANGES = 5  # before them nothing is usual
MAX_CHANGES = 100  # the newest ones count
FACTOR = 2
AT_LEAST = timedelta(days=1)


def silent_since(changes: Sequence[datetime], now: datetime) -> datetime | None:
    """Tell since when nothing came, where that is twice the longest pause so far, and a day."""
    known = sorted(changes)[-MAX_CHANGES:]
    if len(known) < MIN_CHANGES:
        return None
    longest = max(later - earlier for earlier, later in pairwise(known))
    return known[-1] if now - known[-1] > max(FACTOR * longest, AT_LEAST) else None
