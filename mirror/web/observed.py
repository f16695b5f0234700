"""What takes a while to read, as Prometheus shows it (pure): tracks, hosts, licences, notices."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client.metrics_core import Metric

from mirror.web.family import gauge


@dataclass(frozen=True, slots=True)
class Track:
    """One track of a channel: the release this mirror's hosts are to read."""

    repository: str
    channel: str
    name: str
    sequence: int
    published: datetime | None
    held: bool


@dataclass(frozen=True, slots=True)
class Use:
    """What is in use of a licence; a limit of 0 where nobody says."""

    hosts: int
    host_limit: int
    seats: int
    seat_limit: int
    flags: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Observed:
    """What takes a while to read, as it was ``at`` a time.

    ``hosts`` counts them by state, and is None where there is no fleet or its database did not
    answer; ``fleet_up`` tells which, and is None where no reports are taken. ``tasks`` counts how
    far hosts are with those that were due of late, ``notices`` those that are open by kind,
    ``ways`` are the ways of telling that fail.
    ``handed_over`` tells of each repository whether another machine signs it.
    """

    at: datetime
    tracks: Sequence[Track] = ()
    fleet_up: bool | None = None
    hosts: Mapping[str, int] | None = None
    tasks: Mapping[str, int] = field(default_factory=dict)
    uses: Mapping[str, Use] = field(default_factory=dict)
    notices: Mapping[str, int] = field(default_factory=dict)
    problems: int = 0
    handed_over: Mapping[str, bool] = field(default_factory=dict)
    ways: Mapping[str, bool] = field(default_factory=dict)


def observed_gauges(observed: Observed | None) -> Iterator[Metric]:
    """Show what was read last; None while nothing was."""
    yield gauge(
        "observed_timestamp_seconds",
        "When tracks, hosts and notices were last read (0: not yet).",
        (),
        [((), observed.at.timestamp() if observed else 0.0)],
    )
    yield from _tracks(observed.tracks if observed else ())
    yield from _fleet(observed)
    yield from _uses(observed.uses if observed else {})
    yield from _notices(observed)
    yield gauge(
        "handed_over",
        "1 while another machine signs a repository: here it is only served.",
        ("repository",),
        (
            ((name,), float(gone))
            for name, gone in (observed.handed_over if observed else {}).items()
        ),
    )


def _tracks(tracks: Sequence[Track]) -> Iterator[Metric]:
    labels = ("repository", "channel", "track")
    named = [((one.repository, one.channel, one.name), one) for one in tracks]
    yield gauge(
        "track_sequence",
        "The release that hosts of a track are to read.",
        labels,
        ((name, float(one.sequence)) for name, one in named),
    )
    yield gauge(
        "track_published_timestamp_seconds",
        "When that release was published.",
        labels,
        ((name, one.published.timestamp()) for name, one in named if one.published),
    )
    yield gauge(
        "track_held",
        "1 while an operator keeps a track where it is.",
        labels,
        ((name, float(one.held)) for name, one in named),
    )


def _fleet(observed: Observed | None) -> Iterator[Metric]:
    is_up = observed.fleet_up if observed else None
    yield gauge(
        "fleet_database_up",
        "1 while the fleet's database answers.",
        (),
        [] if is_up is None else [((), float(is_up))],
    )
    for name, text, counted in (
        ("hosts", "Hosts by the worst that is to be said of them.", observed and observed.hosts),
        (
            "tasks",
            "How far hosts are with tasks that were due of late.",
            observed and observed.tasks,
        ),
    ):
        samples = (((state,), float(count)) for state, count in (counted or {}).items())
        yield gauge(name, text, ("state",), samples)


_USE: tuple[tuple[str, str, Callable[[Use], float]], ...] = (
    ("hosts", "Managed hosts in use of a licence.", lambda use: use.hosts),
    ("hosts_limit", "Hosts that a licence lets be managed (0: no limit).", lambda u: u.host_limit),
    ("seats_used", "Seats that hosts report in use of a licence.", lambda use: use.seats),
    ("seats_limit", "Seats of a licence (0: nobody says).", lambda use: use.seat_limit),
    ("over_hosts", "1 while more hosts than that.", lambda use: "over_hosts" in use.flags),
    ("over_seats", "1 while more seats than that.", lambda use: "over_seats" in use.flags),
)


def _uses(uses: Mapping[str, Use]) -> Iterator[Metric]:
    for name, text, value in _USE:
        samples = (((licence,), float(value(use))) for licence, use in uses.items())
        yield gauge(f"licence_{name}", text, ("licence",), samples)


def _notices(observed: Observed | None) -> Iterator[Metric]:
    notices = observed.notices if observed else {}
    yield gauge(
        "notices_open",
        "Open notices by kind.",
        ("kind",),
        (((kind,), float(count)) for kind, count in notices.items()),
    )
    yield gauge(
        "problems_open",
        "Open problems, as `sigmirror status` lists them.",
        (),
        [((), float(observed.problems))] if observed else [],
    )
    yield gauge(
        "notify_failed",
        "1 while a way of telling somebody does not work.",
        ("way",),
        (((way,), float(failed)) for way, failed in (observed.ways if observed else {}).items()),
    )
