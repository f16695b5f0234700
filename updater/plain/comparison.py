"""Does clamd run what lies on disk? Decided from what was seen, and nothing clamd says of itself.

One thing clamd says is used: the version of the database ``daily`` it holds in memory. All else is
shown by scans, or by time: a file that was not touched since clamd started is what it loaded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from updater.plain.disk import RULES, Database, Folder
from updater.plain.running import Running, Seen

CLOCK_STEP = timedelta(seconds=2)  # of the kernel's time of boot, rounded up


class Runs(Enum):
    """What is known of one file."""

    same = "same"
    differs = "differs"
    unknown = "unknown"
    left_out = "left out"


class Outcome(Enum):
    """What is known of the host."""

    same = "same"
    differs = "differs"
    unknown = "unknown"
    down = "down"
    refused = "refused"


@dataclass(frozen=True, slots=True)
class Line:
    """One file, and what is known of it."""

    database: Database
    runs: Runs
    why: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that was found."""

    outcome: Outcome
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Setting:
    """What of clamd's own settings counts for the comparison."""

    official_only: bool
    runs_command: bool
    changed: datetime | None  # clamd.conf itself


def compare(folder: Folder, running: Running, setting: Setting) -> Comparison:
    """Compare a folder with a running clamd."""
    since = _since(running, setting)
    lines = tuple(_line(one, running, setting, since) for one in folder.databases)
    notes = tuple(_notes(folder, running, setting, since))
    return Comparison(_outcome(lines, running), lines, notes)


def after_load(comparison: Comparison) -> Comparison:
    """Tell what is known once a marker showed that the whole folder was loaded just now."""
    lines = tuple(_loaded(line) for line in comparison.lines)
    return Comparison(_outcome(lines, Running()), lines)


def _loaded(line: Line) -> Line:
    if line.runs is Runs.left_out or line.database.form in RULES:
        return line
    return Line(line.database, Runs.same, "in the folder that was loaded just now, marker found")


def _since(running: Running, setting: Setting) -> datetime | None:
    """Return the time before which a file must have been changed last to be what was loaded."""
    if running.started is None or (setting.changed and setting.changed >= running.started):
        return None
    return running.started - CLOCK_STEP


def _line(one: Database, running: Running, setting: Setting, since: datetime | None) -> Line:
    if setting.official_only and not one.signed_by:
        return Line(one, Runs.left_out, "OfficialDatabaseOnly: clamd loads no such file")
    if running.problem:
        return Line(one, Runs.unknown, "clamd does not answer")
    if one.name.startswith("daily.") and one.version and one.version != running.daily:
        said = f"version {running.daily}" if running.daily else "no such database"
        return Line(one, Runs.differs, f"clamd runs {said}")
    return _shown(one, running.seen.get(one.name, Seen()), since, running.daily)


def _shown(one: Database, seen: Seen, since: datetime | None, daily: int) -> Line:
    """Take the first that applies, the strongest first."""
    untouched = since is not None and one.changed < since
    skippable = one.form in RULES
    newest = one.name.startswith("daily.") and 0 < one.version == daily
    rules = (
        (seen.missed and untouched, Runs.unknown, f"{seen.missed} was there at its start: missed"),
        (seen.missed, Runs.differs, f"{seen.missed} is in it, and clamd does not find it"),
        (untouched and not skippable, Runs.same, "not touched since clamd started"),
        (seen.found, Runs.same, f"{seen.found} is in it, and clamd finds it"),
        (newest, Runs.same, "the version clamd says it holds"),
        (skippable, Runs.unknown, "clamd skips a broken rule without a word"),
        (seen.hidden, Runs.unknown, f"another definition hides {seen.hidden}"),
        (True, Runs.unknown, "touched since clamd started, and nothing in it can be tried"),
    )  # fmt: skip
    runs, why = next((runs, why) for applies, runs, why in rules if applies)
    return Line(one, runs, why)


def _outcome(lines: tuple[Line, ...], running: Running) -> Outcome:
    found = {line.runs for line in lines}
    if any(line.database.refused for line in lines):
        return Outcome.refused
    if running.problem:
        return Outcome.down
    if Runs.differs in found:
        return Outcome.differs
    return Outcome.unknown if Runs.unknown in found or Runs.same not in found else Outcome.same


def _notes(
    folder: Folder, running: Running, setting: Setting, since: datetime | None
) -> Iterator[str]:
    if running.problem:
        yield running.problem
        return
    if running.started is None:
        yield "since when clamd runs cannot be known here: only scans and versions count"
    elif since is None:
        yield "clamd's settings changed since it started: only scans and versions count"
    elif folder.changed >= since:
        yield "files came or went since clamd started: one that went may still run"
    if setting.runs_command:
        yield "VirusEvent runs a command at each detection: nothing was scanned"
    if not folder.databases:
        yield f"{folder.path}: no database in it"
