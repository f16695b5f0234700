"""What became of a task, host by host (pure)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from keys.model.report import DONE, FAILED, INTERRUPTED, REFUSED
from mirror.fleet.tasks import Kept, Run


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


def lines(kept: Kept, runs: Iterable[Run], names: Iterable[str], *, now: datetime) -> list[Line]:
    """Tell of every host that is asked, for the newest time a task was due at."""
    due = kept.newest(now)
    found = {run.host: run for run in runs if run.task == kept.task.id and run.due == due}
    asked = {name for name in names if kept.task.is_for(name)}
    return [_line(kept, name, due, found.get(name), now) for name in sorted(asked | set(found))]


def _line(kept: Kept, host: str, due: datetime | None, run: Run | None, now: datetime) -> Line:
    if run and run.outcome:
        state = State(run.outcome) if run.outcome in _OUTCOMES else State.failed
        return Line(host, due, state, run.at, run.exit_code, run.detail)
    return Line(host, due, _open_state(kept, due, run, now))


def _open_state(kept: Kept, due: datetime | None, run: Run | None, now: datetime) -> State:
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
