"""Times as people read them: one form in every message, whoever writes it."""

from datetime import UTC, datetime


def utc(at: datetime) -> str:
    """Write a time in UTC, to the second: ``2026-03-01 08:00:00Z``."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
