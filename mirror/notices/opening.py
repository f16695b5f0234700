"""Which notices are open (pure): licences, upstreams, roles, hosts, tasks, each by its rule."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from keys.errors import Error
from keys.model.instant import utc
from keys.model.standing import LicenceState, State
from mirror.fleet.health import Health, Line
from mirror.fleet.turnout import WRONG, Turnout
from mirror.fleet.turnout import State as TaskState
from mirror.notices.notice import Notice
from mirror.notices.rhythm import silent_since
from mirror.settings import SITE
from mirror.status import OFFLINE_ROLES, OFFLINE_WARNING, RepositoryStatus, Role, Status
from mirror.upstream_status import UpstreamStatus

CANARY = "canary"
ONLINE_SHARE = 8  # an online role is signed at a quarter of its validity; told at half of that
FAILING = timedelta(days=1)  # without a pull that succeeded
SILENCE = ("stale/",)
_OF_HOSTS = (*SILENCE, "canary/", "unproven/", "task/")


@dataclass(frozen=True, slots=True)
class Facts:
    """All that notices follow from.

    ``validity`` is how long each online role's signature lasts, those of no name by "".
    ``changes`` are the times when each upstream brought something, those with a rhythm only.
    ``hosts`` is None where nobody can tell now; ``tasks`` are those that were due of late.
    """

    now: datetime
    status: Status
    licences: Mapping[str, LicenceState | Error] = field(default_factory=dict)
    hosts: Sequence[Line] | None = ()
    validity: Mapping[str, timedelta] = field(default_factory=dict)
    changes: Mapping[str, Sequence[datetime]] = field(default_factory=dict)
    tasks: Sequence[Turnout] = ()

    @property
    def is_sealed(self) -> bool:
        """Tell whether another mirror signs for this one: then silence here is as it should be."""
        return any(one.name == SITE and one.handed_over for one in self.status.repositories)


def unknown(facts: Facts) -> tuple[str, ...]:
    """List how the keys begin of which nobody can tell now: what was open stays so."""
    licences = (n for n, found in facts.licences.items() if isinstance(found, Error))
    repositories = (one.name for one in facts.status.repositories if one.error)
    return (
        *(f"licence/{name}" for name in licences),
        *(f"role/{name}/" for name in repositories),
        *(_OF_HOSTS if facts.hosts is None else ()),
    )


def open_notices(facts: Facts) -> list[Notice]:
    """List what is open, in the order of licences, upstreams, roles, hosts and tasks."""
    hosts = {line.host: line.health for line in facts.hosts or ()}
    found = [
        *(one for name, state in facts.licences.items() for one in _licence(name, state)),
        *(one for upstream in facts.status.upstreams for one in _upstream(upstream, facts)),
        *(one for repository in facts.status.repositories for one in _holds(repository)),
        *(one for repository in facts.status.repositories for one in _roles(repository, facts)),
        *(one for line in facts.hosts or () for one in _host(line, is_sealed=facts.is_sealed)),
        *(one for task in facts.tasks for one in _task(task, hosts)),
    ]
    return list({notice.key: notice for notice in found}.values())


def _licence(name: str, found: LicenceState | Error) -> Iterator[Notice]:
    if isinstance(found, Error) or found.state in {State.active, State.pending, State.suspended}:
        return
    key, ends = f"licence/{name}", found.ends_on.isoformat()
    if found.state is State.expiring:
        due = [day for day in found.licence.warn_days if day >= found.days_left]
        title = f"licence {name} ends on {ends}, {found.days_left} days left"
        turn = f"{ends} {min(due, default=0)}"
        yield Notice("licence-ending", key, title, "renew it", turn, repeats=False)
    elif found.state is State.renewal_window:
        until = found.licence.renewable_until.isoformat()
        title = f"licence {name} ended on {ends}; it can be renewed until {until}"
        text = "its pulls have stopped; what it covered stays served"
        turn = found.today.isoformat()
        yield Notice("licence-renewal-window", key, title, text, turn, repeats=False)
    else:
        title = f"licence {name} lapsed: it ended on {ends} and can be renewed no more"
        yield Notice("licence-ending", key, title, "buy a new one", f"{ends} lapsed", repeats=False)


def _upstream(upstream: UpstreamStatus, facts: Facts) -> Iterator[Notice]:
    name = upstream.name
    if upstream.state == "stopped" and upstream.failure:
        title = f"upstream {name}: the vendor rejects the credential"
        yield Notice("credential-rejected", f"credential/{name}", title, upstream.failure.message)
    for held in upstream.held:
        yield Notice(
            "release-held", f"held/{name}/{held.channel}", f"upstream {name}: held: {held.detail}",
            f"look at it, then `sigmirror hold release {held.channel} --reason …` or `hold drop`",
            held.version,
        )  # fmt: skip
    if facts.is_sealed:
        return
    if upstream.state == "failed" and (since_when := _fails_since(upstream, facts.now)):
        title = f"upstream {name}: no pull succeeded since {utc(since_when)}"
        text = upstream.failure.message if upstream.failure else ""
        yield Notice("upstream-silent", f"silent/{name}", title, text)
    elif upstream.state == "ok" and (
        since_when := silent_since(facts.changes.get(name, ()), facts.now)
    ):
        title = f"upstream {name}: nothing new since {utc(since_when)}"
        text = "longer than twice its longest pause so far; ask the vendor, look at its settings"
        yield Notice("upstream-silent", f"silent/{name}", title, text)


def _fails_since(upstream: UpstreamStatus, now: datetime) -> datetime | None:
    """Return the last success, where it is too long ago."""
    last = upstream.last_success
    return last if last and now - last > FAILING else None


def _holds(repository: RepositoryStatus) -> Iterator[Notice]:
    """Tell of channels that stand still because somebody said so."""
    for channel in repository.channels:
        if channel.held:
            name = channel.name if repository.name == SITE else f"{repository.name}/{channel.name}"
            title = f"channel {name} is held: {channel.held}"
            text = f"`sigmirror resume {name}` lets it move"
            yield Notice("release-held", f"held/channel/{name}", title, text)


def _roles(repository: RepositoryStatus, facts: Facts) -> Iterator[Notice]:
    """Tell of roles that nobody signed in time; what is handed over is signed elsewhere."""
    for role in repository.roles if not repository.handed_over else ():
        if role.expires - facts.now > _margin(repository, role, facts.validity):
            continue
        expired = role.expires <= facts.now
        title = (
            f"repository {repository.name}: role {role.name} "
            f"{'expired' if expired else 'expires'} on {utc(role.expires)}"
        )
        text = _remedy(repository, role)
        key, turn = f"role/{repository.name}/{role.name}", "expired" if expired else ""
        yield Notice("role-expiring", key, title, text, turn)


def _margin(
    repository: RepositoryStatus, role: Role, validity: Mapping[str, timedelta]
) -> timedelta:
    """Tell how long before its end a role is told of; a vendor's only once it has expired."""
    if repository.name != SITE:
        return timedelta(0)
    if role.name in OFFLINE_ROLES:
        return OFFLINE_WARNING
    return validity.get(role.name, validity.get("", timedelta(0))) / ONLINE_SHARE


