import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from keys.errors import MissingError, NameRefusedError, SettingsError, StoreError
from mirror.settings import StoreSettings
from mirror.storage import FilesystemStore, MemoryStore, open_store
from tests import small_disks
from tests.mirror import kill_points
from tests.mirror.store_contract import StoreContract

OLD, NEW = b"old" * 5000, b"new" * 5000


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()


class TestFilesystemStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FilesystemStore:
        return FilesystemStore(tmp_path / "store")


async def test_a_symbolic_link_leads_nowhere(tmp_path: Path) -> None:
    store, outside = FilesystemStore(tmp_path / "store"), tmp_path / "outside"
    await store.create("r/a", b"x")
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (tmp_path / "store/r/folder").symlink_to(outside)
    (tmp_path / "store/r/file").symlink_to(outside / "secret")
    for name in ("r/folder/secret", "r/file"):
        with pytest.raises(NameRefusedError, match="symbolic link"):
            await store.read(name, max_bytes=99)
        with pytest.raises(NameRefusedError, match="symbolic link"):
            await store.create(name, b"x")
        with pytest.raises(NameRefusedError, match="symbolic link"):
            await store.delete(name)
    with pytest.raises(NameRefusedError):
        await store.replace("r/folder/new", b"x")
    assert [name async for name in store.names("r")] == ["r/a"]
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]


async def test_a_special_file_is_no_object(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MissingError):
        await store.read("pipe", max_bytes=1)


async def test_a_sweep_removes_what_a_crashed_writer_left(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    await store.create("r/deep/a", b"x")
    for name in ("r/.tmp-1", "r/deep/.tmp-2"):
        (tmp_path / name).write_bytes(b"half")
    await store.sweep("r")
    left = await asyncio.to_thread(lambda: sorted(path.name for path in tmp_path.rglob("*")))
    assert left == ["a", "deep", "r"]


async def test_a_created_file_is_linked_not_copied(tmp_path: Path) -> None:
    store, source = FilesystemStore(tmp_path / "store"), tmp_path / "source"
    source.write_bytes(b"x")
    await store.create("a", source)
    assert (tmp_path / "store/a").stat().st_ino == source.stat().st_ino


async def test_another_process_is_locked_out_too(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\nfrom pathlib import Path\n"
        "from mirror.storage import FilesystemStore\n"
        "async def main():\n"
        "    async with FilesystemStore(Path(sys.argv[1])).writing('site'):\n"
        "        pass\n"
        "asyncio.run(main())\n"
    )
    async with FilesystemStore(tmp_path).writing("site"):
        command = [sys.executable, "-c", program, str(tmp_path)]
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, check=False, timeout=60
        )
    assert "LockedError" in done.stderr


def test_what_names_no_folder_and_no_bucket_is_no_store() -> None:
    assert isinstance(open_store(StoreSettings("file:///var/lib/sigmirror")), FilesystemStore)
    for url in ("/var/lib", "file://relative", "s4://bucket", ""):
        with pytest.raises(SettingsError, match="not a store"):
            open_store(StoreSettings(url))


@pytest.mark.slow
def test_a_kill_at_any_change_leaves_no_torn_object(tmp_path: Path) -> None:
    kill_points.need_strace()
    program = (
        "from mirror.storage import FilesystemStore\n"
        "async def main():\n"
        "    store = FilesystemStore(Path(sys.argv[1]))\n"
        "    await store.replace('r/kept', b'new' * 5000)\n"
        "    await store.create('r/deep/made', b'new' * 5000)\n"
        "    await store.create('r/adopted', Path(sys.argv[2]))\n"
        "run(main())\n"
    )
    rounds: Iterator[Path] = (tmp_path / f"store-{number}" for number in range(10_000))
    folder = tmp_path

    def fresh() -> list[str]:
        nonlocal folder
        folder = next(rounds)
        (folder / "r").mkdir(parents=True)
        (folder / "r/kept").write_bytes(OLD)
        source = folder.with_suffix(".source")
        source.write_bytes(NEW)
        return [str(folder), str(source)]

    async def objects() -> dict[str, bytes]:
        store = FilesystemStore(folder)
        return {n: await store.read(n, max_bytes=1 << 20) async for n in store.names("r")}

    def check(when: str) -> None:
        found = asyncio.run(objects())
        assert found.pop("r/kept") in {OLD, NEW}, when
        assert all(data == NEW for data in found.values()), when

    kills = kill_points.every_kill(program, log=tmp_path / "log", fresh=fresh, check=check)
    print(f"killed at {kills} points")
    assert kills > 10


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    with small_disks.mounted(tmp_path / "disk", "256k") as folder:
        yield folder


async def test_a_full_disk_is_an_error_that_loses_nothing(small_disk: Path) -> None:
    store, source = FilesystemStore(small_disk), small_disk.parent / "source"
    source.write_bytes(b"x" * (1 << 20))
    await store.create("kept", OLD)
    for attempt in (
        store.replace("kept", b"x" * (1 << 20)),
        store.create("big", b"x" * (1 << 20)),
        store.create("big", source),
    ):
        with pytest.raises(StoreError, match="No space left") as caught:
            await attempt
        assert "free some space" in caught.value.hint
    assert await store.read("kept", max_bytes=1 << 20) == OLD
    left = [path.name for path in Path(small_disk).iterdir()]  # noqa: ASYNC240 - a tmpfs never waits
    assert left == ["kept"]
    await store.create("small", NEW)
