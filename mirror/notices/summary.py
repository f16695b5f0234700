"""The status of a mirror with its fleet and its notices: everything that wants somebody to look."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from keys.errors import StateError
from mirror.fleet.health import Line
from mirror.fleet.turnout import Turnout
from mirror.notices.notice import Notice
from mirror.notices.opening import open_notices, unknown
from mirror.notices.reading import read_facts
from mirror.notices.round import book_file, troubles
from mirror.site import MirrorSite
from mirror.status import Status

_SAID_BY_STATUS = frozenset(
    {"licence-ending", "licence-renewal-window", "credential-rejected", "release-held"}
)  # in the words of each problem


@dataclass(frozen=True, slots=True)
class Summary:
    """``status`` holds every problem, those of the notices included.

    ``unknown`` is how the keys begin of notices of which nobody can tell now; ``hosts`` is None
    where nobody can tell of them. ``tasks`` are those that were due of late.
    """

    status: Status
    notices: Sequence[Notice]
    unknown: tuple[str, ...] = ()
    hosts: Sequence[Line] | None = ()
    tasks: Sequence[Turnout] = ()


async def read_summary(site: MirrorSite, *, now: datetime, upgrade: bool = True) -> Summary:
    """Look at everything; writes nothing. ``upgrade`` as of ``read_facts``."""
    facts, unread = await read_facts(site, now=now, upgrade=upgrade)
    notices = open_notices(facts)
    problems = [*facts.status.problems, *unread, *_ways(site)]
    problems += [_line(one) for one in notices if one.kind not in _SAID_BY_STATUS]
    status = msgspec.structs.replace(facts.status, problems=list(dict.fromkeys(problems)))
    return Summary(status, notices, unknown(facts), facts.hosts, facts.tasks)


def _ways(site: MirrorSite) -> list[str]:
    """Tell of the ways to tell somebody that do not work."""
    try:
        return list(troubles(book_file(site.folder).read()))
    except StateError as exc:
        return [str(exc)]


def _line(notice: Notice) -> str:
    return f"{notice.title}: {notice.text}" if notice.text else notice.title
