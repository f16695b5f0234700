"""Times as people read them: one form in every message, whoever writes it."""

from datetime import UTC, datetime


def utc(at: datetime) -> str:
    """Write a time in UTC, to the second: ``2026-03-01 08:00:00Z``."""
    try:
        return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
    except OverflowError:  # of the first or the last year there is, in another zone
        return str(at)
