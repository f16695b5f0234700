"""What a mirror handed out is verified, judged, written down, done and told.

A mirror's word starts nothing: every task bears the signature of the site's role ``policy``,
verified by this host's own trusted copy.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from keys.errors import Error, FormatError, LockedError, StateError, TrustError
from keys.model.report import DONE, FAILED, REFUSED, TaskTold
from keys.model.task import Task, decode_handed, decode_task
from updater.channels import SITE
from updater.place import HostPlace
from updater.settings import Settings
from updater.taskbook import Begun
from updater.tasks import kinds
from updater.tasks.kinds import Able
from updater.tasks.rules import Rules

if TYPE_CHECKING:
    from keys.trust.task import TaskTrust

MAX_DETAIL = 2000
UNKNOWN = "unknown"


class Worker:
    """Does tasks between two runs; call it without the host's lock.

    ``able`` makes this host anew for each task, ``clock`` tells the time.
    """

    def __init__(
        self, settings: Settings, name: str, able: Callable[[], Able], clock: Callable[[], datetime]
    ) -> None:
        self._settings = settings
        self._host = HostPlace.of(settings)
        self._book = self._host.tasks
        self._able = able
        self._clock = clock
        engines = [engine.name for engine in settings.engine]
        self._rules = Rules(name, settings.tasks.accept, engines)

    def work(self, handed: Sequence[bytes], *, refreshed: bool) -> list[TaskTold]:
        """Do what was handed out; return what came of it, which is on disk to be told.

        Without ``refreshed``, what the trusted copy does not vouch for is left for the next run,
        which may bring new keys.

        Raises:
            StateError: the disk refuses; nothing more was begun.

        """
        try:
            with self._book.lock():
                cut_off = self._book.cut_off(self._clock())
                told = [cut_off] if cut_off else []
                told += self._each(handed, refreshed=refreshed)
        except LockedError:  # what was not begun is handed out again
            return []
        return told

    def _each(self, handed: Sequence[bytes], *, refreshed: bool) -> Iterator[TaskTold]:
        for data in handed:
            try:
                one, trust = decode_handed(data), self._trust()
                task = trust.verified(one.task, "a task")
            except (TrustError, StateError) as exc:
                if refreshed:
                    yield from self._told(self._unbelieved(data, str(exc)))
                continue
            yield from self._one(task, one.due, now=max(self._clock(), trust.reference))

    def _trust(self) -> "TaskTrust":
        """Open the trusted copy of the site's repository, as it is on disk now."""
        from keys.trust.repository import Repository  # noqa: PLC0415 - loads the TUF library
        from keys.trust.task import TaskTrust  # noqa: PLC0415 - as above

        if SITE not in (repository.name for repository in self._settings.repository):
            raise TrustError(f"there is no repository {SITE!r} in this host's settings")
        folder = self._host.trust(SITE)
        repository = Repository(SITE, folder / "metadata", folder / "clock.json")
        return TaskTrust(repository, now=self._clock())

    def _one(self, task: Task, due: datetime, *, now: datetime) -> Iterator[TaskTold]:
        reason = self._rules.objection(task, due, now=now)
        if not reason and self._book.read().knows(task.id, due):
            reason = "it was begun before, and is begun once"
        if not reason:
            yield self._done(task, due, now)
            return
        yield from self._told(
            TaskTold(task=task.id, due=due, outcome=REFUSED, at=now, exit_code=1, detail=reason)
        )

    def _done(self, task: Task, due: datetime, now: datetime) -> TaskTold:
        """Do a task, written down before and after."""
        with self._host.lock():  # a run under way goes first: the task is handed out again
            self._book.begin(Begun(task.id, due, task.ends), now=now)
        try:
            result = kinds.do(task, self._able())
        except Error as exc:
            result = kinds.Result(exc.exit_code, str(exc))
        told = TaskTold(
            task=task.id,
            due=due,
            outcome=FAILED if result.exit_code else DONE,
            at=self._clock(),
            exit_code=result.exit_code,
            detail=result.detail[:MAX_DETAIL],
        )
        self._book.end(told)
        return told

    def _told(self, refusal: TaskTold) -> Iterator[TaskTold]:
        """Tell of a refusal, unless something else waits to be told of the same task."""
        if self._book.answer(refusal):
            yield refusal

    def _unbelieved(self, data: bytes, reason: str) -> TaskTold:
        """Speak of what nobody vouches for by the names it goes by; nothing of it is remembered."""
        named, due = UNKNOWN, self._clock()
        try:
            handed = decode_handed(data)
            due = handed.due
            named = decode_task(handed.task.payload, "a task").id
        except FormatError:
            pass
        return TaskTold(
            task=named, due=due, outcome=REFUSED, at=self._clock(), exit_code=3,
            detail=reason[:MAX_DETAIL],
        )  # fmt: skip
