"""What metrics show of a mirror: read from what it serves and from what it remembers."""

from collections.abc import Mapping
from datetime import datetime

from keys.errors import Error
from keys.model.standing import LicenceState
from mirror.pulls import Failure, Pulled
from mirror.site import MirrorSite
from mirror.web.gauges import Facts
from mirror.web.snapshot import Snapshot


def read_facts(
    site: MirrorSite, snapshots: Mapping[str, Snapshot | None], *, now: datetime
) -> Facts:
    """Read what is known now; a repository that was never published has no snapshot."""
    names = [upstream.name for upstream in site.settings.upstream]
    served = {name: one for name, one in snapshots.items() if one}
    return Facts(
        now=now,
        expires={name: one.expires for name, one in served.items()},
        assurance={name: one.assurance for name, one in served.items()},
        upstreams={name: _memory(site, name, now) for name in names},
        held={name: _held(site, name) for name in names},
        licences={
            name: found if isinstance(found, LicenceState) else None
            for name, found in site.standings(now).items()
        },
    )


def _memory(site: MirrorSite, upstream: str, now: datetime) -> Pulled:
    """Return what is remembered of an upstream; damaged, it counts as a failure."""
    try:
        return site.pull_state(upstream).read()
    except Error as exc:
        return Pulled(failure=Failure.of(exc, at=now))


def _held(site: MirrorSite, upstream: str) -> tuple[str, ...]:
    """Name the channels held of an upstream; a damaged record is told by its next pull."""
    try:
        return tuple(hold.channel for hold in site.holds.of(upstream))
    except Error:
        return ()
