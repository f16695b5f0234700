"""One look at a plain host: its disk, its clamd, and whether the two agree."""

from dataclasses import dataclass
from datetime import UTC, datetime

from updater.plain import comparison, disk, marked, running
from updater.plain.comparison import Comparison, Setting
from updater.plain.disk import Folder
from updater.plain.place import PlainClamd
from updater.plain.running import Running
from updater.prove import Proof


@dataclass(frozen=True, slots=True)
class Look:
    """Everything that was seen; ``proof`` is None where no marker was asked for."""

    place: PlainClamd
    folder: Folder
    running: Running
    comparison: Comparison
    proof: Proof | None = None


def look(place: PlainClamd, *, with_marker: bool = False) -> Look:
    """Look, and change nothing; ``with_marker`` puts one into clamd's folder and reloads it twice.

    Raises:
        StateError, LimitError: the folder cannot be read, or the marker not be written.
        UsageError: the marker would prove nothing, or harm.

    """
    folder = disk.read(place.databases)
    found = running.ask(place, folder.databases, scans=not place.runs_command)
    seen = comparison.compare(folder, found, _setting(place))
    if not with_marker or found.problem:
        return Look(place, folder, found, seen)
    proof = marked.prove(place)
    if proof.holds:
        found = running.ask(place, folder.databases, scans=not place.runs_command)
        seen = comparison.after_load(comparison.compare(folder, found, _setting(place)))
    return Look(place, folder, found, seen, proof)


def _setting(place: PlainClamd) -> Setting:
    config = place.config
    changed = datetime.fromtimestamp(config.stat().st_mtime, tz=UTC) if config else None
    return Setting(place.official_only, place.runs_command, changed)
