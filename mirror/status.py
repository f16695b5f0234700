"""What an operator wants to know of a mirror: repositories, upstreams, licences, open problems."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from keys.errors import Error
from keys.model import rollout
from keys.model.ignore import Ignored
from keys.model.instant import utc
from keys.model.release import Content, Pin, Pointer, Redistribution
from keys.signing.delegations import POLICY
from keys.signing.publisher import Publisher
from mirror import reloads
from mirror.catalogue import Catalogue, read_catalogue
from mirror.fleet.roster import HostRow
from mirror.fleet.sharing import Sharing, strictest
from mirror.ignores import Ignores
from mirror.licence_status import LicenceStatus, licence_statuses, licence_troubles
from mirror.offers import clashes, databases, rank, ranking
from mirror.policy import read_choice
from mirror.rollout import STABLE
from mirror.settings import SITE
from mirror.site import MirrorSite
from mirror.upstream_status import UpstreamStatus, read_upstream, troubles

OFFLINE_ROLES = ("root", "targets")
OFFLINE_WARNING = timedelta(days=30)


class Role(msgspec.Struct, frozen=True):
    """One signed role."""

    name: str
    version: int
    expires: datetime
    days_left: float


class Release(msgspec.Struct, frozen=True):
    """One release that is kept."""

    sequence: int
    release: str
    published: datetime
    assurance: str
    manifest_sha256: str


class Channel(msgspec.Struct, frozen=True):
    """One channel: where its tracks point, and its releases, newest first.

    ``chosen`` is where this site's policy points, for a channel that is passed through.
    ``redistribution`` is what its newest release and the settings say, the stricter of it.
    ``databases`` are those that ``/clamav/`` serves of it. ``held`` is why its tracks do not move,
    ``pins`` the release of each host that has its own.
    """

    name: str
    tracks: dict[str, int]
    releases: list[Release]
    chosen: dict[str, int] = {}
    content: Content = "definitions"
    redistribution: Redistribution = "public"
    databases: tuple[str, ...] = ()
    held: str = ""
    pins: dict[str, int] = {}
    withdrawn: tuple[int, ...] = ()


class RepositoryStatus(msgspec.Struct, frozen=True):
    """One repository, or why it cannot be read; ``handed_over`` names who signs it instead."""

    name: str
    roles: list[Role] = []
    channels: list[Channel] = []
    error: str = ""
    handed_over: str = ""


class Status(msgspec.Struct, frozen=True):
    """All of it; ``problems`` is empty when nothing is to be done."""

    at: datetime
    repositories: list[RepositoryStatus]
    upstreams: list[UpstreamStatus]
    licences: list[LicenceStatus]
    problems: list[str]
    ignored: list[Ignored] = []  # signatures that hosts are to ignore now


async def read_status(site: MirrorSite, *, now: datetime, fleet: Sequence[HostRow] = ()) -> Status:
    """Look at everything; writes nothing, needs no signing key. ``fleet`` is what hosts report."""
    choices = await _choices(site)
    repositories = [await _repository(site, name, choices, now) for name in site.repositories]
    assurances = _assurances(repositories)
    upstreams = [
        read_upstream(site, one, assurances.get(one.channel, ""), now=now)
        for one in site.settings.upstream
    ]
    standings = site.standings(now)
    licences = licence_statuses(site.settings, standings, fleet)
    problems = [
        *(line for repository in repositories for line in _troubles(repository)),
        *(line for repository in repositories for line in _holds(repository)),
        *(line for upstream in upstreams for line in troubles(upstream)),
        *(line for licence in licences for line in licence_troubles(licence)),
        *_clashes(site, repositories),
        *_refused(site),
    ]
    ignored = await _ignored(site, now)
    return Status(now, repositories, upstreams, licences, problems, ignored)


async def _ignored(site: MirrorSite, now: datetime) -> list[Ignored]:
    """List what hosts are to ignore; nothing when the repository, which says why, is unreadable."""
    try:
        return list((await Ignores(site.policies).read()).in_force(now))
    except Error:
        return []


def _assurances(repositories: Iterable[RepositoryStatus]) -> dict[str, str]:
    """Tell the assurance of the newest release of each channel this site signs."""
    return {
        channel.name: channel.releases[0].assurance
        for repository in repositories
        for channel in repository.channels
        if repository.name == SITE and channel.releases
    }


async def _choices(site: MirrorSite) -> Mapping[str, Pin]:
    """Return what the site's policy lists; nothing when its repository cannot be read."""
    try:
        return Publisher((await site.repository().in_force()).metadata, {}).pins(POLICY)
    except Error:
        return {}


