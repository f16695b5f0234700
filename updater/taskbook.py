"""Which of its site's tasks this host has begun, and what it has yet to tell of them.

A task is written down before it is begun. What was begun is not begun again, whatever happened to
it; it is remembered for as long as the task could be handed out.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from keys import files
from keys.errors import LimitError, StateError
from keys.model.release import Instant, Wire
from keys.model.report import INTERRUPTED, MAX_TASKS, TaskTold
from updater import state

MAX_REMEMBERED = 1000
KEPT_LONGER = timedelta(hours=1)  # than a task can be begun: clocks differ


class Begun(Wire, frozen=True):
    """The newest time that a task was due at and begun for; ``until`` is when it ends."""

    task: str
    due: Instant
    until: Instant


class Book(Wire, frozen=True):
    """What is remembered; ``under_way`` was begun and has not ended."""

    begun: tuple[Begun, ...] = ()
    under_way: Begun | None = None

    def knows(self, task: str, due: datetime) -> bool:
        """Tell whether a task was begun for a time, or for a later one."""
        return any(one.task == task and due <= one.due for one in self.begun)

    def beginning(self, new: Begun, now: datetime) -> "Book":
        """Remember one more, and forget what can be handed out no more.

        Raises:
            LimitError: ``MAX_REMEMBERED`` are remembered.

        """
        left = [one for one in self.begun if now < one.until + KEPT_LONGER and one.task != new.task]
        if len(left) >= MAX_REMEMBERED:
            raise LimitError(f"more than MAX_REMEMBERED={MAX_REMEMBERED} tasks are remembered")
        return Book((*left, new), new)


class TaskBook:
    """The folder ``tasks`` of a host's state."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "begun.json"
        self._answers = folder / "told"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only one who does tasks.

        Raises:
            LockedError: another process does.
            StateError: the disk refuses.

        """
        try:
            files.make_folder(self._answers)
        except OSError as exc:
            raise StateError(f"{self._answers}: {exc.strerror or exc}") from exc
        with files.lock(self._folder / "tasks.lock", what="tasks of this host"):
            yield

    def read(self) -> Book:
        """Return what is remembered.

        Raises:
            StateError: it cannot be read; nothing may be begun then.

        """
        return state.read(self._file, Book, Book())

    def begin(self, new: Begun, *, now: datetime) -> None:
        """Write down what is about to be begun; durable on return.

        Raises:
            LimitError, StateError: it may not be begun.

        """
        state.write(self._file, self.read().beginning(new, now))

    def end(self, told: TaskTold) -> None:
        """Write down what came of what was begun, to be told.

        Raises:
            StateError: the disk refuses.

        """
        self.answer(told)
        state.write(self._file, msgspec.structs.replace(self.read(), under_way=None))

    def cut_off(self, now: datetime) -> TaskTold | None:
        """End what a process that is gone had begun; nothing of it is begun again.

        Raises:
            StateError: the disk refuses.

        """
        found = self.read().under_way
        if found is None:
            return None
        told = TaskTold(
            task=found.task, due=found.due, outcome=INTERRUPTED, at=now, exit_code=1,
            detail="this host, or sigupdate, was stopped in the middle",
        )  # fmt: skip
        self.end(told)
        return told

    def answer(self, told: TaskTold) -> bool:
        """Let something be told of a task; tell whether nothing was yet, which would stay.

        Raises:
            StateError: the disk refuses.

        """
        named = hashlib.sha256(f"{told.task}\n{told.due.isoformat()}".encode()).hexdigest()
        path = self._answers / f"{named}.json"
        if path.exists():
            return False
        state.write(path, told)
        return True

    def answers(self) -> dict[Path, TaskTold]:
        """Return what is to be told, as much as fits in one report."""
        found: dict[Path, TaskTold] = {}
        try:
            paths = sorted(self._answers.glob("*.json"))
        except OSError:
            return {}
        for path in paths[:MAX_TASKS]:
            try:
                found[path] = msgspec.json.decode(path.read_bytes(), type=TaskTold)
            except (OSError, msgspec.DecodeError, UnicodeDecodeError):
                self.forget([path])
        return found

    def forget(self, answers: Iterable[Path]) -> None:
        """Tell these no more: a report that waits on disk holds them."""
        for path in answers:
            try:
                path.unlink(missing_ok=True)
            except OSError as exc:
                raise StateError(f"{path}: {exc.strerror or exc}") from exc
