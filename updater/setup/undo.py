"""Give a host its original bytes back. What somebody changed since is never silently lost."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from keys import files
from keys.errors import StateError
from updater.setup import diff, dropins
from updater.setup import journal as journals
from updater.setup.host import Absent, AnyEntry, Folder, Host, Link, Regular
from updater.setup.journal import Change, Journal
from updater.setup.layout import Layout
from updater.setup.plan import without_us

FRESHCLAM_ENABLED = "/etc/systemd/system/multi-user.target.wants/clamav-freshclam.service"
OURS = frozenset({"generations", "current"})


@dataclass(frozen=True, slots=True)
class Undo:
    """What to restore, newest change first; and which files somebody changed after us."""

    restores: tuple[Change, ...]
    conflicts: tuple[Change, ...]
    notes: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]


def plan(place: Layout, journal: Journal, now: Mapping[str, AnyEntry]) -> Undo:
    """Decide for each journalled path; ``now`` is what stands there."""
    restores, conflicts, notes = [], [], []
    for change in reversed(journal.changes):
        found = now[change.path]
        if found == change.before:
            continue
        if _is_as_left(found, change):
            restores.append(Change(change.path, found, change.before))
        elif PurePosixPath(change.path).is_relative_to(place.overlay):
            notes.append(f"{change.path}: edited since, kept")
        else:
            conflicts.append(Change(change.path, found, _merged(found, change)))
    commands = dropins.commands_after_undo(wanted=isinstance(now[FRESHCLAM_ENABLED], Link))
    return Undo(
        tuple(restores), tuple(conflicts), tuple(notes), commands if journal.changes else ()
    )


def _is_as_left(found: AnyEntry, change: Change) -> bool:
    both_folders = isinstance(found, Folder) and isinstance(change.after, Folder)
    return found == change.after or both_folders


def _merged(found: AnyEntry, change: Change) -> AnyEntry:
    return without_us(found, change) if isinstance(found, Regular) else change.before


def gather(host: Host, journal: Journal) -> dict[str, AnyEntry]:
    """Read what stands at each journalled path, and whether freshclam is enabled."""
    paths = (FRESHCLAM_ENABLED, *(change.path for change in journal.changes))
    return {path: host.read(path) for path in paths}


def make(
    host: Host, place: Layout, journal: Journal, undo: Undo, *, force: bool
) -> tuple[str, ...]:
    """Restore, and forget the journal last; return notes for the operator.

    Raises:
        StateError: files were changed since and ``force`` is not given; nothing was touched.

    """
    if undo.conflicts and not force:
        shown = "\n".join(diff.unified(change) for change in undo.conflicts)
        raise StateError(
            "changed by somebody since set-up; nothing was undone. --force would do this to "
            f"them:\n{shown}",
            hint="make the files as set-up left them, or use --undo --force (it keeps what "
            "others changed in clamd.conf and freshclam.conf)",
        )
    for folder in journal.folders():
        host.clear_leftovers(folder)
    notes = list(undo.notes)
    for change in (*undo.restores, *undo.conflicts):
        if change.path == place.folder and isinstance(change.after, Absent):
            notes.extend(_remove_generations(host, place.folder))
        host.put(change.path, change.after)
    journals.save(host, Journal())
    return tuple(notes)


def _remove_generations(host: Host, folder: str) -> tuple[str, ...]:
    """Remove what the updater keeps in the engine folder; it can be installed again."""
    foreign = {
        name
        for name in host.names(folder)
        if name not in OURS and not name.startswith(files.TEMPORARY_PREFIX)
    }
    if foreign:
        return (f"{folder}: kept, it also holds {', '.join(sorted(foreign))}",)
    try:
        files.remove_folder(host.at(folder))
    except OSError as exc:
        raise StateError(f"{folder}: {exc.strerror}") from exc
    return ()
