"""A killed run and a full disk: what is left is whole, and the next run ends well."""

import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from keys.errors import StateError
from keys.model.release import Pin, blob_name
from tests import small_disks
from tests.keys.trusting import Host
from tests.mirror.kill_points import every_kill, need_strace
from tests.tuf_repository import SignedRepository
from tests.updater.unruly_server import UnrulyServer
from updater.fetch import Fetcher

DATA = bytes(range(256)) * 8000
PIN = Pin.of(DATA)
PATH = f"/r/site/targets/{blob_name('a/b', PIN.sha256)}"

FETCH = """
from keys.model.release import Pin
from updater.fetch import Fetcher
url, folder, sha256, length = sys.argv[1:]
with Fetcher([url]) as fetcher:
    fetcher.blob("site", "a/b", Pin(sha256, int(length)), Path(folder))
"""

REFRESH = """
from datetime import UTC, datetime
from keys.trust.repository import Repository
from updater.fetch import Fetcher
url, folder = sys.argv[1], Path(sys.argv[2])
with Fetcher([url]) as fetcher:
    repository = Repository("site", folder / "metadata", folder / "clock.json")
    repository.refresh(fetcher.metadata("site"), now=datetime.now(UTC))
    repository.settle()
"""


@pytest.mark.slow
def test_a_fetch_killed_at_any_change_leaves_no_wrong_blob(tmp_path: Path) -> None:
    need_strace()
    folder = tmp_path / "blobs"
    with UnrulyServer({PATH: DATA}) as server:

        def fresh() -> list[str]:
            shutil.rmtree(folder, ignore_errors=True)
            return [server.url, str(folder), PIN.sha256, str(PIN.length)]

        def check(when: str) -> None:
            blob = folder / PIN.sha256
            assert not blob.exists() or blob.read_bytes() == DATA, when
            with Fetcher([server.url]) as fetcher:
                assert fetcher.blob("site", "a/b", PIN, folder).read_bytes() == DATA, when

        kills = every_kill(FETCH, log=tmp_path / "log", fresh=fresh, check=check)
    print(f"killed at {kills} points")
    assert kills >= 4


@pytest.mark.slow
def test_a_refresh_killed_at_any_change_leaves_a_trusted_copy(tmp_path: Path) -> None:
    need_strace()
    repository = SignedRepository()
    before = tmp_path / "before"
    host = Host.trusting(before, repository)
    host.refresh(repository)
    repository.publish("root", "targets", "snapshot", "timestamp")
    after = Host(tmp_path / "after")
    files = {f"/r/site/{name}": data for name, data in repository.files.items()}
    with UnrulyServer(files) as server:

        def fresh() -> list[str]:
            shutil.rmtree(after.metadata.parent, ignore_errors=True)
            shutil.copytree(before, after.metadata.parent)
            return [server.url, str(after.metadata.parent)]

        def check(when: str) -> None:
            assert after.load().timestamp_version in {1, 2}, when
            after.refresh(repository)
            assert after.trusted("targets") == repository.newest("targets"), when
            assert after.load().fresh, when

        kills = every_kill(REFRESH, log=tmp_path / "log", fresh=fresh, check=check)
    print(f"killed at {kills} points")
    assert kills >= 15


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with small_disks.mounted(tmp_path / "small", "4m") as folder:
        yield folder


def test_a_disk_that_fills_up_on_the_way_gets_its_room_back(small_disk: Path) -> None:
    with UnrulyServer({PATH: DATA}) as server:

        def fill(handler: BaseHTTPRequestHandler, _: bytes | None) -> None:
            (small_disk / "other").write_bytes(bytes(3 << 20))
            server.deliver(handler, DATA)

        server.script = [fill]
        with Fetcher([server.url]) as fetcher:
            with pytest.raises(StateError, match="No space left on device"):
                fetcher.blob("site", "a/b", PIN, small_disk / "blobs")
            assert list((small_disk / "blobs").iterdir()) == []
            with pytest.raises(StateError, match="disk full: a/b needs 2048000 bytes more"):
                fetcher.blob("site", "a/b", PIN, small_disk / "blobs")
            (small_disk / "other").unlink()
            assert fetcher.blob("site", "a/b", PIN, small_disk / "blobs").read_bytes() == DATA
