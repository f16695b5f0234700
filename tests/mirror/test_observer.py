"""What metrics show of the fleet is read beside a scrape: bounded, and never in its way."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from keys.errors import StateError
from mirror.cli.options import open_site
from mirror.observer import Observer
from mirror.site import MirrorSite
from tests.mirror.operator import Operator
from tests.mirror.serving import wait_for
from tests.mirror.site import NOW


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> MirrorSite:
    return open_site(Operator(tmp_path, capsys).config)


def test_scraping_more_often_reads_nothing_more_often(site: MirrorSite) -> None:
    readings: list[int] = []

    def opened() -> MirrorSite:
        readings.append(1)
        return site

    observer = Observer(opened, lambda: NOW, first_seconds=60.0)
    found = [observer.latest() for _ in range(20)]
    assert len(readings) == 1
    assert found[0]
    assert found[0].at == NOW
    assert found[0].hosts is not None
    assert all(one is found[0] for one in found)


def test_a_reading_that_hangs_is_one_and_holds_up_no_scrape(site: MirrorSite) -> None:
    readings: list[int] = []
    go_on = threading.Event()

    def opened() -> MirrorSite:
        readings.append(1)
        go_on.wait()
        return site

    observer = Observer(opened, lambda: NOW, first_seconds=0.01)
    assert [observer.latest() for _ in range(5)] == [None] * 5
    go_on.set()
    wait_for(lambda: observer.latest() is not None, "the reading")
    assert len(readings) == 1


@pytest.mark.parametrize("error", [StateError("the disk refuses"), ValueError("a mistake of ours")])
def test_a_reading_that_fails_leaves_the_last_one_with_its_time(
    site: MirrorSite, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mirror.observer.LEAST_SECONDS", 0.0)  # else the test would wait for it
    monkeypatch.setattr("mirror.observer.SHARE", 0)
    times = iter([NOW, NOW + timedelta(hours=1)])
    failed = threading.Event()

    def opened() -> MirrorSite:
        if found:
            failed.set()
            raise error
        return site

    found: list[object] = []
    observer = Observer(opened, lambda: next(times), first_seconds=60.0)
    found.append(observer.latest())
    assert observer.latest() is found[0]
    assert failed.wait(60)
    assert observer.latest() is found[0]
