"""The licence record: who may have which feeds, from when to when, for how many seats.

Dates are calendar days in the licence's own time zone, never instants. Decoding is strict. The
text of an organisation travels byte for byte: nothing here normalises it.
"""

import unicodedata
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec

from keys.errors import Error, LicenceError
from keys.model.names import check_channel
from keys.model.release import Instant, Sequence, ShortText, Wire, encode

MAX_RECORD_BYTES = 32 << 10
MAX_FEEDS = 200
MAX_TERM_YEARS = 5
MAX_SEATS = 100_000_000
MAX_DAYS = 3650
_ONE_DAY = timedelta(days=1)
_UNSHOWABLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Seats = Annotated[int, msgspec.Meta(ge=1, le=MAX_SEATS)]
Days = Annotated[int, msgspec.Meta(ge=0, le=MAX_DAYS)]


class Kind(Enum):
    """Which key file a licence is: for scanners, for the management of hosts, or for a feed."""

    scanner = "scanner"
    management = "management"
    feed = "feed"


class SeatMetric(Enum):
    """What one seat is."""

    mailboxes = "mailboxes"
    hosts = "hosts"
    none = "none"


class Content(Enum):
    """What the licence's feeds may bring."""

    definitions = "definitions"
    programs = "programs"
    documents = "documents"


class Acceptance(Wire, frozen=True):
    """Who accepted the licence agreement, and when."""

    by: Name
    at: Instant


class Licence(Wire, frozen=True, kw_only=True):
    """One licence as its issuer signs it; its credential is kept elsewhere."""

    format: Literal[1] = 1
    id: Name
    serial: Name
    kind: Kind
    product: ShortText
    organisation: ShortText
    seats: Seats
    starts_on: date
    ends_on: date
    tz: Name
    sequence: Sequence
    issued_at: Instant
    feeds: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_FEEDS)] = ()
    content: tuple[Content, ...] = (Content.definitions, Content.programs, Content.documents)
    seat_metric: SeatMetric = SeatMetric.mailboxes
    edition: ShortText = ""
    contact_email: ShortText = ""
    username: ShortText = ""
    host_limit_override: Annotated[int, msgspec.Meta(ge=0, le=MAX_SEATS)] | None = None
    end_date_inclusive: bool = True
    renewal_window_days: Days = 90
    grace_days: Days = 0
    warn_days: Annotated[tuple[Days, ...], msgspec.Meta(max_length=20)] = (60, 30, 20, 7, 1)
    replaces: ShortText = ""
    eula_accepted: Acceptance | None = None

    def __post_init__(self) -> None:
        _check_text(self)
        _check_zone(self.tz)
        _check_term(self)
        for feed in self.feeds:
            _check_feed(feed)

    def today(self, now: datetime) -> date:
        """Tell the day it is for this licence at an instant."""
        return now.astimezone(ZoneInfo(self.tz)).date()

    @property
    def last_day(self) -> date:
        """The last day on which updates are covered."""
        inclusive = self.ends_on if self.end_date_inclusive else self.ends_on - _ONE_DAY
        return inclusive + timedelta(days=self.grace_days)

    @property
    def renewable_until(self) -> date:
        """The last day on which a renewal may be issued for this serial."""
        return self.ends_on + timedelta(days=self.renewal_window_days - 1)

    @property
    def identity(self) -> tuple[str, Kind]:
        """What a later file of the same licence has in common with this one."""
        return self.serial, self.kind


def _check_text(licence: Licence) -> None:
    for name in licence.__struct_fields__:
        value = getattr(licence, name)
        if isinstance(value, str) and any(unicodedata.category(c) in _UNSHOWABLE for c in value):
            raise ValueError(f"{name}: holds a control or invisible character")


def _check_zone(tz: str) -> None:
    try:
        ZoneInfo(tz)
    except (OSError, ValueError, KeyError) as exc:  # ZoneInfoNotFoundError is a KeyError
        raise ValueError(f"tz: no such time zone: {tz!r}") from exc


def _check_term(licence: Licence) -> None:
    if licence.ends_on < licence.starts_on:
        raise ValueError("ends_on: before starts_on")
    if licence.ends_on > add_years(licence.starts_on, MAX_TERM_YEARS):
        raise ValueError(f"ends_on: a term of more than {MAX_TERM_YEARS} years")
    if licence.grace_days >= max(licence.renewal_window_days, 1):
        raise ValueError("grace_days: not shorter than renewal_window_days")


def _check_feed(feed: str) -> None:
    try:
        check_channel(feed)
    except Error as exc:
        raise ValueError(f"feeds: {exc}") from exc


def add_years(day: date, years: int) -> date:
    """Return the same day years later; 29 February becomes 1 March where there is none."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return date(day.year + years, 3, 1)


def encode_licence(licence: Licence) -> bytes:
    """Encode a record; equal records give equal bytes."""
    return encode(licence)


def decode_licence(data: bytes, what: str) -> Licence:
    """Decode a record strictly.

    Raises:
        LicenceError: too large, not JSON, or not of this shape; the message names the field.

    """
    if len(data) > MAX_RECORD_BYTES:
        raise LicenceError(f"{what}: larger than MAX_RECORD_BYTES={MAX_RECORD_BYTES}")
    try:
        return msgspec.json.decode(data, type=Licence)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise LicenceError(f"{what}: {exc}") from exc
