"""Where each licence of the site stands, what is in use of it, and what that asks for."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from keys.errors import Error
from keys.model.licence import Kind, Licence
from keys.model.seats import flags, managed_hosts
from keys.model.standing import LicenceState
from mirror.fleet.roster import HostRow
from mirror.fleet.usage import usage
from mirror.licences import dates_of
from mirror.settings import LicenceSettings, Settings


class LicenceStatus(msgspec.Struct, frozen=True):
    """One licence of the site's own.

    ``hosts`` and ``seats_used`` are in use, by what hosts report, of it and the other licences of
    its organisation together; ``host_limit`` and ``seats`` are what these give, 0 where nobody
    says.
    """

    name: str
    state: str
    organisation: str = ""
    ends_on: str = ""
    tz: str = ""
    days_left: int = 0
    dates: str = ""
    flags: tuple[str, ...] = ()
    hosts: int = 0
    host_limit: int = 0
    seats_used: int = 0
    seats: int = 0


def licence_statuses(
    settings: Settings,
    standings: Mapping[str, LicenceState | Error],
    fleet: Sequence[HostRow] = (),
) -> list[LicenceStatus]:
    """Describe where each licence stands, with the flags of its organisation's licences."""
    usable = {name: one.licence for name, one in standings.items() if isinstance(one, LicenceState)}
    return [_licence(one, standings[one.name], usable, settings, fleet) for one in settings.licence]


def _licence(
    settings: LicenceSettings, found: LicenceState | Error, usable: Mapping[str, Licence],
    site: Settings, fleet: Sequence[HostRow],
) -> LicenceStatus:  # fmt: skip
    name, dates = settings.name, dates_of(settings)
    if isinstance(found, Error):
        return LicenceStatus(name, f"unusable: {found}", dates=dates)
    licence, together = found.licence, _together(settings, found.licence, usable)
    used = usage(fleet, site.upstream, together or {name})
    counted = [one for one in together.values() if one.kind is not Kind.management]
    return LicenceStatus(
        name,
        found.state.value,
        licence.organisation,
        found.ends_on.isoformat(),
        licence.tz,
        found.days_left,
        dates,
        flags(list(together.values()), used) if together else (),
        used.hosts,
        managed_hosts(counted),
        used.seats,
        sum(one.seats for one in counted),
    )


def _together(
    settings: LicenceSettings, licence: Licence, usable: Mapping[str, Licence]
) -> Mapping[str, Licence]:
    """List the licences that count together: its organisation's.

    What was typed names no organisation and counts alone; without seats nothing bounds it.
    """
    if licence.organisation:
        return {
            name: one for name, one in usable.items() if one.organisation == licence.organisation
        }
    return {settings.name: licence} if settings.seats else {}


def licence_troubles(licence: LicenceStatus) -> Iterator[str]:
    """Say what an operator has to do about a licence; no use of it ever stops a download."""
    name = licence.name
    if licence.state == "expiring":
        yield f"licence {name}: ends on {licence.ends_on}, {licence.days_left} days left"
    elif licence.state != "active":
        yield f"licence {name}: {licence.state} (end {licence.ends_on or 'unknown'})"
    if "over_hosts" in licence.flags:
        yield f"licence {name}: over_hosts {licence.hosts}/{licence.host_limit}; downloads go on"
    if "over_seats" in licence.flags:
        yield f"licence {name}: over_seats {licence.seats_used}/{licence.seats}; updates go on"
