"""Where hosts and customers are written down, and the door each way of access needs.

On this machine's disk; for a store that is a bucket there, too, so that all replicas know them.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Protocol, Self, TypeVar

import msgspec

from keys.errors import StoreError
from mirror.fleet.customers import Customers
from mirror.fleet.doors import CustomersDoor, Door, HostsDoor, OpenDoor
from mirror.fleet.followed import FollowedDoor
from mirror.fleet.hosts import Hosts
from mirror.fleet.records import Record, RecordFile
from mirror.fleet.stored import FOLDER, StoredRecord
from mirror.rollout import Entitlement
from mirror.settings import Settings, StoreSettings
from mirror.storage import open_bucket

T = TypeVar("T", bound=msgspec.Struct)


class Records(Protocol[T]):
    """One value that is read whole, and changed by one at a time."""

    def read(self) -> T:
        """Return the value; as promised by ``RecordFile`` and ``StoredRecord``."""
        ...

    def write(self, value: T) -> None:
        """Replace the value, inside ``changing``."""
        ...

    def changing(self) -> AbstractContextManager[T]:
        """Hand out the value as it is now."""
        ...

    def replacing(self) -> AbstractContextManager[Record[T]]:
        """Hand out the value, and write what it is when the block ends well."""
        ...


def hosts_file(folder: Path) -> RecordFile[Hosts]:
    """Open the record of hosts in a mirror's folder."""
    return RecordFile(folder / FOLDER / "hosts.json", Hosts)


def customers_file(folder: Path) -> RecordFile[Customers]:
    """Open the record of a vendor's customers in a mirror's folder."""
    return RecordFile(folder / FOLDER / "customers.json", Customers)


def record_files(folder: Path) -> list[Path]:
    """Name the files of both."""
    return [hosts_file(folder).path, customers_file(folder).path]


def hosts_record(settings: Settings) -> Records[Hosts]:
    """Open the record of a mirror's hosts."""
    if settings.store.is_bucket:
        return StoredRecord(open_bucket(settings.store), "hosts", Hosts)
    return hosts_file(settings.folder)


def customers_record(settings: Settings) -> Records[Customers]:
    """Open the record of a vendor's customers."""
    if settings.store.is_bucket:
        return StoredRecord(open_bucket(settings.store), "customers", Customers)
    return customers_file(settings.folder)


def move(source: Settings, target: Settings) -> None:
    """Let one mirror know the hosts and customers of another, and no others; blocks.

    Raises:
        LockedError, StateError, StoreError: a record cannot be read or written.

    """
    _move(hosts_record(source), hosts_record(target))
    _move(customers_record(source), customers_record(target))


def _move(source: Records[T], target: Records[T]) -> None:
    value = source.read()
    with target.replacing() as record:
        record.value = value


def open_door(settings: Settings) -> Door:
    """Make the door of a way of access from the records as they are now.

    Raises:
        StateError: the records are unusable.
        StoreError: the store does not answer, and they were never read here.

    """
    if settings.serve.access == "licences":
        return CustomersDoor(_customers(settings).read())
    hosts = _hosts(settings).read()
    return HostsDoor(hosts) if settings.serve.access == "hosts" else OpenDoor(hosts)


async def followed_door(settings: Settings) -> Door:
    """Make the door as a running mirror needs it.

    Raises:
        StateError, StoreError: as ``open_door``.

    """
    if not settings.store.is_bucket:
        return await asyncio.to_thread(open_door, settings)
    follower = await Follower.starting(settings)
    door = await asyncio.to_thread(open_door, settings)

    async def look() -> Door | None:
        if not await asyncio.to_thread(follower.changed, settings):
            return None
        return await asyncio.to_thread(open_door, settings)

    return FollowedDoor(door, look)


class Follower:
    """Notices that the record a door was made from was changed by another machine."""

    def __init__(self) -> None:
        self._seen: str | None = None

    @classmethod
    async def starting(cls, settings: Settings) -> Self:
        """Begin with what there is now; with nothing, where the store does not answer."""
        follower = cls()
        with contextlib.suppress(StoreError):
            await asyncio.to_thread(follower.changed, settings)
        return follower

    def changed(self, settings: Settings) -> bool:
        """Tell whether there is another one than was seen last; blocks for one request.

        A file's changes are noticed elsewhere.

        Raises:
            StoreError: the store fails.

        """
        is_gated = settings.serve.access == "licences"
        record = _customers(settings) if is_gated else _hosts(settings)
        if not isinstance(record, StoredRecord):
            return False
        last, self._seen = self._seen, record.version()
        return self._seen != last


def _hosts(settings: Settings) -> Records[Hosts]:
    if settings.store.is_bucket:
        return _served(settings.store, "hosts", Hosts)
    return hosts_file(settings.folder)


def _customers(settings: Settings) -> Records[Customers]:
    if settings.store.is_bucket:
        return _served(settings.store, "customers", Customers)
    return customers_file(settings.folder)


def _served(store: StoreSettings, name: str, kind: type[T]) -> StoredRecord[T]:
    """Open a record as a replica reads it: what it read last stands in for it."""
    kept = store.cache_folder / "kept" / FOLDER / f"{name}.json"
    return StoredRecord(open_bucket(store, hurried=True), name, kind, kept=kept)


def entitlements(settings: Settings, now: datetime) -> Iterable[Entitlement]:
    """Tell up to which days the customers' licences cover releases, so that those are kept.

    Raises:
        StateError, StoreError: the records are unusable.

    """
    return customers_record(settings).read().entitlements(now)
