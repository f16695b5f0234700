"""Whether this host does what its site asks of it (pure)."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from keys.errors import UsageError
from keys.model.instant import utc
from keys.model.task import KINDS, Task

SKEW = timedelta(minutes=5)  # by which the mirror's clock may be ahead


@dataclass(frozen=True, slots=True)
class Rules:
    """What this host is called, what it accepts, and which engines it has."""

    host: str
    accept: Collection[str]
    engines: Collection[str]

    def objection(self, task: Task, due: datetime, *, now: datetime) -> str:
        """Say why a verified task is not done here; empty where it is."""
        if not task.is_for(self.host):
            return f"it is for {','.join(task.hosts)[:200]}, not for {self.host}"
        return self._kind(task) or _time(task, due, now)

    def _kind(self, task: Task) -> str:
        if task.kind not in KINDS:
            return f"kind {task.kind!r} is unknown to this sigupdate"
        if task.kind not in self.accept:
            return f"this host does no {task.kind} on its site's order (tasks.accept)"
        if task.engine and task.engine not in self.engines:
            return f"this host has no engine {task.engine!r}"
        if task.kind == "rollback" and not task.engine and len(self.engines) > 1:
            return "this host has several engines, and the rollback names none"
        return ""


def _time(task: Task, due: datetime, now: datetime) -> str:
    if due > now + SKEW:
        return f"it is due at {utc(due)}, which is ahead of this host's clock"
    try:
        if task.due(due) != due:
            return f"it is not due at {utc(due)}"
    except UsageError as exc:
        return str(exc)
    if not task.is_open(due, now):
        return f"it expired at {utc(task.begins_until(due))}"
    return ""
