"""Which changes make a Debian host's clamd read our generations. Values in, values out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import msgspec

from updater.engines.clamd_config import ClamdConfig
from updater.setup import directives, dropins, layout
from updater.setup.facts import Facts
from updater.setup.host import Absent, AnyEntry, Folder, Link, Regular
from updater.setup.journal import Change
from updater.setup.layout import Layout

CLAMD_KEYS = ("DatabaseDirectory", "ConcurrentDatabaseReload", "OfficialDatabaseOnly")
FRESHCLAM_KEYS = ("NotifyClamd",)


@dataclass(frozen=True, slots=True)
class Plan:
    """Changes in the order they are made, and what the operator should know."""

    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()
    current_exists: bool = False
    commands: tuple[tuple[str, ...], ...] = ()


def plan(place: Layout, facts: Facts) -> Plan:
    """List what has to change; nothing where the host is as it should be already."""
    wanted = {
        **_folders(place, facts),
        **_overlay(place, facts),
        **_units(place, facts),
        **_configurations(place, facts),
    }
    changes = tuple(
        Change(path, _before(path, facts), after)
        for path, after in wanted.items()
        if facts.entry(path) != after
    )
    return Plan(
        changes,
        notes=tuple(_notes(place, facts)),
        current_exists=not isinstance(facts.entry(place.current), Absent),
        commands=dropins.commands_after(changed=bool(changes)),
    )


def _folders(place: Layout, facts: Facts) -> dict[str, AnyEntry]:
    """Want each missing folder above a file of ours, and the updater's folders as his own."""
    targets = [*dropins.paths(), *dropins.masks(), place.folder, place.state, f"{place.overlay}/x"]
    parents = {str(parent) for path in targets for parent in PurePosixPath(path).parents}
    wanted: dict[str, AnyEntry] = {
        path: facts.folder() for path in sorted(parents) if isinstance(facts.entry(path), Absent)
    }
    own = Folder(0o755, facts.user.uid, facts.user.gid)
    if isinstance(facts.entry(place.state), Absent):
        wanted[place.state] = own
    return {**wanted, place.folder: own}


def _overlay(place: Layout, facts: Facts) -> dict[str, AnyEntry]:
    """Want a copy of each of the admin's own definitions, once: later edits of it are his."""
    return {
        f"{place.overlay}/{name}": facts.file(entry.data)
        for name, entry in facts.definitions.items()
        if isinstance(entry, Regular)
        and isinstance(facts.entry(f"{place.overlay}/{name}"), Absent)
        and facts.journal.of(f"{place.overlay}/{name}") is None
    }


def _units(place: Layout, facts: Facts) -> dict[str, AnyEntry]:
    wanted: dict[str, AnyEntry] = {path: Link("/dev/null") for path in dropins.masks()}
    for path, text in dropins.texts(place).items():
        wanted[path] = facts.file(text.encode())
    if isinstance(facts.entry(layout.FRESHCLAM_CRON), Regular):
        wanted[layout.FRESHCLAM_CRON] = Absent()
    return wanted


def _configurations(place: Layout, facts: Facts) -> dict[str, AnyEntry]:
    edits: dict[str, Callable[[str], str]] = {
        place.clamd_config: lambda text: _edited_clamd(text, place.current),
        layout.FRESHCLAM_CONFIG: lambda text: directives.without(text, "NotifyClamd"),
    }
    return {
        path: entry.with_text(edit(entry.text()))
        for path, edit in edits.items()
        if isinstance(entry := facts.entry(path), Regular)
    }


def _edited_clamd(text: str, current: str) -> str:
    """Point clamd at our generations, and undo what would keep a reload from being proven."""
    text = directives.with_value(text, "DatabaseDirectory", current)
    config = ClamdConfig.parse(text)
    if not config.flag("ConcurrentDatabaseReload", default=True):
        text = directives.with_value(text, "ConcurrentDatabaseReload", "yes")
    if config.flag("OfficialDatabaseOnly", default=False):
        text = directives.with_value(text, "OfficialDatabaseOnly", "no")
    return text


def _before(path: str, facts: Facts) -> AnyEntry:
    """Say what would stand at a path without us, also where we changed it once already."""
    now, earlier = facts.entry(path), facts.journal.of(path)
    if earlier is None:
        return now
    if not isinstance(now, Regular):
        return earlier.before
    return without_us(now, earlier)


def without_us(now: Regular, earlier: Change) -> AnyEntry:
    """Take our lines out of a file that was edited since, or return what was there before us."""
    if not isinstance(earlier.before, Regular) or not isinstance(earlier.after, Regular):
        return earlier.before
    keys = (*CLAMD_KEYS, *FRESHCLAM_KEYS)
    text = directives.carried_back(
        now.text(), written=earlier.after.text(), original=earlier.before.text(), keys=keys
    )
    return msgspec.structs.replace(earlier.before, data=now.with_text(text).data)


def _notes(place: Layout, facts: Facts) -> Iterator[str]:
    for name, entry in facts.definitions.items():
        if not isinstance(entry, Regular):
            yield (
                f"{layout.DATABASES}/{name}: not a plain file of moderate size: left out; "
                f"copy it into {place.overlay}, or better make it a channel"
            )
