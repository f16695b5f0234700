"""What this host knows about time: a floor under its own clock, and when trust runs out.

The floor is the latest time that a trusted key has signed. It never rises from the host's own
clock, so a clock that once ran ahead leaves no trace; and a signed time counts only while it is
earlier than the expiry of every role in force, so no online key can push it past the root's.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from keys import files
from keys.errors import StateError
from keys.model.instant import utc

MAX_CLOCK_BYTES = 1 << 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Reference(msgspec.Struct, frozen=True):
    """The time that expiry is measured against: the later of clock and floor."""

    now: datetime
    floor: datetime

    @property
    def time(self) -> datetime:
        """The reference time."""
        return max(self.now, self.floor)

    def __str__(self) -> str:
        if self.now >= self.floor:
            return f"it is {utc(self.now)} by this host's clock"
        return (
            f"it is at least {utc(self.floor)} by the newest signed time seen "
            f"(this host's clock says {utc(self.now)})"
        )


class Known(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is remembered between runs.

    ``expiries`` holds every role in use. ``settled`` is the sha256 of the timestamp.json up to
    which everything was read and acted upon; empty while something is still to be read.
    """

    floor: datetime = _EPOCH
    expiries: Mapping[str, datetime] = {}
    root_version: int = 0
    settled: str = ""

    @property
    def earliest_expiry(self) -> datetime:
        """When the first of the roles in use expires."""
        return min(self.expiries.values(), default=_EPOCH)

    def reference(self, now: datetime) -> Reference:
        """Build the reference time for a clock that says ``now``."""
        return Reference(now, self.floor)

    def witnessing(self, signed_at: datetime) -> "Known":
        """Raise the floor to a time a trusted key has signed, while every role outlives it."""
        if not self.floor < signed_at < self.earliest_expiry:
            return self
        return msgspec.structs.replace(self, floor=signed_at)


class Clock:
    """What is known about time, in one file that is replaced in one step."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def known(self) -> Known:
        """Read what is known; a host's first run knows nothing.

        Raises:
            StateError: the file cannot be read or is not ours.

        """
        try:
            with self._path.open("rb") as file:
                data = file.read(MAX_CLOCK_BYTES)
            return msgspec.json.decode(data, type=Known)
        except FileNotFoundError:
            return Known()
        except (OSError, msgspec.DecodeError) as exc:
            raise StateError(
                f"{self._path}: {exc}",
                hint="remove the file: the next refresh writes it anew, from signed times",
            ) from exc

    def refreshed(self, known: Known) -> None:
        """Take the outcome of a refresh; its ``floor`` never lowers the one there is."""
        self._write(msgspec.structs.replace(known, floor=max(known.floor, self.known().floor)))

    def loaded(self, role: str, expires: datetime) -> None:
        """Note that a delegated role is in use, and when it expires."""
        known = self.known()
        self._write(msgspec.structs.replace(known, expiries={**known.expiries, role: expires}))

    def witness(self, signed_at: datetime) -> None:
        """Raise the floor to a time a trusted key has signed."""
        self._write(self.known().witnessing(signed_at))

    def settle(self, timestamp_sha256: str) -> None:
        """Note that all was acted upon, up to the timestamp with this digest."""
        self._write(msgspec.structs.replace(self.known(), settled=timestamp_sha256))

    def _write(self, known: Known) -> None:
        if known == self.known():
            return
        try:
            files.make_folder(self._path.parent)
            files.write(self._path, msgspec.json.encode(known, order="deterministic"))
        except OSError as exc:
            raise StateError(f"{self._path}: {exc.strerror or exc}") from exc
