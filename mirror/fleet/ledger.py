"""Where hosts and customers are written down, and the door each way of access needs.

On this machine's disk; for a store that is a bucket there, too, so that all replicas know them.
"""

import asyncio
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Generic, Protocol, TypeVar

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
from mirror.settings import Settings
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


@dataclass(frozen=True, slots=True)
class _Ledger(Generic[T]):
    """One record of the fleet, wherever it lies."""

    name: str
    kind: type[T]

    def file(self, folder: Path) -> RecordFile[T]:
        """Open it in a mirror's folder."""
        return RecordFile(folder / FOLDER / f"{self.name}.json", self.kind)

    def record(self, settings: Settings) -> Records[T]:
        """Open it where the settings have it."""
        if settings.store.is_bucket:
            return StoredRecord(open_bucket(settings.store), self.name, self.kind)
        return self.file(settings.folder)

    def served(self, settings: Settings, *, stand_in: bool) -> Records[T]:
        """Open it as a replica reads it: what was read last of a bucket is kept."""
        store = settings.store
        if not store.is_bucket:
            return self.file(settings.folder)
        kept = store.cache_folder / "kept" / FOLDER / f"{self.name}.json"
        bucket = open_bucket(store, hurried=True)
        return StoredRecord(bucket, self.name, self.kind, kept=kept, stand_in=stand_in)


_HOSTS = _Ledger("hosts", Hosts)
_CUSTOMERS = _Ledger("customers", Customers)


def hosts_file(folder: Path) -> RecordFile[Hosts]:
    """Open the record of hosts in a mirror's folder."""
    return _HOSTS.file(folder)


def customers_file(folder: Path) -> RecordFile[Customers]:
    """Open the record of a vendor's customers in a mirror's folder."""
    return _CUSTOMERS.file(folder)


def record_files(folder: Path) -> list[Path]:
    """Name the files of both."""
    return [hosts_file(folder).path, customers_file(folder).path]


def hosts_record(settings: Settings) -> Records[Hosts]:
    """Open the record of a mirror's hosts."""
    return _HOSTS.record(settings)


def customers_record(settings: Settings) -> Records[Customers]:
    """Open the record of a vendor's customers."""
    return _CUSTOMERS.record(settings)


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
        return CustomersDoor(_CUSTOMERS.served(settings, stand_in=stand_in).read())
    hosts = _HOSTS.served(settings, stand_in=stand_in).read()
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
        ledger = _CUSTOMERS if self._settings.serve.access == "licences" else _HOSTS
        record = ledger.served(self._settings, stand_in=False)
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


def entitlements(settings: Settings, now: datetime) -> Iterable[Entitlement]:
    """Tell up to which days the customers' licences cover releases, so that those are kept.

    Raises:
        StateError, StoreError: the records are unusable.

    """
    return customers_record(settings).read().entitlements(now)
