"""Give a host its original bytes back. What somebody changed since is never silently lost."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from keys import files
from keys.errors import StateError
from updater.setup import diff, dropins, layout, units
from updater.setup import journal as journals
from updater.setup.host import Absent, AnyEntry, Folder, Host, Link, Regular
from updater.setup.journal import Change, Journal
from updater.setup.layout import Layout
from updater.setup.plan import without_us

FRESHCLAM_ENABLED = "/etc/systemd/system/multi-user.target.wants/clamav-freshclam.service"
OURS = frozenset({"generations", "current"})


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands at each journalled path; ``homeless`` are those nobody has a use for any more.

    Their folder is gone, or the package whose settings they were.
    """

    entries: Mapping[str, AnyEntry]
    homeless: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Undo:
    """What to restore, newest change first; and which files somebody changed after us."""

    restores: tuple[Change, ...]
    conflicts: tuple[Change, ...]
    notes: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Done:
    """What was restored, and what the operator should know of the rest."""

    changes: tuple[Change, ...]
    notes: tuple[str, ...]


def plan(place: Layout, journal: Journal, now: Standing) -> Undo:
    """Decide for each journalled path."""
    restores, conflicts, notes = [], [], []
    for change in reversed(journal.changes):
        found = now.entries[change.path]
        if found == change.before:
            continue
        if isinstance(found, Absent) and change.path in now.homeless:
            notes.append(f"{change.path}: gone with what it belonged to, left so")
        elif _is_as_left(found, change):
            restores.append(Change(change.path, found, change.before))
        elif PurePosixPath(change.path).is_relative_to(place.overlay):
            notes.append(f"{change.path}: edited since, kept")
        else:
            conflicts.append(Change(change.path, found, _merged(found, change)))
    wanted = isinstance(now.entries[FRESHCLAM_ENABLED], Link)
    commands = dropins.commands_after_undo(wanted=wanted) if journal.changes else ()
    return Undo(tuple(restores), tuple(conflicts), tuple(notes), commands)


def _is_as_left(found: AnyEntry, change: Change) -> bool:
    both_folders = isinstance(found, Folder) and isinstance(change.after, Folder)
    return found == change.after or both_folders


def _merged(found: AnyEntry, change: Change) -> AnyEntry:
    return without_us(found, change) if isinstance(found, Regular) else change.before


def gather(host: Host, place: Layout, journal: Journal) -> Standing:
    """Read what stands at each journalled path, and whether freshclam is enabled."""
    paths = (FRESHCLAM_ENABLED, *(change.path for change in journal.changes))
    return Standing({path: host.read(path) for path in paths}, _homeless(host, place, paths))


def _homeless(host: Host, place: Layout, paths: tuple[str, ...]) -> frozenset[str]:
    owners = {
        place.clamd_config: layout.ENGINE_UNITS[0],
        layout.FRESHCLAM_CONFIG: layout.FRESHCLAM_UNITS[0],
    }
    unowned = {path for path, unit in owners.items() if not units.fragments(host, unit)[0]}
    lost = {path for path in paths if isinstance(host.read(path.rpartition("/")[0]), Absent)}
    return frozenset(unowned | lost)


def make(
    host: Host, place: Layout, journal: Journal, undo: Undo, *, force: bool, purge: bool
) -> Done:
    """Restore, and forget the journal last; tell what was done.

    With ``purge`` the updater's state goes, too, where set-up made its folder.

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
    done, notes = [], list(undo.notes)
    for change in (*undo.restores, *undo.conflicts):
        if isinstance(change.after, Absent):
            notes.extend(_emptied(host, place, change.path, purge=purge))
        host.put(change.path, change.after)
        if host.read(change.path) != change.before:
            done.append(change)
    journals.save(host, Journal())
    return Done(tuple(done), tuple(notes))


def _emptied(host: Host, place: Layout, path: str, *, purge: bool) -> Iterator[str]:
    """Empty a folder of what is the updater's own; say what keeps one that stays."""
    if not isinstance(host.read(path), Folder):
        return
    names = [n for n in host.names(path) if not n.startswith(files.TEMPORARY_PREFIX)]
    if path == place.folder:
        foreign = sorted(set(names) - OURS)
    else:
        foreign = [] if path == place.state and purge else names
    if foreign:
        more = " and more" if foreign[4:] else ""
        hint = "; --purge removes it" if path == place.state else ""
        yield f"{path}: kept, it also holds {', '.join(foreign[:4])}{more}{hint}"
    elif path in {place.folder, place.state}:
        _remove(host, path)


def _remove(host: Host, folder: str) -> None:
    try:
        files.remove_folder(host.at(folder))
    except OSError as exc:
        raise StateError(f"{folder}: {exc.strerror}") from exc