def _remedy(repository: RepositoryStatus, role: Role) -> str:
    if repository.name != SITE:
        return "its vendor must sign it; hosts refuse what has expired"
    if role.name in OFFLINE_ROLES:
        return "its holders must sign it: `sigkeys renew`"
    return "`sigmirror run` signs it; look whether it runs and what its log says"


def _host(line: Line, *, is_sealed: bool) -> Iterator[Notice]:
    where = f"{line.host}/{line.engine.engine}" if line.engine else line.host
    if is_sealed and line.health is Health.silent:
        return
    if line.health in {Health.silent, Health.stale}:
        title = f"host {line.host} is {line.health.value}"
        last = f"last report {utc(line.received)}" if line.received else ""
        text = "; ".join(filter(None, (last, line.trouble)))
        yield Notice("host-stale", f"stale/{line.host}", title, text)
    elif line.health is Health.rolled_back and line.engine and line.engine.track == CANARY:
        title = f"canary {where} took the newest release back"
        yield Notice("canary-failed", f"canary/{where}", title, line.trouble)
    elif line.health in {Health.rolled_back, Health.unproven, Health.flapping}:
        detail = line.trouble or (line.engine.detail if line.engine else "")
        title = f"host {where} is {line.health.value}"
        yield Notice("host-unproven", f"unproven/{where}", title, detail)


def _task(turnout: Turnout, hosts: Mapping[str, Health]) -> Iterator[Notice]:
    """Tell of each host on which a task went wrong; a silent one, which is told of, misses all."""
    for line in turnout.lines:
        is_gone = line.state is TaskState.missed and hosts.get(line.host) is Health.silent
        if line.state in WRONG and line.host in hosts and not is_gone:
            task = turnout.task
            title = f"host {line.host}: task {task.id} ({task.kind}): {line.state.value}"
            text = line.detail or f"see `sigmirror task show {task.id}`"
            turn = line.due.isoformat() if line.due else ""
            yield Notice("task-failed", f"task/{task.id}/{line.host}", title, text, turn)
