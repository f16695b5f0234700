"""What an HTTP answer means: bytes to take, or one error of the tree. Pure."""

import email.utils
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus

from keys.errors import (
    CredentialError,
    Error,
    FetchError,
    LicenceEndedError,
    MissingError,
    RefusedError,
)

MISSING = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that another try may change."""


_RENEW = "see credential_file; `sigmirror host rotate NAME` on the mirror makes another"


class BusyError(FetchError):
    """The other side asks to come again after ``retry_after`` seconds."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def failure(status: int, headers: Mapping[str, str], what: str, *, now: datetime) -> Error | None:
    """Turn an answer into the error it stands for, or None when its body is what was asked."""
    if status in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
        return None
    if status == HTTPStatus.UNAUTHORIZED:
        return CredentialError(f"{what}: HTTP 401, the mirror rejected the credential", hint=_RENEW)
    if status == HTTPStatus.PAYMENT_REQUIRED:
        return _licence_ended(headers, what)
    if status in MISSING:
        return MissingError(f"{what}: HTTP {status}, not there")
    message = f"{what}: HTTP {status}"
    if status in PASSING:
        wait = retry_after(headers.get("Retry-After", ""), now=now)
        return BusyError(message, retry_after=wait) if wait else FetchError(message)
    return RefusedError(message)


def _licence_ended(headers: Mapping[str, str], what: str) -> LicenceEndedError:
    ends_on, tz = headers.get("Licence-Ends-On", ""), headers.get("Licence-Tz", "")
    day = f"it ended on {ends_on} ({tz})" if ends_on else "the mirror names no date"
    return LicenceEndedError(f"{what}: not covered by the licence: {day}", ends_on=ends_on, tz=tz)


def retry_after(value: str, *, now: datetime) -> float:
    """Read a Retry-After header as seconds from ``now``; 0 when it says nothing usable."""
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        at = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return 0.0
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())


def range_start(headers: Mapping[str, str]) -> tuple[int, int] | None:
    """Read (first byte, whole length) from a Content-Range header; None when it is malformed."""
    unit, _, rest = headers.get("Content-Range", "").partition(" ")
    span, _, total = rest.partition("/")
    first, _, _ = span.partition("-")
    if unit != "bytes" or not (_is_number(first) and _is_number(total)):
        return None
    return int(first), int(total)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 16


def strong_etag(headers: Mapping[str, str]) -> str:
    """Return a strong entity tag, fit for If-Range (RFC 9110, 13.1.5), or nothing."""
    tag = headers.get("ETag", "")
    usable = tag.isascii() and tag.isprintable() and 2 < len(tag) < 200
    return tag if usable and tag.startswith('"') and tag.endswith('"') else ""
