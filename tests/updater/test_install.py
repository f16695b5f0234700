"""Generations and blobs on disk."""

import errno
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from keys.errors import DigestError, LockedError, StateError
from keys.model.release import File, Pin
from tests import small_disks
from tests.tuf_repository import ChannelRepository
from tests.updater.bench import Bench
from tests.updater.site import ScannerHost, served
from updater.install import Contents, Generations, check_space, on_disk
from updater.library import Library
from updater.state import Proved


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    folder = tmp_path / "blobs"
    folder.mkdir()
    return folder


def blob(folder: Path, path: str, data: bytes) -> File:
    pin = Pin.of(data)
    (folder / pin.sha256).unlink(missing_ok=True)  # installed ones are read-only
    (folder / pin.sha256).write_bytes(data)
    return File(path, pin.sha256, pin.length)


def stage(generations: Generations, blobs: Path, name: str = "1-abc") -> Path:
    files = {"a/rules.db": blob(blobs, "a/rules.db", b"one"), "b.db": blob(blobs, "b.db", b"two")}
    generations.prepare()
    return generations.stage(name, Contents(files, {"local.db": b"mine"}, None), blobs)


def test_a_generation_is_readable_by_every_user_whatever_the_umask(
    tmp_path: Path, blobs: Path
) -> None:
    before = os.umask(0o077)
    try:
        folder = stage(Generations(tmp_path / "engine"), blobs)
    finally:
        os.umask(before)
    modes = {
        p.relative_to(folder).as_posix(): stat.S_IMODE(p.stat().st_mode) for p in folder.rglob("*")
    }
    assert modes == {"a": 0o755, "a/rules.db": 0o444, "b.db": 0o444, "local.db": 0o444}
    assert [
        stat.S_IMODE(p.stat().st_mode) for p in (folder, folder.parent, folder.parent.parent)
    ] == [0o755] * 3


def test_files_are_links_to_blobs_and_take_no_room(tmp_path: Path, blobs: Path) -> None:
    folder = stage(Generations(tmp_path / "engine"), blobs)
    assert (folder / "b.db").stat().st_ino == (blobs / Pin.of(b"two").sha256).stat().st_ino


def test_nothing_is_in_force_before_the_swap(tmp_path: Path, blobs: Path) -> None:
    generations = Generations(tmp_path / "engine")
    stage(generations, blobs)
    assert generations.in_force() == ""
    generations.swap("1-abc")
    assert generations.in_force() == "1-abc"
    assert (generations.current / "b.db").read_bytes() == b"two"
    assert str(generations.current.readlink()) == "generations/1-abc"


def test_a_current_that_is_no_link_is_refused_and_left(tmp_path: Path) -> None:
    generations = Generations(tmp_path)
    generations.current.mkdir()
    with pytest.raises(StateError, match="current"):
        generations.in_force()


def test_a_missing_blob_is_named(tmp_path: Path, blobs: Path) -> None:
    generations = Generations(tmp_path / "engine")
    generations.prepare()
    lost = Contents({"x.db": File("x.db", "0" * 64, 1)}, {}, None)
    with pytest.raises(StateError, match="0000: this blob is gone"):
        generations.stage("1-abc", lost, blobs)
    assert generations.names() == ()


def test_what_a_crash_left_is_cleared(tmp_path: Path, blobs: Path) -> None:
    generations = Generations(tmp_path / "engine")
    stage(generations, blobs)
    (generations.path(".tmp-half") / "deep").mkdir(parents=True)
    generations.prepare()
    assert sorted(p.name for p in generations.path("").iterdir()) == ["1-abc"]


def test_pruning_never_removes_what_is_in_force(tmp_path: Path, blobs: Path) -> None:
    generations = Generations(tmp_path / "engine")
    stage(generations, blobs)
    generations.swap("1-abc")
    stage(generations, blobs, "2-abc")
    stage(generations, blobs, "3-abc")
    generations.prune({"3-abc"})
    assert generations.names() == ("1-abc", "3-abc")


def test_too_little_room_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="are needed and"):
        check_space(tmp_path, 1 << 60)


def test_a_full_disk_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="No space left") as raised, on_disk(tmp_path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "make room" in raised.value.hint


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    with small_disks.mounted(tmp_path / "small", "4m") as folder:
        yield folder


def test_on_a_full_disk_the_last_good_generation_stays_and_room_is_all_it_takes(
    small_disk: Path,
) -> None:
    with served(ChannelRepository("a")) as site:
        host = ScannerHost(small_disk, site)
        site.repository.release("a", {"one.db": b"one:one!\n"}, sequence=1)
        assert host.run().exit_code == 0
        site.repository.release("a", {"two.db": b"two:two!\n"}, sequence=2)
        ballast = small_disk / "ballast"
        _fill(ballast)
        report = host.run()
        assert (report.exit_code, host.sequences()) == (1, {"a": 1})
        assert report.engines[0].proof is Proved.proven
        assert any("No space left" in trouble.message for trouble in report.all_troubles)
        ballast.unlink()
        assert host.run().exit_code == 0
        assert host.sequences() == {"a": 2}


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return


def test_a_read_only_state_is_named_and_nothing_is_lost(small_disk: Path) -> None:
    with served(ChannelRepository("a")) as site:
        host = ScannerHost(small_disk, site)
        site.repository.release("a", {"one.db": b"one:one!\n"}, sequence=1)
        assert host.run().exit_code == 0
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        with pytest.raises(StateError, match="Read-only file system"):
            host.run()
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
        assert host.run().exit_code == 0


def test_two_runs_at_once_are_told_apart(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    host, place = bench.place.host, bench.place
    with host.lock(), pytest.raises(LockedError, match="update of this host"), host.lock():
        pass
    with place.lock(), pytest.raises(LockedError, match="engine scanner"), place.lock():
        pass


def test_a_damaged_blob_is_fetched_again(blobs: Path) -> None:
    library = Library(blobs)
    pin = Pin.of(b"good")
    library.path(pin).write_bytes(b"evil")
    assert library.get(pin, lambda: b"good", "it") == b"good"
    assert library.path(pin).read_bytes() == b"good"


def test_wrong_bytes_never_become_a_blob(blobs: Path) -> None:
    pin = Pin.of(b"good")
    with pytest.raises(DigestError):
        Library(blobs).get(pin, lambda: b"evil", "it")
    assert list(blobs.iterdir()) == []
