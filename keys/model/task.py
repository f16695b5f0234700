"""What a site asks its hosts to do: a task, signed once, run at most once for each time it is due.

A field nobody here knows is passed over, so a task may be newer than its host. What must not be
misunderstood is refused: a later ``schema``, or a ``kind`` nobody here knows.
"""

from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Annotated

import msgspec

from keys.errors import FormatError, LimitError, UsageError
from keys.model.release import Instant, encode
from keys.model.report import MEMBER_SEPARATOR, Name, Told

TASK_SCHEMA = 1
MAX_TASK_BYTES = 16 << 10
MAX_ANSWER_BYTES = 48 << 10  # of all tasks handed out at once
MAX_HANDED = 10  # tasks handed out at once
MAX_REASON = 500
MAX_WINDOW_SECONDS = 31 * 86400
MAX_RECURRING = timedelta(days=366)
MAX_CRON = 100
MAX_SIGNATURES = 10
PREFIX = b"sigmirror task 1\n"  # a task's signature is one of nothing else
KINDS = ("update", "prove", "verify", "rollback", "report")

Pattern = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._~*?-]{1,200}\Z")]
TaskId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}\Z")]


class Task(Told, frozen=True, kw_only=True):
    """What is to be done, by whom and when.

    ``hosts`` are names, or patterns with ``*`` and ``?``; a pool's name stands for its members.
    It is due at ``at``, or with ``cron`` at each of its instants from then until ``ends``, and each
    time may be begun for ``window_seconds``. An empty ``engine`` is every engine.
    """

    schema: Annotated[int, msgspec.Meta(ge=1, le=1000)] = TASK_SCHEMA
    id: TaskId
    kind: Name
    hosts: Annotated[tuple[Pattern, ...], msgspec.Meta(min_length=1)]
    engine: Name = ""
    at: Instant
    window_seconds: Annotated[int, msgspec.Meta(ge=1, le=MAX_WINDOW_SECONDS)]
    ends: Instant
    cron: Annotated[str, msgspec.Meta(max_length=MAX_CRON)] = ""
    tz: Name = "UTC"
    reason: Annotated[str, msgspec.Meta(max_length=MAX_REASON)] = ""

    def is_for(self, host: str) -> bool:
        """Tell whether a host is asked; a member of a pool is by its own name and by its pool's."""
        return any(covers(pattern, host) for pattern in self.hosts)

    def due(self, now: datetime) -> datetime | None:
        """Return the newest time it was due at; None where it was not yet.

        Raises:
            UsageError: its ``cron`` or ``tz`` is none.

        """
        if now < self.at:
            return None
        newest = _newest(self.cron, self.tz, min(now, self.ends)) if self.cron else self.at
        return newest if newest and self.at <= newest else None

    def begins_until(self, due: datetime) -> datetime:
        """Tell until when it may be begun for one time it was due at."""
        return min(due + timedelta(seconds=self.window_seconds), self.ends)

    def is_open(self, due: datetime, now: datetime) -> bool:
        """Tell whether it may still be begun for a time it was due at."""
        return now < self.begins_until(due)


class SignedTask(Told, frozen=True, kw_only=True):
    """A task as its site signed it: ``payload`` is its JSON, signatures are in hex by key."""

    payload: Annotated[str, msgspec.Meta(max_length=MAX_TASK_BYTES)]
    signatures: Annotated[dict[Name, str], msgspec.Meta(max_length=MAX_SIGNATURES)]

    @property
    def signed_bytes(self) -> bytes:
        """The bytes that are signed."""
        return PREFIX + self.payload.encode()


class Handed(Told, frozen=True, kw_only=True):
    """A task that a mirror hands out, for one time that it was due at."""

    task: SignedTask
    due: Instant


class Answered(Told, frozen=True, kw_only=True):
    """What a mirror answers to a report: was it new, and what is to be done."""

    taken: bool
    tasks: tuple[Handed, ...] = ()


class Answer(Told, frozen=True, kw_only=True):
    """The same as a host reads it: each task is decoded by itself."""

    taken: bool = False
    tasks: Annotated[tuple[msgspec.Raw, ...], msgspec.Meta(max_length=MAX_HANDED)] = ()


def covers(pattern: str, host: str) -> bool:
    """Tell whether a pattern covers a host, or the pool that it is a member of."""
    return any(fnmatchcase(name, pattern) for name in (host, host.partition(MEMBER_SEPARATOR)[0]))


def written(task: Task) -> str:
    """Write a task as it is signed.

    Raises:
        LimitError: it is larger than ``MAX_TASK_BYTES``.

    """
    text = encode(task).decode()
    if len(text.encode()) > MAX_TASK_BYTES:
        raise LimitError(
            f"task {task.id}: larger than MAX_TASK_BYTES={MAX_TASK_BYTES}",
            hint="name hosts by a pattern, or in several tasks",
        )
    return text


def decode_task(payload: str, what: str) -> Task:
    """Read a task; only a verified one may be acted upon.

    Raises:
        FormatError: not a task, or one of a later schema; the message names ``what``.

    """
    try:
        task = msgspec.json.decode(payload, type=Task)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise FormatError(f"{what}: not a task: {exc}") from exc
    if task.schema > TASK_SCHEMA:
        raise FormatError(
            f"{what}: schema {task.schema} is unknown here", hint="this sigupdate is too old for it"
        )
    return task


def decode_answer(data: bytes) -> Answer:
    """Read what a mirror answers to a report.

    Raises:
        FormatError: it is no such answer.

    """
    try:
        return msgspec.json.decode(data, type=Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise FormatError(f"the mirror's answer to a report: {exc}") from exc


def decode_handed(data: bytes) -> Handed:
    """Read one task that was handed out, not yet verified.

    Raises:
        FormatError: it is none.

    """
    try:
        return msgspec.json.decode(data, type=Handed)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise FormatError(f"not a task that a mirror hands out: {exc}") from exc


def check_cron(cron: str, tz: str, now: datetime) -> None:
    """Refuse what is no cron expression of five fields, no time zone, or never due.

    Raises:
        UsageError: which of these.

    """
    if len(cron.split()) != 5 or len(cron) > MAX_CRON:
        raise UsageError(f"{cron!r}: not a cron expression of five fields")
    _newest(cron, tz, now)


def _newest(cron: str, tz: str, now: datetime) -> datetime | None:
    """Return the last instant of an expression that is not after ``now``."""
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - only where a task comes again

    from cronsim import CronSim, CronSimError  # noqa: PLC0415 - as above

    try:
        local = (now + timedelta(seconds=1)).replace(microsecond=0).astimezone(ZoneInfo(tz))
        found = next(CronSim(cron, local, reverse=True), None)
    except CronSimError as exc:
        raise UsageError(f"{cron!r}: not a cron expression: {exc}") from exc
    except (ValueError, OSError, LookupError, OverflowError) as exc:
        raise UsageError(f"{tz!r}: not a time zone such as Asia/Tokyo") from exc
    return found.astimezone(UTC) if found else None
