"""Records of hosts and customers in a bucket: read by every replica, changed by one at a time."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keys.errors import LockedError, StateError, UnreachableError, UsageError
from mirror.fleet.hosts import Hosts
from mirror.fleet.stored import StoredRecord
from mirror.storage.base import Store
from mirror.storage.bucket import BucketStore
from tests.mirror.faulty_store import FaultyStore
from tests.mirror.object_stores import ObjectStore

NOW = datetime(2026, 11, 23, tzinfo=UTC)
COPY = "state/hosts.json"


def record(store: Store, *, kept: Path | None = None) -> StoredRecord[Hosts]:
    return StoredRecord(store, "hosts", Hosts, kept=kept)


def admit(store: Store, name: str) -> None:
    with record(store).replacing() as changed:
        changed.value, _ = changed.value.add(name, now=NOW)


def test_what_one_machine_writes_another_reads() -> None:
    store = FaultyStore()
    assert record(store).read() == Hosts()
    assert record(store).version() == ""
    admit(store, "mx1")
    first = record(store).version()
    admit(store, "mx2")
    assert record(store).version() != first
    assert sorted(record(store).read().hosts) == ["mx1", "mx2"]


def test_of_two_who_change_it_at_once_the_first_counts() -> None:
    store = FaultyStore()
    admit(store, "mx1")
    slow = record(store)
    with slow.changing() as hosts:
        after, _ = hosts.add("mx3", now=NOW)
    admit(store, "mx2")
    with pytest.raises(LockedError, match="somebody else"):
        slow.write(after)
    assert sorted(record(store).read().hosts) == ["mx1", "mx2"]


def test_a_writer_who_died_before_he_copied_it_is_caught_up_with() -> None:
    store = FaultyStore()
    admit(store, "mx1")
    old = asyncio.run(store.read(COPY, max_bytes=1 << 20))
    admit(store, "mx2")
    asyncio.run(store.replace(COPY, old))  # as he left it, or as a slower one wrote it late
    before = record(store).version()
    assert sorted(record(store).read().hosts) == ["mx1", "mx2"]
    with pytest.raises(UsageError), record(store).replacing() as changed:
        changed.value, _ = changed.value.add("mx2", now=NOW)
    assert record(store).version() != before  # repaired, so that replicas notice


def test_only_the_last_changes_are_kept() -> None:
    store = FaultyStore()
    for number in range(25):
        admit(store, f"mx{number}")
    names = asyncio.run(_names(store))
    assert len(names) == 21
    assert len(record(store).read().hosts) == 25


async def _names(store: Store) -> list[str]:
    return [name async for name in store.names("state")]


def test_what_was_read_last_stands_in_for_a_silent_store(tmp_path: Path) -> None:
    store, kept = FaultyStore(), tmp_path / "kept/hosts.json"
    store.is_silent = True
    with pytest.raises(UnreachableError):
        record(store, kept=kept).read()
    store.is_silent = False
    admit(store, "mx1")
    assert "mx1" in record(store, kept=kept).read().hosts
    assert kept.stat().st_mode & 0o777 == 0o600
    store.is_silent = True
    assert "mx1" in record(store, kept=kept).read().hosts
    with pytest.raises(UnreachableError):  # but nothing is changed by what may be old
        record(store, kept=kept).changing().__enter__()


def test_a_damaged_record_is_told_by_name() -> None:
    store = FaultyStore()
    for text in (b"{", b'{"number": 1, "value": {"hosts": 7}}'):
        asyncio.run(store.replace(COPY, text))
        with pytest.raises(StateError, match=r"state/hosts\.json"):
            record(store).read()


@pytest.mark.slow
async def test_in_a_bucket_no_change_of_several_machines_is_lost(
    radosgw: ObjectStore, tmp_path: Path
) -> None:
    settings = radosgw.settings(tmp_path / "0")
    stores = [
        BucketStore(radosgw.settings(tmp_path / str(n), prefix=settings.url.rpartition("/")[2]))
        for n in range(3)
    ]

    def insist(store: Store, name: str) -> None:
        while True:
            try:
                return admit(store, name)
            except LockedError:
                continue

    await asyncio.gather(
        *(
            asyncio.to_thread(insist, store, f"mx{place}-{number}")
            for place, store in enumerate(stores)
            for number in range(3)
        )
    )
    assert len((await asyncio.to_thread(record(stores[0]).read)).hosts) == 9
