"""Where this site's own licences stand: by their signed files, or by what the operator typed.

With ``issuer`` a licence's file is verified at each reading, and the files that were in force are
kept below ``state/licences``. Without, the file is opaque and its dates are those in the settings.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from keys import files
from keys.errors import LicenceError, SettingsError, StateError
from keys.licences import LicenceStore
from keys.model.licence import Kind, Licence
from keys.model.standing import LicenceState, reference_time, state_at
from keys.trust.licence import Issuers, read_file
from mirror.settings import LicenceSettings, Settings

TYPED = "typed by operator"
SIGNED = "signed by the issuer"
_NEVER_SIGNED = datetime(1970, 1, 1, tzinfo=UTC)  # what is typed proves no time
_SIGNED_MODE = 0o644  # holds no secret
_OPAQUE_MODE = 0o600  # may hold a password; the mirror never reads it


@dataclass(frozen=True, slots=True)
class Licences:
    """The licences of one mirror; ``folder`` keeps the files that were in force."""

    folder: Path

    @classmethod
    def of(cls, settings: Settings) -> "Licences":
        """Open those of the mirror these settings describe."""
        return cls(settings.folder / "state" / "licences")

    def standing(self, settings: LicenceSettings, now: datetime) -> LicenceState:
        """Tell where a licence stands; the clock cannot be behind what its issuer signed.

        Raises:
            LicenceError: as ``records``.

        """
        records = self.records(settings)
        return state_at(records, reference_time(now, records))

    def follow(self, settings: LicenceSettings, now: datetime) -> LicenceState:
        """Tell the same, and keep the file as ``remember`` does.

        Raises:
            LicenceError: as ``records``.
            StateError: as ``remember``.

        """
        records = self.remember(settings)
        return state_at(records, reference_time(now, records))

    def records(self, settings: LicenceSettings) -> tuple[Licence, ...]:
        """Return what is held of a licence together with its file; writes nothing.

        Raises:
            LicenceError: the file is missing, edited, forged, or older than one held, the
                issuer's key is unusable, or the typed dates make no licence.
            StateError: what is held cannot be read.

        """
        if not settings.issuer:
            return (_typed(settings),)
        data, issuers = read_file(Path(settings.file)), _issuers(settings)
        return self._store(settings).with_file(data, issuers, settings.file)

    def remember(self, settings: LicenceSettings) -> tuple[Licence, ...]:
        """Return the same, and keep the file: no older one counts from now on.

        Raises:
            LicenceError: as ``records``.
            StateError: it cannot be kept.

        """
        if not settings.issuer:
            return self.records(settings)
        data, issuers = read_file(Path(settings.file)), _issuers(settings)
        return self._store(settings).admit(data, issuers, settings.file)

    def replace(self, settings: LicenceSettings, source: Path) -> tuple[Licence, ...]:
        """Put another file in the place of a licence's file; the credential is not touched.

        Raises:
            LicenceError: as ``records``; nothing was changed.
            StateError: it cannot be written.

        """
        data, place, store = read_file(source), Path(settings.file), self._store(settings)
        if settings.issuer:
            store.with_file(data, _issuers(settings), str(source))
        try:
            if place.exists() and not settings.issuer:
                store.admit_opaque(read_file(place))
            files.write(place, data, mode=_SIGNED_MODE if settings.issuer else _OPAQUE_MODE)
        except OSError as exc:
            raise StateError(f"{place}: {exc.strerror or exc}") from exc
        return self.remember(settings)

    def _store(self, settings: LicenceSettings) -> LicenceStore:
        return LicenceStore(self.folder / settings.name)


def dates_of(settings: LicenceSettings) -> str:
    """Tell who vouches for a licence's dates."""
    return SIGNED if settings.issuer else TYPED


def _issuers(settings: LicenceSettings) -> Issuers:
    try:
        return Issuers.read(Path(settings.issuer))
    except SettingsError as exc:
        raise LicenceError(f"licence {settings.name}: issuer: {exc}") from exc


def _typed(settings: LicenceSettings) -> Licence:
    """Make a record of the dates and seats in the settings."""
    try:
        return Licence(
            id=settings.name,
            serial=settings.name,
            kind=Kind.feed,
            product="",
            organisation="",
            seats=max(settings.seats, 1),
            starts_on=date.fromisoformat(settings.starts_on),
            ends_on=date.fromisoformat(settings.ends_on),
            tz=settings.tz or "UTC",
            sequence=1,
            issued_at=_NEVER_SIGNED,
        )
    except ValueError as exc:
        raise LicenceError(
            f"licence {settings.name}: {exc}",
            hint="type starts_on and ends_on, or name the issuer's public key as `issuer`",
        ) from exc
