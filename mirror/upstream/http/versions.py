"""What a feed's version is: read out of headers and small documents, and put in order. Pure."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

import msgspec

from keys.errors import FormatError
from keys.trust.vendor.recognise import describe

MAX_VERSION_CHARACTERS = 200
_NOT_TEXT = "\ufffd"  # what stands for bytes that could not be decoded
MAX_DOCUMENT_BYTES = 4 << 20  # of a version file or a JSON document
UNKNOWN = "unknown"

_ORDERED = re.compile(r"v?\d{1,18}(?:[.T-]\d{1,18})*Z?")
_INSTANT_FORMAT = "%Y%m%dT%H%M%SZ"
_INDEX = re.compile(r"0|[1-9]\d{0,8}")


@dataclass(frozen=True, slots=True)
class Signal:
    """What tells whether there is something new, as cheaply as the vendor allows.

    ``version`` is ``unknown`` where he says nothing; then only the files themselves tell.
    """

    version: str
    status: str
    length: int | None = None
    unchanged: bool | None = None


def from_headers(kind: str, answers: Mapping[str, Mapping[str, str]]) -> str:
    """Return the version that the headers of every file, by path, come to."""
    if kind == "last-modified" and all(modified(headers) for headers in answers.values()):
        newest = max(at for headers in answers.values() if (at := modified(headers)))
        return joined(
            newest.strftime(_INSTANT_FORMAT), (str(modified(h)) for h in answers.values())
        )
    found = [validator(headers) for headers in answers.values()]
    if not all(found):
        return UNKNOWN
    return found[0] if len(found) == 1 else joined("", found)


def validator(headers: Mapping[str, str]) -> str:
    """Return an entity tag, or else a time of change; empty where neither is told."""
    found = headers.get("ETag", "").strip() or headers.get("Last-Modified", "").strip()
    return found if found.isprintable() and len(found) <= MAX_VERSION_CHARACTERS else ""


def condition(version: str) -> dict[str, str]:
    """Return the headers that ask for a change since the version of one file."""
    if version.startswith(('"', 'W/"')):
        return {"If-None-Match": version}
    try:
        at = datetime.strptime(version, _INSTANT_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return {}
    return {"If-Modified-Since": format_datetime(at, usegmt=True)}


def modified(headers: Mapping[str, str]) -> datetime | None:
    """Return when a file changed, as its header says (UTC)."""
    try:
        return parsedate_to_datetime(headers.get("Last-Modified", "")).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def joined(first: str, parts: Iterable[str]) -> str:
    """Return one version for several files."""
    several = list(parts)
    if first and len(several) == 1:
        return first
    digest = hashlib.sha256("\n".join(several).encode()).hexdigest()[:16]
    return f"{first}~{digest}" if first else digest


def from_text(data: bytes, what: str) -> str:
    """Return the one line of a version file.

    Raises:
        FormatError: not one short line of text; the message says what it is.

    """
    lines = data.decode("utf-8", "replace").strip().splitlines()
    if len(lines) != 1:
        raise FormatError(f"{what}: not a version but {describe(data)}")
    return plain(lines[0], what)


def from_json(data: bytes, pointer: str, what: str) -> str:
    """Return the text or number a JSON pointer leads to (RFC 6901).

    Raises:
        FormatError: not JSON, nothing there, or neither text nor number.

    """
    found = look_up(document(data, what), pointer, what)
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        raise FormatError(f"{what}: {pointer}: neither text nor a number")
    return plain(str(found), f"{what}: {pointer}")


def document(data: bytes, what: str) -> object:
    """Decode JSON.

    Raises:
        FormatError: it is none; the message says what it is.

    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise FormatError(f"{what}: not JSON but {describe(data)}") from None


def look_up(value: object, pointer: str, what: str) -> object:
    """Follow a JSON pointer (RFC 6901 §4).

    Raises:
        FormatError: there is nothing.

    """
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and _INDEX.fullmatch(name) and int(name) < len(value):
            value = value[int(name)]
        else:
            raise FormatError(f"{what}: {pointer}: there is none")
    return value


def from_record(text: str, number: str, what: str) -> str:
    """Return a TXT record, or its field of this number, counted from 0 between colons.

    Raises:
        FormatError: there is no such field.

    """
    if not number:
        return plain(text, what)
    fields = text.split(":")
    if int(number) >= len(fields):
        raise FormatError(f"{what}: no field {number} in {text[:MAX_VERSION_CHARACTERS]!r}")
    return plain(fields[int(number)], what)


def plain(text: str, what: str) -> str:
    """Return a version that can be shown.

    Raises:
        FormatError: empty, too long, or with control characters or bytes that are no text.

    """
    text = text.strip()
    known = text.isprintable() and _NOT_TEXT not in text
    if not text or len(text) > MAX_VERSION_CHARACTERS or not known:
        raise FormatError(f"{what}: not a version: {text[:MAX_VERSION_CHARACTERS]!r}")
    return text


def agree(before: str, after: str) -> bool:
    """Tell whether nothing changed in between, as far as the vendor tells."""
    return before == after or UNKNOWN in {before, after}


def is_older(version: str, last: str) -> bool:
    """Tell whether a version is surely lower than the last one; only numbers and dates are."""
    here, there = version.partition("~")[0], last.partition("~")[0]
    if not (_ORDERED.fullmatch(here) and _ORDERED.fullmatch(there)):
        return False
    return _numbers(here) < _numbers(there)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))
