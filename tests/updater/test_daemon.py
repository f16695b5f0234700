"""The loop of `sigupdate daemon`."""

import os
import signal
import threading

import pytest

from keys.errors import SettingsError
from updater.daemon import Daemon, Rhythm

SOON = Rhythm(interval_seconds=0.001, jitter_seconds=0)
LATE = Rhythm(interval_seconds=3600, jitter_seconds=0)


def test_jitter_comes_on_top_of_the_interval() -> None:
    assert Rhythm(900, 60).pause(draw=lambda low, high: (low + high) / 2) == 930


def test_it_runs_until_it_is_stopped() -> None:
    runs = []

    def once() -> None:
        runs.append(1)
        if len(runs) == 3:
            daemon.stop()

    daemon = Daemon(once, lambda: SOON)
    daemon.loop()
    assert len(runs) == 3


def test_a_run_that_fails_is_logged_and_the_next_one_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    errors = [SettingsError("mirrors: wrong"), ZeroDivisionError("a defect")]

    def once() -> None:
        if errors:
            raise errors.pop(0)
        daemon.stop()

    daemon = Daemon(once, lambda: SOON)
    daemon.loop()
    assert "mirrors: wrong" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_it_does_not_start_on_settings_it_cannot_read() -> None:
    def unreadable() -> Rhythm:
        raise SettingsError("no such file")

    with pytest.raises(SettingsError):
        Daemon(lambda: None, unreadable)


def test_sighup_runs_now_and_sigterm_ends_after_the_run() -> None:
    ran = threading.Event()
    runs = []

    def once() -> None:
        runs.append(1)
        os.kill(os.getpid(), signal.SIGHUP if len(runs) == 1 else signal.SIGTERM)
        ran.set()

    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    daemon = Daemon(once, lambda: LATE)
    try:
        daemon.watch_signals()
        daemon.loop()
    finally:
        for number, handler in zip(
            (signal.SIGTERM, signal.SIGINT, signal.SIGHUP), before, strict=True
        ):
            signal.signal(number, handler)
    assert len(runs) == 2


def test_between_two_runs_it_gives_signs_of_life() -> None:
    runs, beats = [], []

    def beat() -> None:
        beats.append(1)
        if len(beats) == 2:
            raise SettingsError("the mirror is down")
        if len(beats) == 3:
            daemon.stop()

    often = Rhythm(interval_seconds=3600, jitter_seconds=0, heartbeat_seconds=0.001)
    daemon = Daemon(lambda: runs.append(1), lambda: often, beat)
    daemon.loop()
    assert (len(runs), len(beats)) == (1, 3)
