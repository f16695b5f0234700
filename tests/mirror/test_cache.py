"""A replica's disk before its store: bounded, verified, shared, and never in the way."""

import asyncio
import contextlib
import hashlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from keys.errors import MissingError, StoreError, UnreachableError
from mirror.storage import FilesystemStore
from mirror.storage.base import CHUNK_BYTES
from mirror.web.cache.store import CachedStore
from tests import small_disks
from tests.mirror.faulty_store import FaultyStore

MANY = 64 << 20


def blob(text: bytes) -> tuple[str, bytes]:
    """Name a definition as a repository does."""
    sha256 = hashlib.sha256(text).hexdigest()
    return f"r/site/targets/inhouse/files/{sha256}.rules.bin", text


def kilobytes(number: int, count: int = 100) -> tuple[str, bytes]:
    return blob(bytes([number]) * (count << 10))


@contextlib.asynccontextmanager
async def opened(
    store: FaultyStore, folder: Path, max_bytes: int = MANY
) -> AsyncIterator[CachedStore]:
    cache = CachedStore(store, folder, max_bytes=max_bytes)
    await cache.prepare()
    try:
        yield cache
    finally:
        await cache.close()


def _found(folder: Path, pattern: str) -> list[Path]:
    return list(folder.glob(pattern))


async def _bytes(cache: CachedStore, name: str) -> bytes:
    """Take a blob as an answer does: from its file, else in pieces."""
    path = await cache.local_path(name)
    if path is not None:
        return await asyncio.to_thread(path.read_bytes)
    return b"".join([piece async for piece in cache.chunks(name, 0, MANY)])


async def test_a_blob_is_brought_once_for_all_who_wait(tmp_path: Path) -> None:
    store, (name, data) = FaultyStore(), blob(os.urandom(3 * CHUNK_BYTES + 7))
    await store.create(name, data)
    store.seconds = 0.01
    async with opened(store, tmp_path) as cache:
        impatient = asyncio.create_task(cache.local_path(name))
        others = [asyncio.create_task(_bytes(cache, name)) for _ in range(20)]
        await asyncio.sleep(0.005)
        impatient.cancel()  # a client that went away takes nothing from the others
        assert set(await asyncio.gather(*others)) == {data}
        assert await _bytes(cache, name) == data
        assert await cache.read(name, max_bytes=MANY) == data
        assert [piece async for piece in cache.chunks(name, 1, 4)] == [data[1:4]]
    assert store.asked[f"chunks {name}"] == 1
    counts = cache.blobs.counts
    assert (counts.miss, counts.passed) == (1, 0)


async def test_another_process_finds_what_one_brought(tmp_path: Path) -> None:
    store, (name, data) = FaultyStore(), kilobytes(1)
    await store.create(name, data)
    for _ in range(2):
        async with opened(store, tmp_path) as cache:
            assert await _bytes(cache, name) == data
    assert store.asked[f"chunks {name}"] == 1


async def test_what_is_damaged_in_the_store_is_never_sent(tmp_path: Path) -> None:
    store, (name, data) = FaultyStore(), kilobytes(1)
    await store.create(name, data)
    store.lies[name] = b"x" * len(data)
    async with opened(store, tmp_path) as cache:
        for _ in range(3):
            with pytest.raises(StoreError, match="damaged in the store"):
                await cache.local_path(name)
        assert store.asked[f"chunks {name}"] == 1  # and is left alone for a while
    async with opened(store, tmp_path, max_bytes=10) as cache:  # it would go through
        with pytest.raises(StoreError, match="damaged in the store"):
            await cache.local_path(name)
    assert not _found(tmp_path, "blobs/??/*")


async def test_what_is_damaged_on_disk_is_brought_anew(tmp_path: Path) -> None:
    store, (name, data) = FaultyStore(), kilobytes(1)
    await store.create(name, data)
    async with opened(store, tmp_path) as cache:
        path = await cache.local_path(name)
        assert path is not None
        path.chmod(0o644)
        path.write_bytes(b"y" * len(data))
        assert await _bytes(cache, name) == data
        assert await _bytes(cache, name) == data
    assert store.asked[f"chunks {name}"] == 2


