"""What every store promises; each implementation runs this suite."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keys.errors import ConflictError, LimitError, LockedError, MissingError, NameRefusedError
from mirror.storage import Store
from mirror.storage.base import CHUNK_BYTES

HOSTILE_NAMES = [
    "",
    "/etc/passwd",
    "..",
    "a/../b",
    "./a",
    "a//b",
    "a/",
    ".hidden",
    "a/.tmp-1",
    "a\\b",
    "a\0b",
    "a\nb",
    "a\u202eb",
    "a\ud800b",
    "x" * 256,
    "x/" * 600 + "x",
]


async def gather(store: Store, name: str, start: int, stop: int) -> bytes:
    return b"".join([chunk async for chunk in store.chunks(name, start, stop)])


class StoreContract:
    """Mix in a fixture ``store``; each test is one promise."""

    async def test_a_created_object_can_be_read(self, store: Store) -> None:
        await store.create("a/b/c", b"bytes")
        assert await store.read("a/b/c", max_bytes=5) == b"bytes"
        found = await store.stat("a/b/c")
        assert found is not None
        assert found.length == 5

    async def test_an_object_that_is_not_there_is_missing(self, store: Store) -> None:
        await store.create("a/b", b"x")
        assert await store.stat("a/c") is None
        assert await store.stat("a") is None
        for name in ("a/c", "a"):
            with pytest.raises(MissingError):
                await store.read(name, max_bytes=1)
            with pytest.raises(MissingError):
                await store.local_path(name)
            with pytest.raises(MissingError):
                await gather(store, name, 0, 1)
        await store.delete("a/c")

    async def test_create_never_overwrites(self, store: Store) -> None:
        await store.create("a", b"first")
        with pytest.raises(ConflictError):
            await store.create("a", b"second")
        assert await store.read("a", max_bytes=9) == b"first"

    async def test_of_many_creators_exactly_one_wins(self, store: Store) -> None:
        contents = [f"{number}".encode() * 1000 for number in range(20)]
        outcomes = await asyncio.gather(
            *(store.create("race", content) for content in contents), return_exceptions=True
        )
        winners = [contents[i] for i, outcome in enumerate(outcomes) if outcome is None]
        assert len(winners) == 1
        assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 19
        assert await store.read("race", max_bytes=9999) == winners[0]

    async def test_a_file_becomes_an_object(self, store: Store, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(b"from a file")
        await store.create("a/file", source)
        source.unlink()
        assert await store.read("a/file", max_bytes=99) == b"from a file"
        source.write_bytes(b"another")
        with pytest.raises(ConflictError):
            await store.create("a/file", source)
        assert await store.read("a/file", max_bytes=99) == b"from a file"

    async def test_replace_changes_bytes_and_version(self, store: Store) -> None:
        await store.replace("a", b"old")
        before = await store.stat("a")
        await store.replace("a", b"new")
        assert await store.read("a", max_bytes=3) == b"new"
        after = await store.stat("a")
        assert before is not None
        assert after is not None
        assert before.version != after.version

    async def test_a_reader_never_sees_half_a_replacement(self, store: Store) -> None:
        values = [bytes([number]) * 100_000 for number in range(30)]
        await store.replace("a", values[0])

        async def write() -> None:
            for value in values:
                await store.replace("a", value)

        writer = asyncio.create_task(write())
        while not writer.done():
            assert await store.read("a", max_bytes=100_000) in values
            await asyncio.sleep(0)
        await writer

    async def test_a_read_above_its_limit_is_refused(self, store: Store) -> None:
        await store.create("a", b"12345")
        with pytest.raises(LimitError, match="max_bytes=4"):
            await store.read("a", max_bytes=4)

    async def test_chunks_give_exactly_the_range(self, store: Store) -> None:
        data = bytes(range(256)) * 10_000
        await store.create("a", data)
        assert await gather(store, "a", 0, len(data)) == data
        assert await gather(store, "a", 5, 9) == data[5:9]
        assert await gather(store, "a", len(data) - 3, len(data) + 100) == data[-3:]
        assert await gather(store, "a", 7, 7) == b""
        sizes = [len(chunk) async for chunk in store.chunks("a", 0, len(data))]
        assert max(sizes) <= CHUNK_BYTES

    async def test_a_deleted_object_is_gone(self, store: Store) -> None:
        await store.create("a/b", b"x")
        await store.delete("a/b")
        assert await store.stat("a/b") is None
        await store.create("a/b", b"y")

    async def test_an_object_knows_when_it_was_written(self, store: Store) -> None:
        before = datetime.now(UTC) - timedelta(seconds=1)
        await store.create("a", b"x")
        found = await store.stat("a")
        assert found is not None
        assert before <= found.modified <= datetime.now(UTC) + timedelta(seconds=1)

    async def test_a_sweep_leaves_every_object(self, store: Store) -> None:
        for name in ("r/one/a", "r/one/deep/b"):
            await store.create(name, b"x")
        await store.sweep("r/one")
        assert sorted([name async for name in store.names("r")]) == ["r/one/a", "r/one/deep/b"]

    async def test_names_lists_what_lies_below_a_folder(self, store: Store) -> None:
        for name in ("r/one/a", "r/one/deep/b", "r/onely/c", "other"):
            await store.create(name, b"")
        assert sorted([name async for name in store.names("r/one")]) == ["r/one/a", "r/one/deep/b"]
        assert [name async for name in store.names("r/two")] == []

    async def test_local_path_holds_the_bytes_or_is_none(self, store: Store) -> None:
        await store.create("a", b"x")
        path = await store.local_path("a")
        assert path is None or path.read_bytes() == b"x"

    @pytest.mark.parametrize("name", HOSTILE_NAMES, ids=range(len(HOSTILE_NAMES)))
    async def test_a_hostile_name_is_refused_everywhere(self, store: Store, name: str) -> None:
        for attempt in (
            store.stat(name),
            store.read(name, max_bytes=1),
            store.local_path(name),
            store.create(name, b""),
            store.replace(name, b""),
            store.delete(name),
            gather(store, name, 0, 1),
        ):
            with pytest.raises(NameRefusedError):
                await attempt

    async def test_a_second_writer_is_locked_out(self, store: Store) -> None:
        async with store.writing("site"), store.writing("other"):
            with pytest.raises(LockedError, match="site"):
                async with store.writing("site"):
                    pass
        async with store.writing("site"):
            pass

    async def test_a_failing_writer_frees_the_lock(self, store: Store) -> None:
        with pytest.raises(ZeroDivisionError):
            async with store.writing("site"):
                raise ZeroDivisionError
        async with store.writing("site"):
            pass
