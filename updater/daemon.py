"""Runs again and again: at an interval, spread by jitter, until told to stop.

SIGTERM and SIGINT end it after the run under way; SIGHUP reads the settings again and runs now.
"""

import logging
import math
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import TypeVar

from keys.errors import Error

_log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How long to wait between two runs."""

    interval_seconds: float
    jitter_seconds: float
    heartbeat_seconds: float = math.inf

    def pause(self, draw: Callable[[float, float], float] = random.uniform) -> float:
        """Return the time to the next run."""
        return self.interval_seconds + draw(0, self.jitter_seconds)


class Daemon:
    """Calls ``once`` until stopped, and ``beat`` in between; all read the settings anew.

    The first ``rhythm`` may raise: a daemon does not start on settings it cannot read.
    """

    def __init__(
        self,
        once: Callable[[], None],
        rhythm: Callable[[], Rhythm],
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._once = once
        self._beat = beat
        self._read_rhythm = rhythm
        self._rhythm = rhythm()
        self._stop = threading.Event()
        self._wake = threading.Event()

    def watch_signals(self) -> None:
        """Take SIGTERM, SIGINT and SIGHUP; call it from the main thread."""
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGINT, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_hup)

    def stop(self) -> None:
        """End after the run under way."""
        self._stop.set()
        self._wake.set()

    def loop(self) -> None:
        """Run until stopped; an error of one run is logged and the next one comes."""
        while not self._stop.is_set():
            self._wake.clear()
            self._run()
            if not self._stop.is_set():
                self._pause(self._rhythm.pause())

    def _pause(self, seconds: float) -> None:
        """Wait for the next run, with a sign of life now and then."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._wake.wait(min(left, self._rhythm.heartbeat_seconds)):
                return
            if until > time.monotonic():
                self._guarded(self._beat)

    def _run(self) -> None:
        self._guarded(self._once)
        self._guarded(self._take_rhythm)

    def _take_rhythm(self) -> None:
        """Read it after the run, which may have brought other settings."""
        self._rhythm = self._read_rhythm()

    @staticmethod
    def _guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except Error as exc:
            _log.error("%s", exc)
        except Exception:  # noqa: BLE001 - one run must not end the loop; logged in full
            _log.exception("this run failed; the next one comes in its time")

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.stop()

    def _on_hup(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._wake.set()


def last_good(read: Callable[[], T]) -> Callable[[], T]:
    """Return a reader that gives what was read last where nothing better can be read; it logs why.

    The first reading may raise.
    """
    found: list[T] = []

    def again() -> T:
        try:
            found[:] = [read()]
        except Error as exc:
            if not found:
                raise
            _log.error("the settings in force stay: %s", exc)
        return found[0]

    return again
