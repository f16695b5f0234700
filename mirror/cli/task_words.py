"""A task, and how far hosts are with it, as commands print it (pure)."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from keys.model.instant import utc
from keys.model.task import Task
from mirror.fleet.tasks import Kept, Run
from mirror.fleet.turnout import Line, counts


def plain(kept: Kept) -> dict[str, Any]:
    """Write a task for JSON."""
    told = {"who": kept.who, "added": kept.added, "cancelled": kept.cancelled}
    return {**msgspec.to_builtins(kept.task), **told}


def row(kept: Kept, found: Sequence[Line], *, as_json: bool) -> dict[str, Any]:
    """Write a task for a list of them, with how many hosts are how far."""
    if as_json:
        return {**plain(kept), "totals": counts(found)}
    return {
        "id": kept.task.id,
        "task": _what(kept.task),
        "when": "cancelled" if kept.cancelled else _times(kept.task),
        "hosts": _totals(found),
        "reason": kept.task.reason,
    }


def headline(task: Task) -> str:
    """Say what a task is, on one line."""
    return f"task {task.id}: {_what(task)}, {_times(task)}"


def lines(kept: Kept, found: Sequence[Line], runs: Sequence[Run]) -> Iterator[str]:
    """Say how far every host is with a task."""
    yield headline(kept.task)
    reason = f": {kept.task.reason}" if kept.task.reason else ""
    yield f"  added {utc(kept.added)} by {kept.who}{reason}"
    if kept.cancelled:
        yield f"  cancelled {utc(kept.cancelled)} by {kept.cancelled_by}"
    for one in found:
        yield "  " + line(one.host, one)
    earlier = len({run.due for run in runs} - {one.due for one in found})
    before = f"; due {earlier} times before" if earlier else ""
    yield f"{len(found)} hosts: {_totals(found)}{before}"


def line(first: str, one: Line) -> str:
    """Write one run of a task for a table."""
    at = f"  {utc(one.at)}" if one.at else ""
    return f"{first}  {one.state.value}{at}" + (f"  {one.detail}" if one.detail else "")


def _totals(found: Sequence[Line]) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts(found).items()) or "none"


def _what(task: Task) -> str:
    engine = f" of {task.engine}" if task.engine else ""
    return f"{task.kind}{engine} on {','.join(task.hosts)}"


def _times(task: Task) -> str:
    begins = f"{task.cron} {task.tz}" if task.cron else utc(task.at)
    return f"{begins} until {utc(task.ends)}"
