"""What became of a task, host by host (pure)."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from keys.model.report import DONE, FAILED, INTERRUPTED, REFUSED
from keys.model.task import Task

if TYPE_CHECKING:  # whoever only judges never loads the database library
    from mirror.fleet.tasks import Kept, Run

NEWS = timedelta(days=2)  # what came of a task is news for so long after it could be begun


class State(Enum):
    """How far one host is with one task."""

    waiting = "waiting"  # the host has not been here since it was due
    handed = "handed out"  # and its outcome is not known yet
    done = "done"
    failed = "failed"
    refused = "refused"
    interrupted = "interrupted"  # begun, and cut off: it is not begun again
    missed = "missed"  # not told of in time
    cancelled = "cancelled"


WRONG = frozenset({State.failed, State.refused, State.interrupted, State.missed})
_OUTCOMES = frozenset({DONE, FAILED, REFUSED, INTERRUPTED})


@dataclass(frozen=True, slots=True)
class Line:
    """One host and one time that a task was due at; ``due`` is None before the first."""

    host: str
    due: datetime | None
    state: State
    at: datetime | None = None
    exit_code: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Turnout:
    """One task, and how far hosts are with it."""

    task: Task
    lines: tuple[Line, ...]


def lines(
    kept: "Kept", runs: "Iterable[Run]", names: Iterable[str], *, now: datetime
) -> list[Line]:
    """Tell of every host that is asked, for the newest time a task was due at."""
    due = kept.newest(now)
    found = {run.host: run for run in runs if run.task == kept.task.id and run.due == due}
    asked = {name for name in names if kept.task.is_for(name)}
    return [_line(kept, name, due, found.get(name), now) for name in sorted(asked | set(found))]


def news(
    every: "Iterable[Kept]", runs: "Iterable[Run]", names: Collection[str], *, now: datetime
) -> list[Turnout]:
    """Tell of each task that was due of late and is not cancelled how far these hosts are with it.

    What went wrong on a host is left out once the host did the same later.
    """
    by_task: dict[str, list[Run]] = {}
    for run in runs:
        by_task.setdefault(run.task, []).append(run)
    found = [
        Turnout(
            kept.task,
            tuple(
                line
                for line in lines(kept, by_task.get(kept.task.id, ()), names, now=now)
                if line.host in names
            ),
        )
        for kept in every
        if is_news(kept, now)
    ]
    done = _done(found)
    return [Turnout(one.task, tuple(_standing(one, done))) for one in found]


def is_news(kept: "Kept", now: datetime) -> bool:
    """Tell whether a task was due of late, and is not cancelled."""
    due = kept.newest(now)
    if due is None or kept.cancelled:
        return False
    return now <= kept.task.begins_until(due) + NEWS


_Deed: TypeAlias = tuple[str, str, str]  # host, kind of task, engine


def _done(found: Iterable[Turnout]) -> Mapping[_Deed, datetime]:
    """Return for when each host did what last."""
    newest: dict[_Deed, datetime] = {}
    for one in found:
        for line in one.lines:
            if line.state is State.done and line.due:
                deed = (line.host, one.task.kind, one.task.engine)
                newest[deed] = max(line.due, newest.get(deed, line.due))
    return newest


def _standing(one: Turnout, done: Mapping[_Deed, datetime]) -> Iterator[Line]:
    for line in one.lines:
        deeds = ((line.host, one.task.kind, engine) for engine in {one.task.engine, ""})
        later = (done[deed] for deed in deeds if deed in done)
        if line.state not in WRONG or not any(line.due and line.due < at for at in later):
            yield line


def _line(kept: "Kept", host: str, due: datetime | None, run: "Run | None", now: datetime) -> Line:
    if run and run.outcome:
        state = State(run.outcome) if run.outcome in _OUTCOMES else State.failed
        return Line(host, due, state, run.at, run.exit_code, run.detail)
    return Line(host, due, _open_state(kept, due, run, now))


def _open_state(kept: "Kept", due: datetime | None, run: "Run | None", now: datetime) -> State:
    over = due is not None and not kept.task.is_open(due, now)
    if run:
        return State.missed if over else State.handed
    if kept.cancelled:
        return State.cancelled
    return State.missed if over else State.waiting


def counts(found: Sequence[Line]) -> dict[str, int]:
    """Count hosts by state; states nobody is in are left out."""
    counted = Counter(line.state for line in found)
    return {state.value: counted[state] for state in State if counted[state]}
