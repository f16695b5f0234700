"""What a vendor's answer means: pure functions of status and headers."""

import email.utils
import re
from collections.abc import Mapping
from datetime import datetime

from keys.errors import (
    CredentialError,
    Error,
    FetchError,
    FormatError,
    LicenceEndedError,
    LimitError,
    MissingError,
    RefusedError,
)

MAX_RETRY_AFTER_SECONDS = 7 * 86400.0  # a slip of the vendor's ends by itself
REFUSED_SECONDS = 86400.0  # after a 403 to somebody without a credential, as freshclam waits
BUSY_SECONDS = 4 * 3600.0  # after a 429 that names no time, as freshclam waits
BLOCKED_SECONDS = 4 * 3600.0  # after a block that is shown as a missing file or as a page
_MISSING = {403, 404, 410}
_GONE = {404, 410}
_GZIPPED = (".gz", ".tgz")
_BUSY = {429, 503}
_REDIRECTS = {301, 302, 303, 307, 308}
_STRONG_TAG = re.compile(r'"[\x21\x23-\x7e]{1,256}"')
_CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-\d{1,15}/(?:\d{1,15}|\*)")


class CutOffError(FetchError):
    """A body ended before its end; what came of it stands."""


class BusyError(FetchError):
    """The vendor asks us to come back later, after ``seconds``."""

    def __init__(self, message: str, *, seconds: float, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.seconds = seconds


class BlockPageError(FormatError):
    """A page for people came where definitions were expected; we stay away for ``seconds``."""

    default_hint = "the vendor may block this address or this credential: open the page and read it"

    def __init__(self, message: str, *, seconds: float = BLOCKED_SECONDS) -> None:
        super().__init__(message)
        self.seconds = seconds


def wait_seconds(error: Error) -> float:
    """Tell how long to stay away after an error; 0 for as long as between any two pulls."""
    return error.seconds if isinstance(error, BusyError | BlockPageError) else 0.0


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


def check_feed(
    status: int,
    headers: Mapping[str, str],
    url: str,
    *,
    credentialed: bool,
    missing_means_blocked: bool,
) -> None:
    """Accept what a plain web server answers when all is well: 200, 206 and 304.

    Raises:
        CredentialError: 401 or 403 to our credential.
        LicenceEndedError: 402.
        BusyError: 429, 503, a block, or a refusal of anonymous requests; with the time to wait.
        RefusedError: any other 4xx. FetchError: anything else.

    """
    if status in {200, 206, 304}:
        return
    if status in {401, 403}:
        raise _refused(status, url, credentialed=credentialed)
    if status == 402:
        raise LicenceEndedError(f"{url}: 402, the vendor wants to be paid")
    if status in _GONE and missing_means_blocked:
        raise BusyError(
            f"{url}: {status}, which this vendor also answers to a blocked credential or address",
            seconds=BLOCKED_SECONDS,
            hint="check the token and the address; asking more often prolongs a block",
        )
    if status in _BUSY:
        default = BUSY_SECONDS if status == 429 else 0.0
        seconds = retry_after(headers.get("Retry-After", ""), headers.get("Date", "")) or default
        raise BusyError(f"{url}: {status}, come back in {seconds:.0f} s", seconds=seconds)
    if 400 <= status < 500:
        raise RefusedError(f"{url}: {status}", hint="check url, names and version_at")
    raise FetchError(f"{url}: {status}")


def _refused(status: int, url: str, *, credentialed: bool) -> CredentialError | BusyError:
    if credentialed:
        return CredentialError(
            f"{url}: {status}, the vendor rejects the credential",
            hint="check the credential's file, then run `sigmirror pull` naming this upstream",
        )
    return BusyError(
        f"{url}: {status}, the vendor refuses us; no credential is configured",
        seconds=REFUSED_SECONDS,
        hint="set auth if the feed wants a credential; asking more often prolongs a block",
    )


def check_encoding(headers: Mapping[str, str], url: str) -> None:
    """Accept a body in no content encoding; gzip counts as none where the file itself is one.

    Raises:
        RefusedError: encoded, though we said that we take it as it is.

    """
    encoding = headers.get("Content-Encoding", "").strip().lower()
    if encoding in {"", "identity"}:
        return
    if encoding in {"gzip", "x-gzip"} and url.lower().endswith(_GZIPPED):
        return
    raise RefusedError(f"{url}: sent as {_plain(encoding)!r}, though only identity is accepted")


def check_length(headers: Mapping[str, str], url: str, max_bytes: int, limit: str) -> None:
    """Accept a body whose stated length, if there is one, is within the limit of this name.

    Raises:
        LimitError: it is longer.

    """
    length = stated_length(headers)
    if length is not None and length > max_bytes:
        raise LimitError(f"{url}: {length} bytes, more than {limit}={max_bytes}")


def stated_length(headers: Mapping[str, str]) -> int | None:
    """Return the length a header states, if one does."""
    text = headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


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


def rest(headers: Mapping[str, str], held: int) -> dict[str, str]:
    """Return the headers that ask for what lacks of a body; none where nothing vouches for it.

    A weak ETag does not: the bytes may differ. RFC 9110, sections 8.8.1 and 13.1.5.
    """
    tag = headers.get("ETag", "").strip()
    if not held or not _STRONG_TAG.fullmatch(tag):
        return {}
    return {"Range": f"bytes={held}-", "If-Range": tag}


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
