"""What is in use of a licence: the hosts that read its channels, and the seats they report (pure).

A pool counts as one host, with the seats of its fullest member.
"""

from collections.abc import Collection, Iterable, Sequence

from keys.model.seats import Usage
from mirror.feeds import UpstreamSettings
from mirror.fleet.pools import pool_of
from mirror.fleet.roster import HostRow

SITE = "site"


def usage(
    rows: Iterable[HostRow], upstreams: Sequence[UpstreamSettings], licences: Collection[str]
) -> Usage:
    """Count the hosts that read a channel bound to one of these licences."""
    bound = [one for one in upstreams if one.licence and one.licence in licences]
    seats: dict[str, int] = {}
    for row in rows:
        if any(_reads(row, upstream) for upstream in bound):
            name = pool_of(row.name) or row.name
            seats[name] = max(seats.get(name, 0), row.seats or 0)
    return Usage(seats=sum(seats.values()), hosts=len(seats))


def _reads(row: HostRow, upstream: UpstreamSettings) -> bool:
    """Tell whether an engine reads what an upstream brings, however its host writes it."""
    for engine in row.engines:
        for load in engine.loads:
            repository, _, channel = load.channel.rpartition("/")
            if upstream.kind == "tuf":
                if repository == upstream.name:
                    return True
            elif channel == upstream.channel and repository in {"", SITE}:
                return True
    return False
