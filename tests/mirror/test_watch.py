"""Files that change on disk, in each way a file can change."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from keys.errors import Error, SettingsError
from mirror.watch import Subject, Watcher, digest


class Reader:
    """Something whose content is read from a file, and refuses what begins with ``bad``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.value = path.read_text()
        self.refused: list[str] = []
        self.changed = asyncio.Event()

    async def apply(self) -> None:
        found = self.path.read_text()
        if found.startswith("bad"):
            raise SettingsError(f"{self.path}: {found}")
        self.value = found

    async def report(self, what: str, error: Error | None) -> None:
        assert what == "thing"
        if error:
            self.refused.append(str(error))
        self.changed.set()

    async def next(self) -> None:
        async with asyncio.timeout(10):
            await self.changed.wait()
        self.changed.clear()

    @contextlib.asynccontextmanager
    async def watched(self, *, events: bool, poll_seconds: float) -> AsyncIterator[None]:
        subject = Subject("thing", lambda: [self.path], self.apply)
        watcher = Watcher([subject], self.report, poll_seconds=lambda: poll_seconds, events=events)
        async with watcher.watching():
            yield


def overwrite(path: Path, text: str) -> None:
    path.write_text(text)


def rename_over(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.rename(path)


def swap_link(path: Path, text: str) -> None:
    """Change it as Kubernetes does: ``..data`` is pointed at another folder."""
    folder = path.parent / f"..{text}"
    folder.mkdir()
    (folder / path.name).write_text(text)
    staged = path.parent / "..data_tmp"
    staged.symlink_to(folder.name)
    staged.rename(path.parent / "..data")


def projected(path: Path, text: str) -> None:
    """Lay a file out as Kubernetes does."""
    swap_link(path, text)
    path.symlink_to(Path("..data") / path.name)


WAYS = [
    pytest.param(overwrite, overwrite, id="overwrite"),
    pytest.param(overwrite, rename_over, id="rename-over"),
    pytest.param(projected, swap_link, id="symlink-swap"),
]
Way = Callable[[Path, str], None]


@pytest.mark.parametrize("events", [True, False], ids=["events", "polling"])
@pytest.mark.parametrize(("place", "change"), WAYS)
async def test_a_change_takes_effect(
    tmp_path: Path, place: Way, change: Way, *, events: bool
) -> None:
    path = tmp_path / "thing"
    place(path, "one")
    reader = Reader(path)
    async with reader.watched(events=events, poll_seconds=600 if events else 0.05):
        for text in ("two", "three"):
            change(path, text)
            await reader.next()
            assert reader.value == text
    assert reader.refused == []


async def test_a_watch_that_ends_while_it_turns_to_other_folders_leaves_nothing_running(
    tmp_path: Path,
) -> None:
    path = tmp_path / "thing"
    path.write_text("one")
    reader = Reader(path)
    before = set(threading.enumerate())
    for wait in (0, 0.0005, 0.001, 0.002, 0.004) * 8:
        async with reader.watched(events=True, poll_seconds=600):
            await asyncio.sleep(wait)
    left = [thread.name for thread in set(threading.enumerate()) - before]
    assert [name for name in left if not name.startswith("asyncio")] == []


@pytest.mark.parametrize("events", [True, False], ids=["events", "polling"])
async def test_a_broken_replacement_is_refused_and_the_old_stays(
    tmp_path: Path, *, events: bool
) -> None:
    path = tmp_path / "thing"
    path.write_text("one")
    reader = Reader(path)
    async with reader.watched(events=events, poll_seconds=600 if events else 0.05):
        path.write_text("bad bytes")
        await reader.next()
        assert reader.value == "one"
        assert reader.refused == [f"{path}: bad bytes"]
        path.write_text("two")
        await reader.next()
        assert reader.value == "two"


async def test_a_file_that_is_touched_is_not_reloaded(tmp_path: Path) -> None:
    path = tmp_path / "thing"
    path.write_text("one")
    reader = Reader(path)
    async with reader.watched(events=False, poll_seconds=0.02):
        path.touch()
        path.write_text("one")
        await asyncio.sleep(0.5)
    assert not reader.changed.is_set()


@pytest.mark.parametrize("step", ["__init__", "schedule", "start"])
async def test_a_file_system_without_events_is_polled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    # the limit belongs to the machine: a test cannot reach it without harming others
    monkeypatch.setattr(f"watchdog.observers.api.BaseObserver.{step}", refuse)
    path = tmp_path / "thing"
    path.write_text("one")
    reader = Reader(path)
    async with reader.watched(events=True, poll_seconds=0.05):
        path.write_text("two")
        await reader.next()
        assert reader.value == "two"


def test_a_folder_is_as_its_files_are(tmp_path: Path) -> None:
    seen = {digest([tmp_path])}
    (tmp_path / "a.pem").write_text("a")
    seen.add(digest([tmp_path]))
    (tmp_path / "a.pem").rename(tmp_path / "b.pem")
    seen.add(digest([tmp_path]))
    (tmp_path / "b.pem").unlink()
    assert len(seen) == 3
    assert digest([tmp_path]) in seen
