"""What hosts are asked to do: kept as it was signed, handed out, and what came of it.

A run of a task is one host's, for one time it was due at. It is handed out until the host told its
outcome; the host itself sees to it that it is begun once.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from keys.errors import FormatError, LimitError, UsageError
from keys.model.release import encode
from keys.model.report import TaskTold
from keys.model.task import (
    MAX_ANSWER_BYTES,
    MAX_HANDED,
    Handed,
    SignedTask,
    Task,
    decode_task,
)
from mirror.fleet.database import Database
from mirror.fleet.tables import task_runs, tasks

MAX_OPEN = 100  # tasks at once
_ORDER = (tasks.c.begins, tasks.c.added, tasks.c.id)


@dataclass(frozen=True, slots=True)
class Kept:
    """A task on record: who added it and when, and whether it was cancelled."""

    task: Task
    signed: SignedTask
    who: str
    added: datetime
    cancelled: datetime | None = None
    cancelled_by: str = ""

    def newest(self, now: datetime) -> datetime | None:
        """Return the newest time it was due at, until it was cancelled; None before the first."""
        with contextlib.suppress(UsageError):  # a time zone that only another mirror knows
            return self.task.due(min(now, self.cancelled or now))
        return None


@dataclass(frozen=True, slots=True)
class Run:
    """One host's run of a task; ``outcome`` is empty until it was told."""

    task: str
    host: str
    due: datetime
    handed: datetime
    outcome: str
    at: datetime | None
    exit_code: int
    detail: str


