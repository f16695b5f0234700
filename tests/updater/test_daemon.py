"""The loop of `sigupdate daemon`."""

import os
import signal
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import SettingsError
from updater.daemon import Daemon, Rhythm, own_turn

SOON = Rhythm(interval_seconds=0.001, jitter_seconds=0)
LATE = Rhythm(interval_seconds=3600, jitter_seconds=0)


def middle(low: float, high: float) -> float:
    return (low + high) / 2


def test_jitter_comes_on_top_of_the_interval() -> None:
    assert Rhythm(900, 60).pause(0, middle) == 930


def test_hosts_that_share_the_interval_out_never_begin_together() -> None:
    beginnings = {
        (now + Rhythm(900, 600, turns=3, turn=own_turn(name, 3)).pause(now, middle)) % 900
        for name in ("web-0", "web-1", "web-2")
        for now in (0.5, 299.5, 1e9)
    }
    assert beginnings == {75, 375, 675}  # jitter takes half of a turn at most, here a quarter


@given(st.text(max_size=70), st.integers(0, 50), st.floats(0, 2**33))
def test_every_host_has_one_turn_and_it_comes_within_the_interval(
    name: str, turns: int, now: float
) -> None:
    turn = own_turn(name, turns)
    assert turn == own_turn(name, turns)
    assert 0 <= turn <= max(0, turns - 1)
    assert 0 <= Rhythm(900, 0, turns=turns, turn=turn).pause(now) <= 900


def test_a_run_that_leaves_an_engine_unproven_is_followed_by_others_soon_and_ever_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("updater.daemon.SOON_SECONDS", 0.01)  # 15 s are too long for a test
    pauses: list[float] = []

    class Counting(Daemon):
        def _pause(self, seconds: float) -> None:
            pauses.append(seconds)

    def once() -> bool:
        if len(pauses) == 6:
            daemon.stop()
        return len(pauses) not in {3, 4}

    daemon = Counting(once, lambda: Rhythm(0.03, 0))
    daemon.loop()
    assert pauses == [0.01, 0.02, 0.03, 0.03, 0.03, 0.01]


def test_it_runs_until_it_is_stopped() -> None:
    runs = []

    def once() -> bool:
        runs.append(1)
        if len(runs) == 3:
            daemon.stop()
        return False

    daemon = Daemon(once, lambda: SOON)
    daemon.loop()
    assert len(runs) == 3


def test_a_run_that_fails_is_logged_and_the_next_one_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    errors = [SettingsError("mirrors: wrong"), ZeroDivisionError("a defect")]

    def once() -> bool:
        if errors:
            raise errors.pop(0)
        daemon.stop()
        return False

    daemon = Daemon(once, lambda: SOON)
    daemon.loop()
    assert "mirrors: wrong" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_it_does_not_start_on_settings_it_cannot_read() -> None:
    def unreadable() -> Rhythm:
        raise SettingsError("no such file")

    with pytest.raises(SettingsError):
        Daemon(lambda: False, unreadable)


def test_sighup_runs_now_and_sigterm_ends_after_the_run() -> None:
    ran = threading.Event()
    runs = []

    def once() -> bool:
        runs.append(1)
        os.kill(os.getpid(), signal.SIGHUP if len(runs) == 1 else signal.SIGTERM)
        ran.set()
        return False

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
    runs: list[int] = []
    beats: list[int] = []

    def once() -> bool:
        runs.append(1)
        return False

    def beat() -> None:
        beats.append(1)
        if len(beats) == 2:
            raise SettingsError("the mirror is down")
        if len(beats) == 3:
            daemon.stop()

    often = Rhythm(interval_seconds=3600, jitter_seconds=0, heartbeat_seconds=0.001)
    daemon = Daemon(once, lambda: often, beat)
    daemon.loop()
    assert (len(runs), len(beats)) == (1, 3)
