"""Where this site's own licences stand: records made of what the operator typed."""

from datetime import UTC, date, datetime, time

from keys.errors import LicenceError
from keys.model.licence import Kind, Licence
from keys.model.standing import LicenceState, state_at
from mirror.settings import LicenceSettings


def standing(settings: LicenceSettings, now: datetime) -> LicenceState:
    """Tell where a licence stands.

    Raises:
        LicenceError: its dates make no licence.

    """
    return state_at([_typed(settings)], now)


def _typed(settings: LicenceSettings) -> Licence:
    """Make a record of the dates and seats in the settings."""
    try:
        starts_on = date.fromisoformat(settings.starts_on)
        return Licence(
            id=settings.name,
            serial=settings.name,
            kind=Kind.feed,
            product="",
            organisation="",
            seats=max(settings.seats, 1),
            starts_on=starts_on,
            ends_on=date.fromisoformat(settings.ends_on),
            tz=settings.tz or "UTC",
            sequence=1,
            issued_at=datetime.combine(starts_on, time(), UTC),
        )
    except ValueError as exc:
        raise LicenceError(f"licence {settings.name}: {exc}") from exc
