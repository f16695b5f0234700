"""What follows from a licence's seats: managed hosts, merging, add-ons, flags (pure).

Seats bound only the enrolment of hosts into management. Definitions, downloads and hosts'
credentials are never limited by them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from keys.errors import LicenceError
from keys.model.licence import Kind, Licence, add_years

HOST_LIMITS = ((100, 3), (500, 4), (1_000, 5), (5_000, 10), (10_000, 15))
"""Up to this many seats, this many managed hosts."""

HOSTS_AT_MOST = 20
SMALLEST_TIER = 50
HOSTS_OF_SMALLEST_TIER = 2
ADD_ON_MINIMUM = 3
NEARLY_USED = 0.9
_KEY_FILES = (Kind.scanner, Kind.management)


@dataclass(frozen=True, slots=True)
class Holding:
    """What several licences of one organisation give for one feed together."""

    organisation: str
    seats: int
    ends_on: date


@dataclass(frozen=True, slots=True)
class Usage:
    """What is in use: seats by their metric, and managed hosts of the licence's channels."""

    seats: int = 0
    hosts: int = 0


def hosts_for(seats: int) -> int:
    """Return how many hosts may be managed with so many seats.

    Raises:
        LicenceError: no seat at all.

    """
    if seats < 1:
        raise LicenceError(f"{seats} seats: a licence has at least 1")
    if seats <= SMALLEST_TIER:
        return HOSTS_OF_SMALLEST_TIER
    return next((hosts for most, hosts in HOST_LIMITS if seats <= most), HOSTS_AT_MOST)


def host_limit(licence: Licence) -> int:
    """Return how many hosts a licence lets be managed; its issuer may override the table."""
    override = licence.host_limit_override
    return hosts_for(licence.seats) if override is None else override


def merge(licences: Iterable[Licence], feed: str) -> Holding:
    """Merge the licences in force that name a feed: seats summed, the earliest end.

    The key file for management repeats the scanner's seats, so it adds none.

    Raises:
        LicenceError: none names the feed, or they are of several organisations.

    """
    found = [one for one in licences if feed in one.feeds and one.kind is not Kind.management]
    organisations = sorted({one.organisation for one in found})
    if len(organisations) != 1:
        who = " and ".join(organisations) or "no licence"
        raise LicenceError(f"feed {feed}: licences of one organisation merge; found {who}")
    seats = sum(one.seats for one in found)
    return Holding(organisations[0], seats, min(one.last_day for one in found))


def add_on_warning(held: Licence, added: int, today: date, *, renewing: bool = False) -> str:
    """Say what is unusual about so many more seats; empty when nothing is."""
    long = add_years(today, 1) <= held.ends_on
    least = 1 if long or renewing else ADD_ON_MINIMUM
    if added >= least:
        return ""
    return f"an add-on of {added} seats; the minimum is {least} with less than a year left"


def flags(licences: Sequence[Licence], usage: Usage) -> tuple[str, ...]:
    """List what an operator should know beside the state; no flag ever stops updates."""
    counted = [one for one in licences if one.kind is not Kind.management]
    seats = sum(one.seats for one in counted)
    held = {one.kind for one in licences}
    missing = [kind for kind in _KEY_FILES if kind not in held] if held & {*_KEY_FILES} else []
    found = [f"key_file_missing({kind.value})" for kind in missing]
    if usage.hosts > managed_hosts(counted):
        found.append("over_hosts")
    if usage.seats > seats:
        found.append("over_seats")
    elif usage.seats >= seats * NEARLY_USED > 0:
        found.append("seats_nearly_used")
    if 0 < seats < SMALLEST_TIER:
        found.append("below_smallest_tier")
    return tuple(found)


def managed_hosts(licences: Sequence[Licence]) -> int:
    """Return how many hosts licences let be managed together.

    Overrides are added up; the seats of the other licences go through the table together.
    """
    overrides = sum(one.host_limit_override or 0 for one in licences)
    seats = sum(one.seats for one in licences if one.host_limit_override is None)
    return overrides + (hosts_for(seats) if seats else 0)
