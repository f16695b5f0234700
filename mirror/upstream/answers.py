"""What a vendor's answer means: pure functions of status and headers."""

import email.utils
import re
from collections.abc import Mapping
from datetime import datetime

from keys.errors import CredentialError, FetchError, LicenceEndedError, MissingError

MAX_RETRY_AFTER_SECONDS = 86400.0
_MISSING = {403, 404, 410}
_BUSY = {429, 503}
_REDIRECTS = {301, 302, 303, 307, 308}
_CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-\d{1,15}/(?:\d{1,15}|\*)")


class BusyError(FetchError):
    """The vendor asks us to come back later, after ``seconds``."""

    def __init__(self, message: str, *, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


def check(status: int, headers: Mapping[str, str], url: str) -> None:
    """Accept an answer that carries the object.

    Raises:
        CredentialError: 401.
        LicenceEndedError: 402, with the day and zone its headers name.
        MissingError: 404 and its kin.
        BusyError: 429 or 503.
        FetchError: anything else but 200 and 206.

    """
    if status in {200, 206}:
        return
    if status == 401:
        raise CredentialError(f"{url}: 401, the vendor rejected the user name or password")
    if status == 402:
        ends_on = _plain(headers.get("Licence-Ends-On", ""))
        raise LicenceEndedError(
            f"{url}: 402, the licence does not cover it" + (f" after {ends_on}" if ends_on else ""),
            ends_on=ends_on,
            tz=_plain(headers.get("Licence-Tz", "")),
        )
    if status in _MISSING:
        raise MissingError(f"{url}: {status}")
    if status in _BUSY:
        seconds = retry_after(headers.get("Retry-After", ""), headers.get("Date", ""))
        raise BusyError(f"{url}: {status}, come back in {seconds:.0f} s", seconds=seconds)
    raise FetchError(f"{url}: {status}")


def _plain(text: str) -> str:
    return text[:64] if text.isprintable() else ""


def retry_after(value: str, date: str) -> float:
    """Read a Retry-After header: seconds, or a date counted from the answer's own Date."""
    if value.isascii() and value.isdigit():
        return min(float(value), MAX_RETRY_AFTER_SECONDS)
    then, now = _instant(value), _instant(date)
    if then is None or now is None:
        return 0.0
    return min(max((then - now).total_seconds(), 0.0), MAX_RETRY_AFTER_SECONDS)


def _instant(value: str) -> datetime | None:
    try:
        return email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None


def redirect(status: int, headers: Mapping[str, str]) -> str | None:
    """Return where an answer sends us, or None when it does not."""
    return headers.get("Location", "") if status in _REDIRECTS else None


def continues(status: int, headers: Mapping[str, str], held: int) -> bool:
    """Tell whether a body goes on after the ``held`` bytes we have.

    Raises:
        FetchError: it is a part, but another one than was asked for.

    """
    if status != 206:
        return False
    found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if found is None or int(found[1]) != held:
        raise FetchError(f"asked for the bytes from {held} on, got another part")
    return True
