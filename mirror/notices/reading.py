"""The facts notices follow from, read from a mirror's store, its records and its fleet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from keys.errors import Error, StateError, StoreError
from mirror.fleet.asking import fleet_of
from mirror.fleet.health import Line, lines
from mirror.fleet.ledger import hosts_record
from mirror.fleet.roster import HostRow
from mirror.fleet.turnout import Turnout, news
from mirror.notices.opening import Facts
from mirror.settings import Settings
from mirror.site import MirrorSite
from mirror.status import Status, read_status

MAX_JOURNAL_BYTES = 4 << 20  # of the publish log's end: what is older has no say


class _Published(msgspec.Struct):
    at: datetime
    what: str
    channel: str = ""


async def read_facts(
    site: MirrorSite, *, now: datetime, upgrade: bool = True
) -> tuple[Facts, list[str]]:
    """Read everything; what cannot be read is told instead of raised.

    ``upgrade`` lets the fleet's tables be brought up to date first.
    """
    troubles = list[str]()
    fleet = await _fleet(site.settings, troubles, now, upgrade=upgrade)
    status = await read_status(site, now=now, fleet=fleet.rows)
    facts = Facts(
        now=now,
        status=status,
        licences=site.standings(now),
        hosts=fleet.hosts,
        validity=_validity(site.settings),
        changes=_changes(site, status, troubles),
        tasks=fleet.tasks,
    )
    return facts, troubles


@dataclass(frozen=True, slots=True)
class _Fleet:
    """What is known of hosts and tasks; ``hosts`` is None where nobody can tell now."""

    rows: Sequence[HostRow] = ()
    hosts: Sequence[Line] | None = ()
    tasks: Sequence[Turnout] = ()


async def _fleet(
    settings: Settings, troubles: list[str], now: datetime, *, upgrade: bool
) -> _Fleet:
    """Judge the hosts and their tasks; a host that was just admitted has time to report."""
    if not settings.fleet.enabled:
        return _Fleet()
    try:
        rows, every, runs = await fleet_of(settings, now=now, upgrade=upgrade)
    except Error as exc:
        troubles.append(str(exc))
        return _Fleet(hosts=None)
    try:
        singles = hosts_record(settings).read().singles
    except (StateError, StoreError) as exc:
        troubles.append(str(exc))
        return _Fleet(rows, hosts=None)
    stale = timedelta(hours=settings.fleet.stale_hours)
    expected = [name for name, host in singles.items() if now - host.created > stale]
    names = {*singles, *(row.name for row in rows)}
    hosts = lines(rows, expected, now=now, stale=stale)
    return _Fleet(rows, hosts, news(every, runs, names, now=now))


def _validity(settings: Settings) -> Mapping[str, timedelta]:
    expiry = settings.expiry
    return {
        "": timedelta(seconds=expiry.channels_seconds),
        "snapshot": timedelta(seconds=expiry.snapshot_seconds),
        "timestamp": timedelta(seconds=expiry.timestamp_seconds),
    }


def _changes(
    site: MirrorSite, status: Status, troubles: list[str]
) -> Mapping[str, Sequence[datetime]]:
    """Tell when each upstream brought something; a folder of the site's own has no rhythm."""
    try:
        published = read_published(site.folder / "state" / "publish.jsonl")
    except StateError as exc:
        troubles.append(str(exc))
        published = {}
    cascaded = {
        repository.name: [
            one.published for channel in repository.channels for one in channel.releases
        ]
        for repository in status.repositories
    }
    return {
        upstream.name: (
            cascaded.get(upstream.name, ())
            if upstream.kind == "tuf"
            else published.get(upstream.channel, ())
        )
        for upstream in site.settings.upstream
        if upstream.kind != "drop"
    }


def read_published(path: Path) -> Mapping[str, list[datetime]]:
    """Read when each channel got releases, from the end of the publish log.

    Raises:
        StateError: it cannot be read.

    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - MAX_JOURNAL_BYTES))
            data = file.read(MAX_JOURNAL_BYTES)
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise StateError(f"{path}: {exc.strerror or exc}") from exc
    found: dict[str, list[datetime]] = {}
    for text in data.splitlines()[size > MAX_JOURNAL_BYTES :]:
        try:
            line = msgspec.json.decode(text, type=_Published)
        except msgspec.DecodeError:  # a line that was cut by a crash
            continue
        if line.what == "release" and line.at.tzinfo:
            found.setdefault(line.channel, []).append(line.at)
    return found
