"""Runs again and again: at an interval, spread by jitter or by turns, until told to stop.

A run that leaves an engine unproven, as one that is still loading, is followed by another soon.
SIGTERM and SIGINT end it after the run under way; SIGHUP reads the settings again and runs now.
"""

import hashlib
import logging
import math
import random
import re
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import TypeVar

from keys.errors import Error

_log = logging.getLogger(__name__)

SOON_SECONDS = 15.0  # to the run after one that left an engine unproven; doubled each time
_ORDINAL = re.compile(r".*-(?P<ordinal>\d{1,9})", re.ASCII)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How long to wait between two runs.

    With ``turns`` hosts share the interval out: each begins in a part of its own, by the clock.
    """

    interval_seconds: float
    jitter_seconds: float
    heartbeat_seconds: float = math.inf
    turns: int = 0
    turn: int = 0

    def pause(self, now: float, draw: Callable[[float, float], float] = random.uniform) -> float:
        """Return the time to the next run; ``now`` is in seconds since the epoch."""
        if not self.turns:
            return self.interval_seconds + draw(0, self.jitter_seconds)
        length = self.interval_seconds / self.turns
        to_turn = (self.turn * length - now) % self.interval_seconds
        return to_turn + draw(0, min(self.jitter_seconds, length / 2))


def own_turn(hostname: str, turns: int) -> int:
    """Tell which of so many turns is this host's: by its number, as in ``web-3``, or by its name.

    Numbered hosts share turns only where there are fewer of these; others may by chance.
    """
    if not turns:
        return 0
    if found := _ORDINAL.fullmatch(hostname):
        return int(found["ordinal"]) % turns
    return int.from_bytes(hashlib.sha256(hostname.encode()).digest()[:8]) % turns


class Daemon:
    """Calls ``once`` until stopped, and ``beat`` in between; all read the settings anew.

    ``once`` tells whether an engine is left unproven. The first ``rhythm`` may raise: a daemon
    does not start on settings it cannot read.
    """

    def __init__(
        self,
        once: Callable[[], bool],
        rhythm: Callable[[], Rhythm],
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._once = once
        self._beat = beat
        self._read_rhythm = rhythm
        self._rhythm = rhythm()
        self._unproven = False
        self._soon = SOON_SECONDS
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
                self._pause(self._wait())

    def _wait(self) -> float:
        """Tell how long the next pause is: short at first while an engine is unproven."""
        pause = self._rhythm.pause(time.time())
        if not self._unproven:
            self._soon = SOON_SECONDS
            return pause
        pause, self._soon = min(pause, self._soon), self._soon * 2
        return pause

    def _pause(self, seconds: float) -> None:
        """Wait for the next run, with a sign of life now and then."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._wake.wait(min(left, self._rhythm.heartbeat_seconds)):
                return
            if until > time.monotonic():
                self._guarded(self._beat)

    def _run(self) -> None:
        self._unproven = False
        self._guarded(self._take_once)
        self._guarded(self._take_rhythm)

    def _take_once(self) -> None:
        self._unproven = self._once()

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
