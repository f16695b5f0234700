"""Where hosts and customers are written down, and the door each way of access needs."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from mirror.fleet.customers import Customers
from mirror.fleet.doors import CustomersDoor, Door, HostsDoor, OpenDoor
from mirror.fleet.hosts import Hosts
from mirror.fleet.records import RecordFile
from mirror.rollout import Entitlement


def hosts_file(folder: Path) -> RecordFile[Hosts]:
    """Open the record of a mirror's hosts."""
    return RecordFile(folder / "state" / "hosts.json", Hosts)


def customers_file(folder: Path) -> RecordFile[Customers]:
    """Open the record of a vendor's customers."""
    return RecordFile(folder / "state" / "customers.json", Customers)


def open_door(access: str, folder: Path) -> Door:
    """Make the door of a way of access from the records as they are now.

    Raises:
        StateError: the records are unusable.

    """
    if access == "hosts":
        return HostsDoor(hosts_file(folder).read())
    if access == "licences":
        return CustomersDoor(customers_file(folder).read())
    return OpenDoor(hosts_file(folder).read())


def entitlements(folder: Path, now: datetime) -> Iterable[Entitlement]:
    """Tell up to which days the customers' licences cover releases, so that those are kept.

    Raises:
        StateError: the records are unusable.

    """
    return customers_file(folder).read().entitlements(now)
