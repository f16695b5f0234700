"""Where hosts and customers are written down, and the door each way of access needs.

On this machine's disk; for a store that is a bucket there, too, so that all replicas know them.
"""

import asyncio
from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec
import structlog

from keys.errors import StoreError
from mirror.fleet.customers import Customers
from mirror.fleet.doors import ClosedDoor, CustomersDoor, Door, HostsDoor, OpenDoor
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


def open_door(settings: Settings, *, stand_in: bool = True) -> Door:
    """Make the door of a way of access from the records as they are now.

    With ``stand_in`` what was read last will do while the store does not answer.

    Raises:
        StateError: the records are unusable.
        StoreError: the store does not answer, and nothing stands in.

    """
    if settings.serve.access == "licences":
        return CustomersDoor(_customers(settings, stand_in=stand_in).read())
    hosts = _hosts(settings, stand_in=stand_in).read()
    return HostsDoor(hosts) if settings.serve.access == "hosts" else OpenDoor(hosts)


async def followed_door(settings: Settings) -> Door:
    """Make the door as a running mirror needs it: it follows what other machines change.

    Raises:
        StateError: the records are unusable.

    """
    if not settings.store.is_bucket:
        return await asyncio.to_thread(open_door, settings)
    return await FollowedDoor.opened(_Records(settings))


class _Records:
    """The records of a bucket, looked at again and again."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seen: str | None = None

    async def changed(self) -> Door | None:
        """Make another door where the record is another than was read last.

        Raises:
            StoreError, StateError: it cannot be read now; it is looked at again.

        """
        return await asyncio.to_thread(self._changed)

    def _changed(self) -> Door | None:
        is_gated = self._settings.serve.access == "licences"
        record = (_customers if is_gated else _hosts)(self._settings, stand_in=False)
        assert isinstance(record, StoredRecord)  # noqa: S101 - it is a bucket
        version = record.version()
        if version == self._seen:
            return None
        door = open_door(self._settings, stand_in=False)
        self._seen = version
        return door

    async def last(self) -> Door:
        """Make the door from what was read last, before this process began; else one that is shut.

        Raises:
            StateError: what was read is unusable.

        """
        try:
            return await asyncio.to_thread(open_door, self._settings)
        except StoreError as exc:
            structlog.get_logger().error("access", cause=str(exc), effect="nobody is let in yet")
            return ClosedDoor(exc, gated=self._settings.serve.access == "licences")


def _hosts(settings: Settings, *, stand_in: bool) -> Records[Hosts]:
    if settings.store.is_bucket:
        return _served(settings.store, "hosts", Hosts, stand_in=stand_in)
    return hosts_file(settings.folder)


def _customers(settings: Settings, *, stand_in: bool) -> Records[Customers]:
    if settings.store.is_bucket:
        return _served(settings.store, "customers", Customers, stand_in=stand_in)
    return customers_file(settings.folder)


def _served(store: StoreSettings, name: str, kind: type[T], *, stand_in: bool) -> StoredRecord[T]:
    """Open a record as a replica reads it: what it read last is kept."""
    kept = store.cache_folder / "kept" / FOLDER / f"{name}.json"
    bucket = open_bucket(store, hurried=True)
    return StoredRecord(bucket, name, kind, kept=kept, stand_in=stand_in)


def entitlements(settings: Settings, now: datetime) -> Iterable[Entitlement]:
    """Tell up to which days the customers' licences cover releases, so that those are kept.

    Raises:
        StateError, StoreError: the records are unusable.

    """
    return customers_record(settings).read().entitlements(now)