class Tasks:
    """The tasks of one fleet, in its database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, kept: Kept) -> None:
        """Keep a task that was signed.

        Raises:
            LimitError: ``MAX_OPEN`` are open already.
            StateError: the database refuses.

        """
        async with self._database.changing() as connection:
            await self._database.alone(connection, "tasks")
            counted = sa.select(sa.func.count()).select_from(tasks).where(_open(kept.added))
            if (await connection.execute(counted)).scalar_one() >= MAX_OPEN:
                raise LimitError(
                    f"more than MAX_OPEN={MAX_OPEN} tasks are open",
                    hint="`sigmirror task cancel` some",
                )
            await connection.execute(tasks.insert().values(**_row(kept)))

    async def cancel(self, id_: str, *, who: str, now: datetime) -> None:
        """Hand a task out no more.

        Raises:
            StateError: the database refuses.

        """
        changed = tasks.update().where(tasks.c.id == id_, tasks.c.cancelled.is_(None))
        async with self._database.changing() as connection:
            await connection.execute(changed.values(cancelled=now, cancelled_by=who))

    async def every(self) -> list[Kept]:
        """Return every task on record, the oldest first."""
        async with self._database.reading() as connection:
            return await _kept(connection)

    async def find(self, beginning: str) -> Kept:
        """Return the one task whose id begins so.

        Raises:
            UsageError: there is none, or several.

        """
        found = [kept for kept in await self.every() if kept.task.id.startswith(beginning)]
        if len(found) != 1:
            many = ", ".join(kept.task.id for kept in found)
            named = f"several begin so: {many}" if found else "there is none"
            raise UsageError(f"task {beginning!r}: {named}", hint="see `sigmirror task list`")
        return found[0]

    async def runs(self, *, task: str = "", host: str = "") -> list[Run]:
        """Return runs, the newest first: of a task, of a host, or all."""
        asked = sa.select(task_runs).order_by(task_runs.c.due.desc(), task_runs.c.host)
        for column, value in ((task_runs.c.task, task), (task_runs.c.host, host)):
            asked = asked.where(column == value) if value else asked
        async with self._database.reading() as connection:
            rows = (await connection.execute(asked)).mappings()
            return [Run(**{str(key): value for key, value in row.items()}) for row in rows]

    async def newest_runs(self, every: Iterable[Kept], *, now: datetime) -> list[Run]:
        """Return the runs of tasks for the newest time that each was due at."""
        due = [(kept.task.id, at) for kept in every if (at := kept.newest(now))]
        named = sa.tuple_(task_runs.c.task, task_runs.c.due).in_(due)
        async with self._database.reading() as connection:
            rows = (await connection.execute(sa.select(task_runs).where(named))).mappings()
            return [Run(**{str(key): value for key, value in row.items()}) for row in rows]

    async def forget(self, before: datetime) -> None:
        """Forget tasks that ended before a time, and runs that were due before it."""
        async with self._database.changing() as connection:
            await connection.execute(tasks.delete().where(tasks.c.ends < before))
            await connection.execute(task_runs.delete().where(task_runs.c.due < before))


async def hand_out(connection: AsyncConnection, host: str, *, now: datetime) -> list[Handed]:
    """Return what a host is to do now, the oldest first, and remember that it was told.

    Nobody else may change what belongs to this host meanwhile.
    """
    wanted = await _due(connection, host, now)
    if not wanted:
        return []
    begun = await _runs_of(connection, host, [id_ for id_, _ in wanted])
    left = {run: one for run, one in wanted.items() if not begun.get(run)}
    handed = list(_within_limits(iter(left.values())))
    unknown = {"host": host, "handed": now, "outcome": "", "exit_code": 0, "detail": ""}
    new = [
        {"task": id_, "due": due, **unknown}
        for id_, due in list(left)[: len(handed)]
        if (id_, due) not in begun
    ]
    if new:
        await connection.execute(task_runs.insert(), new)
    return handed


async def settle(connection: AsyncConnection, host: str, told: Sequence[TaskTold]) -> None:
    """Keep what came of tasks; what was never handed out, or is known already, is passed over."""
    for one in told:
        run = (task_runs.c.task == one.task, task_runs.c.host == host, task_runs.c.due == one.due)
        came = {
            "outcome": one.outcome,
            "at": one.at,
            "exit_code": one.exit_code,
            "detail": one.detail,
        }
        changed = task_runs.update().where(*run, task_runs.c.outcome == "")
        await connection.execute(changed.values(**came))


async def _due(
    connection: AsyncConnection, host: str, now: datetime
) -> dict[tuple[str, datetime], Handed]:
    """Return what a host may begin now, by task and time, the oldest first."""
    asked = sa.select(tasks.c.payload, tasks.c.signatures).where(_open(now), tasks.c.begins <= now)
    found = {}
    for row in await connection.execute(asked.order_by(*_ORDER)):
        with contextlib.suppress(FormatError, UsageError):  # a newer mirror's, or of its time zone
            task = decode_task(row.payload, "a task")
            due = task.due(now) if task.is_for(host) else None
            if due and task.is_open(due, now):
                found[task.id, due] = Handed(task=_signed(row), due=due)
    return found


def _within_limits(handed: Iterator[Handed]) -> Iterator[Handed]:
    """Take as many as one answer may carry; the others follow with the next."""
    size = 0
    for number, one in enumerate(handed):
        size += len(encode(one))
        if number == MAX_HANDED or (number and size > MAX_ANSWER_BYTES):
            return
        yield one


async def _runs_of(
    connection: AsyncConnection, host: str, named: Sequence[str]
) -> dict[tuple[str, datetime], str]:
    """Return the outcomes of a host's runs of some tasks, by task and time."""
    asked = sa.select(task_runs.c.task, task_runs.c.due, task_runs.c.outcome).where(
        task_runs.c.host == host, task_runs.c.task.in_(named)
    )
    return {(row.task, row.due): row.outcome for row in await connection.execute(asked)}


def _open(now: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(tasks.c.cancelled.is_(None), tasks.c.ends > now)


async def _kept(connection: AsyncConnection) -> list[Kept]:
    """Read tasks; one that a newer mirror wrote into the same database is passed over."""
    found = []
    for row in await connection.execute(sa.select(tasks).order_by(*_ORDER)):
        with contextlib.suppress(FormatError):
            found.append(_read(row))
    return found


def _signed(row: Any) -> SignedTask:  # noqa: ANN401 - a row of tasks
    signatures = msgspec.json.decode(row.signatures, type=dict[str, str])
    return SignedTask(payload=row.payload, signatures=signatures)


def _read(row: Any) -> Kept:  # noqa: ANN401 - as above
    return Kept(
        task=decode_task(row.payload, f"task {row.id}"),
        signed=_signed(row),
        who=row.who,
        added=row.added,
        cancelled=row.cancelled,
        cancelled_by=row.cancelled_by,
    )


def _row(kept: Kept) -> dict[str, object]:
    return {
        "id": kept.task.id,
        "added": kept.added,
        "who": kept.who,
        "begins": kept.task.at,
        "ends": kept.task.ends,
        "cancelled_by": "",
        "payload": kept.signed.payload,
        "signatures": encode(kept.signed.signatures).decode(),
    }