async def _repository(
    site: MirrorSite, name: str, choices: Mapping[str, Pin], now: datetime
) -> RepositoryStatus:
    repository = site.repository(name)
    try:
        handover = await repository.handover()
        publisher = Publisher((await repository.in_force()).metadata, {})
        channels = [
            _channel(
                await read_catalogue(repository, channel, publisher.pins(channel)),
                await read_choice(site.repository(), choices, name, channel),
                Sharing.of(site.settings.upstream).word(name, channel),
            )
            for channel in publisher.state.channels()
        ]
    except Error as exc:
        return RepositoryStatus(name, error=str(exc))
    state = publisher.state
    roles = [_role(role, state.version(role), state.expires(role), now) for role in state]
    return RepositoryStatus(
        name,
        sorted(roles, key=lambda role: role.expires),
        channels,
        handed_over=f"{handover.to} on {utc(handover.at)}" if handover else "",
    )


def _role(name: str, version: int, expires: datetime, now: datetime) -> Role:
    return Role(name, version, expires, round((expires - now) / timedelta(days=1), 2))


def _channel(catalogue: Catalogue, policy: Mapping[str, Pointer], said: Redistribution) -> Channel:
    releases = [
        Release(
            number,
            manifest.release,
            manifest.published,
            manifest.assurance.value,
            catalogue.pins[number].sha256,
        )
        for number, manifest in sorted(catalogue.releases.items(), reverse=True)
    ]
    tracks = {track: pointer.sequence for track, pointer in sorted(catalogue.tracks.items())}
    chosen = {track: pointer.sequence for track, pointer in sorted(policy.items())}
    latest, pointers = catalogue.latest, (policy or catalogue.tracks).values()
    return Channel(
        catalogue.channel,
        tracks,
        releases,
        chosen,
        latest.content if latest else "definitions",
        strictest((said, latest.redistribution)) if latest else said,
        databases(catalogue.releases.get((chosen or tracks).get(STABLE, 0))),
        next(filter(None, map(rollout.held, pointers)), ""),
        {host: to.sequence for one in pointers for host, to in sorted(rollout.pins(one).items())},
        tuple(sorted(set[int]().union(*map(rollout.withdrawn, pointers)))),
    )


def _clashes(site: MirrorSite, repositories: Iterable[RepositoryStatus]) -> Iterator[str]:
    """Tell of databases that several channels hold."""
    order = ranking(site.settings.upstream)
    found = [(one.name, channel) for one in repositories for channel in one.channels]
    found.sort(key=lambda pair: rank(pair[0], pair[1].name, order))
    yield from clashes((f"{name}/{channel.name}", channel.databases) for name, channel in found)


def _holds(repository: RepositoryStatus) -> Iterator[str]:
    for channel in repository.channels:
        if channel.held:
            name = channel.name if repository.name == SITE else f"{repository.name}/{channel.name}"
            yield f"channel {name}: held: {channel.held}; `sigmirror resume {name}` lets it move"


def _troubles(repository: RepositoryStatus) -> Iterator[str]:
    if repository.error:
        yield f"repository {repository.name}: {repository.error}"
    if repository.handed_over:
        yield (
            f"repository {repository.name}: handed over to {repository.handed_over}: it is served "
            "here as it was, and nothing is pulled or signed; stop this mirror once no host asks it"
        )
    else:
        yield from _expiring(repository)
    for channel in repository.channels:
        offered = {release.sequence for release in channel.releases}
        for track, number in channel.chosen.items():
            if number not in offered:
                yield (
                    f"repository {repository.name}: channel {channel.name}: {track} is release "
                    f"{number} by this site's choice, and the vendor no longer offers it"
                )


def _expiring(repository: RepositoryStatus) -> Iterator[str]:
    for role in repository.roles:
        where = f"repository {repository.name}: role {role.name}"
        if role.days_left <= 0:
            yield f"{where}: expired on {role.expires:%Y-%m-%d}"
        elif role.name in OFFLINE_ROLES and role.days_left < OFFLINE_WARNING.days:
            yield f"{where}: expires on {role.expires:%Y-%m-%d}; its holders must sign it"


def _refused(site: MirrorSite) -> Iterator[str]:
    """Tell of changed files that a running mirror does not follow."""
    try:
        last = reloads.read(site.folder / reloads.FILE)
    except Error as exc:
        yield str(exc)
        return
    for what, reload in last.items():
        if not reload.accepted:
            yield f"{what}: a change was refused, the old stays in force: {reload.cause}"
