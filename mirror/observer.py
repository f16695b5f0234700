"""What metrics show of tracks, hosts, licences and notices: read in a thread of its own.

Nobody waits for it longer than ``FIRST_SECONDS``, and it takes at most one part in ``SHARE`` of
the time, however large the fleet is: scraping more often reads nothing more often.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import get_args

import structlog

from keys.errors import Error, StateError
from mirror.fleet.health import totals
from mirror.fleet.turnout import State
from mirror.notices.round import book_file
from mirror.notices.summary import Summary, read_summary
from mirror.notify_rules import Kind
from mirror.site import MirrorSite
from mirror.status import Channel, RepositoryStatus
from mirror.web.observed import Observed, Track, Use

FIRST_SECONDS = 5.0  # a first scrape waits for the first reading
LEAST_SECONDS = 10.0  # between two readings
SHARE = 20
_OF_HOSTS = frozenset({"canary-failed", "host-stale", "host-unproven", "task-failed"})


class Observer:
    """Reads when it is asked and what it read last is old; hands out the last that was read."""

    def __init__(
        self, site: Callable[[], MirrorSite], clock: Callable[[], datetime], *,
        first_seconds: float = FIRST_SECONDS,
    ) -> None:  # fmt: skip
        self._site = site
        self._clock = clock
        self._first_seconds = first_seconds
        self._lock = threading.Lock()
        self._read = threading.Event()
        self._reading = False
        self._due = 0.0
        self._found: Observed | None = None

    def latest(self) -> Observed | None:
        """Return what was read last, None when even the first reading takes too long."""
        with self._lock:
            if not self._reading and time.monotonic() >= self._due:
                self._reading = True
                threading.Thread(target=self._guarded, name="observer", daemon=True).start()
        self._read.wait(self._first_seconds)
        return self._found

    def _guarded(self) -> None:
        """Read; what fails is logged, and the last that was read stays, with its time."""
        started = time.monotonic()
        try:
            self._found = asyncio.run(observe(self._site(), now=self._clock()))
        except Error as exc:
            structlog.get_logger().error("observer", cause=str(exc), hint=exc.hint)
        except Exception:  # noqa: BLE001 - metrics outlive a mistake of ours, and tell of it
            structlog.get_logger().exception("observer")
        finally:
            ended = time.monotonic()
            with self._lock:
                self._reading = False
                self._due = ended + max(LEAST_SECONDS, SHARE * (ended - started))
            self._read.set()


async def observe(site: MirrorSite, *, now: datetime) -> Observed:
    """Read everything; what cannot be read is left out, and told as a problem."""
    summary = await read_summary(site, now=now, upgrade=False)
    status, known = summary.status, summary.hosts is not None
    counted = totals(summary.hosts or ())
    counted.pop("hosts")
    return Observed(
        at=now,
        tracks=[track for one in status.repositories for track in _tracks(one)],
        fleet_up=known if site.settings.fleet.enabled else None,
        hosts=counted if known and site.settings.fleet.enabled else None,
        tasks=_tasks(summary) if known and site.settings.fleet.enabled else {},
        uses=_uses(summary) if known else {},
        notices=_notices(summary),
        problems=len(status.problems),
        handed_over={one.name: bool(one.handed_over) for one in status.repositories},
        ways=_ways(site),
    )


def _tracks(repository: RepositoryStatus) -> Iterator[Track]:
    for channel in repository.channels:
        published = {one.sequence: one.published for one in channel.releases}
        for track, sequence in _pointed(channel).items():
            yield Track(
                repository.name, channel.name, track, sequence, published.get(sequence),
                bool(channel.held),
            )  # fmt: skip


def _pointed(channel: Channel) -> Mapping[str, int]:
    """Tell where hosts are sent: the site's choice counts more than the vendor's track."""
    return {**channel.tracks, **channel.chosen}


def _uses(summary: Summary) -> Mapping[str, Use]:
    return {
        one.name: Use(one.hosts, one.host_limit, one.seats_used, one.seats, one.flags)
        for one in summary.status.licences
        if one.ends_on
    }


def _tasks(summary: Summary) -> Mapping[str, int]:
    """Count how far hosts are with the tasks that were due of late."""
    counted = Counter(line.state for one in summary.tasks for line in one.lines)
    return {state.value: counted[state] for state in State if state is not State.cancelled}


def _notices(summary: Summary) -> Mapping[str, int]:
    """Count open notices of every kind; those of hosts only where somebody can tell."""
    counted = Counter(notice.kind for notice in summary.notices)
    unknown = _OF_HOSTS if summary.hosts is None else frozenset[str]()
    return {kind: counted[kind] for kind in get_args(Kind) if kind not in unknown}


def _ways(site: MirrorSite) -> Mapping[str, bool]:
    """Tell of each way to tell somebody whether it failed; a damaged record is a problem."""
    try:
        book = book_file(site.folder).read()
    except StateError:
        return {}
    return {name: way.failure is not None for name, way in book.ways.items()}