async def test_the_longest_unused_goes_first_and_the_bound_holds(tmp_path: Path) -> None:
    store, blobs = FaultyStore(), [kilobytes(number) for number in range(12)]
    for name, data in blobs:
        await store.create(name, data)
    async with opened(store, tmp_path, max_bytes=1 << 20) as cache:
        for number, (name, data) in enumerate(blobs):
            assert await _bytes(cache, name) == data
            path = await cache.local_path(blobs[0][0])
            assert path is not None
            os.utime(path, (1e10, path.stat().st_mtime))  # the first is always in use
            last = await cache.local_path(name)
            assert last is not None
            os.utime(last, (1e9 + number, last.stat().st_mtime))
        held = [path.name for path in (tmp_path / "blobs").glob("??/*")]
        assert sum(path.stat().st_size for path in (tmp_path / "blobs").glob("??/*")) <= 1 << 20
        assert blobs[1][0].split("/")[-1][:64] not in held
        assert blobs[0][0].split("/")[-1][:64] in held
        assert cache.disk.evicted > 0


async def test_a_blob_that_is_evicted_while_it_is_sent_arrives_whole(tmp_path: Path) -> None:
    store, (name, data), (other, more) = FaultyStore(), kilobytes(1, 600), kilobytes(2, 600)
    await store.create(name, data)
    await store.create(other, more)
    async with opened(store, tmp_path, max_bytes=1 << 20) as cache:
        path = await cache.local_path(name)
        assert path is not None
        with path.open("rb") as file:
            begun = file.read(1000)
            assert await _bytes(cache, other) == more
            assert not path.exists()
            assert begun + file.read() == data


async def test_a_blob_larger_than_the_bound_goes_through_verified(tmp_path: Path) -> None:
    store, (name, data) = FaultyStore(), blob(os.urandom(2 * CHUNK_BYTES))
    await store.create(name, data)
    async with opened(store, tmp_path, max_bytes=1000) as cache:
        for _ in range(3):
            assert await cache.local_path(name) is None
            assert [piece async for piece in cache.chunks(name, 5, 9)] == [data[5:9]]
        assert cache.blobs.counts.miss == 0
    assert store.asked[f"piece {name}"] == 2 + 3  # once whole to verify it, then what was asked for


async def test_what_is_not_there_is_missing(tmp_path: Path) -> None:
    async with opened(FaultyStore(), tmp_path) as cache:
        for name in (kilobytes(1)[0], "r/site/metadata/2.root.json"):
            with pytest.raises(MissingError):
                await cache.read(name, max_bytes=MANY)
            assert await cache.stat(name) is None


async def test_a_silent_store_is_not_asked_by_everybody(tmp_path: Path) -> None:
    store = FaultyStore()
    store.is_silent = True
    async with opened(store, tmp_path) as cache:
        for number in range(20):
            with pytest.raises(UnreachableError):
                await cache.local_path(kilobytes(number)[0])
        assert store.asked.total() == 1
        store.is_silent = False
        await cache.stat("r/site/metadata/timestamp.json")  # always looked for
        with pytest.raises(MissingError):
            await cache.local_path(kilobytes(1)[0])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB and a half."""
    with small_disks.mounted(tmp_path / "disk", "1536k") as folder:
        yield folder


async def test_on_a_full_cache_disk_blobs_go_through_until_there_is_room(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mirror.web.cache.disk.RETRY_SECONDS", 0.0)
    store, (name, data) = FaultyStore(), kilobytes(1)
    await store.create(name, data)
    async with opened(store, small_disk / "cache") as cache:
        (small_disk / "other").write_bytes(b"x" * (1400 << 10))
        with (small_disk / "more").open("wb") as file, contextlib.suppress(OSError):
            file.write(b"x" * (1 << 20))
        assert await _bytes(cache, name) == data
        assert cache.disk.trouble
        assert cache.blobs.counts.passed > 0
        (small_disk / "other").unlink()
        assert await _bytes(cache, name) == data
        assert not cache.disk.trouble
        assert cache.blobs.counts.miss == 1


async def test_a_cache_that_cannot_be_written_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    store, (name, data) = FaultyStore(), kilobytes(1)
    await store.create(name, data)
    await store.create("r/site/metadata/1.root.json", b"{}")
    async with opened(store, tmp_path / "cache") as cache:
        assert await _bytes(cache, name) == data
        assert await cache.read("r/site/metadata/1.root.json", max_bytes=9) == b"{}"
        assert cache.facts().refuses


_READER = """\
import asyncio, hashlib, os, sys
from pathlib import Path
from mirror.storage import FilesystemStore
from mirror.web.cache.store import CachedStore

