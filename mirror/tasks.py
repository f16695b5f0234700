"""Tasks given to hosts and taken back: signed, written to the publish log, kept at the desk."""

import asyncio
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from keys.model.task import Task
from keys.signing.state import State
from keys.signing.task import sign_task
from mirror.edition import Order
from mirror.fleet.asking import asked
from mirror.fleet.tasks import Kept, Tasks
from mirror.journal import Entry
from mirror.site import MirrorSite

ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an operator asks of hosts; with ``cron`` again and again until ``until``."""

    kind: str
    hosts: tuple[str, ...]
    at: datetime
    window: timedelta
    until: datetime
    engine: str = ""
    cron: str = ""
    tz: str = "UTC"

    def task(self, reason: str) -> Task:
        """Write it as a task of its own."""
        return Task(
            id=secrets.token_hex(ID_BYTES),
            kind=self.kind,
            hosts=self.hosts,
            engine=self.engine,
            at=self.at.replace(microsecond=0),
            window_seconds=int(self.window.total_seconds()),
            ends=self.until.replace(microsecond=0),
            cron=self.cron,
            tz=self.tz,
            reason=reason,
        )


async def give(site: MirrorSite, wanted: Wanted, *, by: Order, now: datetime) -> Kept:
    """Sign a task and let hosts have it at their next contact.

    Raises:
        UsageError: the keys at hand may not sign it, or another mirror signs.
        LimitError: it is too large, or too many are open.
        StateError, TrustError: the repository or the database cannot be used.

    """
    await site.check_in_charge()
    task = wanted.task(by.why)
    metadata = (await site.repository().in_force()).metadata
    state = await asyncio.to_thread(State.verified, metadata)
    signers = site.ring(site.settings).values()
    kept = Kept(task, await asyncio.to_thread(sign_task, task, state, signers), by.who, now)
    await site.journal.append(_entry("task", task, by, now))
    await asked(site.settings, lambda desk: Tasks(desk.database).add(kept))
    return kept


async def take_back(site: MirrorSite, task: Task, *, by: Order, now: datetime) -> None:
    """Hand a task out no more; who has it already may still run it.

    Raises:
        StateError: the database refuses.

    """
    await asked(
        site.settings, lambda desk: Tasks(desk.database).cancel(task.id, who=by.who, now=now)
    )
    await site.journal.append(_entry("task-cancel", task, by, now))


def _entry(what: str, task: Task, by: Order, now: datetime) -> Entry:
    named = f"{task.id} {task.kind} {','.join(task.hosts)} {task.cron}".rstrip()
    return Entry(at=now, who=by.who, what=what, timestamp=0, name=named, why=by.why)
