"""Reports that wait for a mirror, on disk: numbered, bounded, oldest first."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import msgspec

from keys import files
from keys.errors import StateError
from keys.model.release import Instant, Wire
from keys.model.report import HostReport
from updater import state

MAX_WAITING = 500
SERIES_BYTES = 8


class Series(Wire, frozen=True):
    """What is remembered between reports.

    ``told`` is the last history line, by engine, that a mirror has (its chain value). Nothing is
    sent before ``quiet_until``; ``note`` says why, or what the last attempt met.
    """

    series: str
    number: int = 0
    told: dict[str, str] = msgspec.field(default_factory=dict)
    told_at: Instant | None = None
    quiet_until: Instant | None = None
    note: str = ""


class Outbox:
    """The folder ``outbox`` of a host's state; call it under the host's lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._series = folder / "series.json"

    def series(self) -> Series:
        """Return what is remembered; a new series where nothing is.

        Raises:
            StateError: it cannot be read.

        """
        return state.read(self._series, Series, Series(secrets.token_hex(SERIES_BYTES)))

    def remember(self, series: Series) -> Series:
        """Make it durable and return it.

        Raises:
            StateError: the disk refuses.

        """
        self._prepare()
        state.write(self._series, series)
        return series

    def put(self, report: HostReport) -> HostReport:
        """Let a report wait, numbered; the oldest go when more than ``MAX_WAITING`` do.

        Raises:
            StateError: the disk refuses.

        """
        series = self.series()
        numbered = msgspec.structs.replace(report, series=series.series, number=series.number + 1)
        self.remember(msgspec.structs.replace(series, number=numbered.number))
        state.write(self._place(numbered.number), numbered)
        for number in self.waiting()[:-MAX_WAITING]:
            self.drop(number)
        return numbered

    def waiting(self) -> list[int]:
        """List the numbers of the reports that wait, oldest first."""
        return sorted(_numbers(self.folder))

    def read(self, number: int) -> HostReport | None:
        """Return a waiting report; None when it cannot be read."""
        try:
            with self._place(number).open("rb") as file:
                return msgspec.json.decode(file.read(state.MAX_STATE_BYTES), type=HostReport)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def drop(self, number: int) -> None:
        """Let a report wait no longer."""
        try:
            self._place(number).unlink(missing_ok=True)
        except OSError as exc:
            raise StateError(f"{self._place(number)}: {exc.strerror or exc}") from exc

    def _place(self, number: int) -> Path:
        return self.folder / f"{number:012}.json"

    def _prepare(self) -> None:
        try:
            files.make_folder(self.folder)
        except OSError as exc:
            raise StateError(f"{self.folder}: {exc.strerror or exc}") from exc


def _numbers(folder: Path) -> Iterator[int]:
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError:
        return
    for name in names:
        stem, _, suffix = name.partition(".")
        if suffix == "json" and stem.isdecimal():
            yield int(stem)