async def main():
    store, names = FilesystemStore(Path(sys.argv[1])), sys.argv[3:]
    cache = CachedStore(store, Path(sys.argv[2]), max_bytes=1 << 20)
    await cache.prepare()
    for _ in range(10):
        for name in names:
            path = await cache.local_path(name)
            if path:
                try:
                    data = path.read_bytes()
                except FileNotFoundError:
                    data = await cache.read(name, max_bytes=1 << 30)
            else:
                data = await cache.read(name, max_bytes=1 << 30)
            assert hashlib.sha256(data).hexdigest() in name, name
    await cache.close()

asyncio.run(main())
"""


@pytest.mark.slow
async def test_processes_that_share_a_cache_get_right_bytes_and_keep_its_bound(
    tmp_path: Path,
) -> None:
    store, blobs = FilesystemStore(tmp_path / "store"), [kilobytes(n, 150) for n in range(12)]
    for name, data in blobs:
        await store.create(name, data)
    words = [str(tmp_path / "store"), str(tmp_path / "cache"), *(name for name, _ in blobs)]
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", _READER, *words, stderr=asyncio.subprocess.PIPE
        )
        for _ in range(3)
    ]
    ends = await asyncio.gather(*(process.communicate() for process in processes))
    assert [process.returncode for process in processes] == [0, 0, 0], ends
    held = sum(path.stat().st_size for path in (tmp_path / "cache/blobs").glob("??/*"))
    assert held <= (1 << 20) + len(processes) * ((1 << 16) + len(blobs[0][1]))


_KILLED = """\
import asyncio, os, signal, sys
from pathlib import Path
from mirror.web.cache.store import CachedStore
from tests.mirror.faulty_store import FaultyStore
from tests.mirror.test_cache import blob

class Killing(FaultyStore):
    async def chunks(self, name, start, stop):
        async for piece in super().chunks(name, start, stop):
            yield piece
            if self.asked[f"piece {name}"] == 2:
                os.kill(os.getpid(), signal.SIGKILL)

async def main():
    store, (name, data) = Killing(), blob(bytes(5 << 20))
    await store.create(name, data)
    cache = CachedStore(store, Path(sys.argv[1]), max_bytes=1 << 30)
    await cache.prepare()
    await cache.local_path(name)

asyncio.run(main())
"""


@pytest.mark.slow
async def test_a_kill_in_mid_download_leaves_nothing_that_is_served(tmp_path: Path) -> None:
    done = await asyncio.create_subprocess_exec(sys.executable, "-c", _KILLED, str(tmp_path))
    assert await done.wait() == -signal.SIGKILL
    assert len(_found(tmp_path, "blobs/??/.tmp-*")) == 1
    store, (name, data) = FaultyStore(), blob(bytes(5 << 20))
    await store.create(name, data)
    async with opened(store, tmp_path) as cache:
        assert not _found(tmp_path, "blobs/??/.tmp-*")
        assert await _bytes(cache, name) == data
