"""Notices beside a running mirror: a thread of its own, which nothing else ever waits for."""

import asyncio
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

import structlog

from keys.errors import Error, LockedError
from mirror.notices.opening import SILENCE
from mirror.notices.round import Outcome, Round, book_file
from mirror.notices.summary import read_summary
from mirror.site import MirrorSite

FIRST_SECONDS = 2.0  # by then the fleet's tables are there
ROUND_SECONDS = 60.0
HEARING = timedelta(minutes=30)  # after a start; by then hosts that live have reported
LEAVE_SECONDS = 1.0  # for a round under way when the mirror stops


class Rounds:
    """Looks every minute and tells who is to be told; use as ``with``.

    A message may take as long as its way allows. The thread ends with the process: what it was
    telling then is told again after the next start.
    """

    def __init__(self, site: Callable[[], MirrorSite], clock: Callable[[], datetime]) -> None:
        self._site = site
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="notices", daemon=True)
        self._told = ""
        self._started = clock()

    def _too_early(self, now: datetime) -> tuple[str, ...]:
        """List what cannot be told yet: while this mirror was down, nobody could report."""
        return SILENCE if now - self._started < HEARING else ()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._stop.set()
        self._thread.join(LEAVE_SECONDS)

    def _run(self) -> None:
        wait = FIRST_SECONDS
        while not self._stop.wait(wait):
            self._guarded()
            wait = ROUND_SECONDS

    def _guarded(self) -> None:
        """Let nothing end the rounds; tell of each trouble once, until it changes."""
        message = ""
        try:
            self._once()
        except LockedError:
            return
        except Error as exc:
            message = str(exc)
            if message != self._told:
                structlog.get_logger().error("notices", cause=message, hint=exc.hint)
        except Exception:  # noqa: BLE001 - the loop outlives a mistake of ours, and tells of it
            message = "unexpected"
            if message != self._told:
                structlog.get_logger().exception("notices")
        self._told = message

    def _once(self) -> None:
        site = self._site()
        if rules := site.settings.notify:
            now = self._clock()
            summary = asyncio.run(read_summary(site, now=now, upgrade=False))
            unknown = (*summary.unknown, *self._too_early(now))
            this = Round(rules, summary.notices, now, unknown)
            for outcome in this.tell(book_file(site.folder)):
                _log(outcome)


def _log(outcome: Outcome) -> None:
    if outcome.sayings and outcome.error:
        structlog.get_logger().warning("notify-failed", way=outcome.way, cause=outcome.error)
    elif outcome.sayings and not outcome.waits:
        structlog.get_logger().info("notified", way=outcome.way, notices=len(outcome.sayings))
