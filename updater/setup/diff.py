"""A change as a person reads it: a unified diff, or one line for what has no text."""

import difflib
from collections.abc import Iterator

from updater.setup.host import Absent, AnyEntry, Folder, Link, Regular, Special
from updater.setup.journal import Change

NOWHERE = "/dev/null"


def unified(change: Change) -> str:
    """Show one change; a binary file is only named."""
    return "".join(_lines(change))


def _lines(change: Change) -> Iterator[str]:
    before, after = change.before, change.after
    if _attributes(before) != _attributes(after):
        yield f"# {change.path}: {_attributes(before)} -> {_attributes(after)}\n"
    if _is_binary(before) or _is_binary(after):
        yield f"Binary files differ: {change.path}\n"
        return
    old, new = _text(before), _text(after)
    for line in difflib.unified_diff(
        old,
        new,
        fromfile=NOWHERE if isinstance(before, Absent) else change.path,
        tofile=NOWHERE if isinstance(after, Absent) else change.path,
    ):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def action(change: Change) -> tuple[str, str, str]:
    """Say what a change does, as (verb, path, what it becomes)."""
    if isinstance(change.after, Absent):
        return "remove", change.path, ""
    verb = "create" if isinstance(change.before, Absent) else "change"
    return verb, change.path, _attributes(change.after)


def _attributes(entry: AnyEntry) -> str:
    match entry:
        case Regular() | Folder():
            kind = "file" if isinstance(entry, Regular) else "folder"
            return f"{kind} {entry.mode:04o} {entry.uid}:{entry.gid}"
        case Link():
            return f"link to {entry.target}"
        case Special():
            return "special file"
        case Absent():
            return "absent"


def _is_binary(entry: AnyEntry) -> bool:
    return isinstance(entry, Regular) and b"\0" in entry.data


def _text(entry: AnyEntry) -> list[str]:
    if not isinstance(entry, Regular):
        return []
    return entry.data.decode("utf-8", "backslashreplace").splitlines(keepends=True)
