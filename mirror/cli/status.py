"""`sigmirror status`."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from keys.model.instant import utc
from mirror.cli.options import config_option, json_option, now, open_site, print_json
from mirror.licence_status import LicenceStatus
from mirror.notices.summary import read_summary
from mirror.status import Channel, RepositoryStatus, Status
from mirror.upstream_status import UpstreamStatus


@click.command(epilog="Example: sigmirror status --json")
@config_option
@json_option
@click.option("--check", is_flag=True, help="Exit code 1 when a problem is open; says so first.")
def status(*, config: Path, as_json: bool, check: bool) -> int:
    """Show repositories, upstreams, licences and open problems."""
    found = asyncio.run(read_summary(open_site(config), now=now())).status
    if as_json:
        print_json(found)
    else:
        if check:
            click.echo(_verdict(found.problems))
        for line in _lines(found):
            click.echo(line)
    return int(check and bool(found.problems))


def _verdict(problems: Sequence[str]) -> str:
    """Say in a line what a monitoring plug-in says."""
    if not problems:
        return "OK - no open problems | open=0"
    more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
    return f"WARNING - {problems[0].replace('|', '/')}{more} | open={len(problems)}"


def _lines(found: Status) -> Iterator[str]:
    for repository in found.repositories:
        yield from _repository(repository)
    for upstream in found.upstreams:
        yield from _upstream(upstream)
    for licence in found.licences:
        yield _licence(licence)
    for one in found.ignored:
        until = utc(one.expires)
        yield f"ignored until {until}: {one.name} of channel {one.channel} ({one.reason})"
    for problem in found.problems:
        yield f"problem: {problem}"
    if not found.problems:
        yield "no open problems"


def _repository(repository: RepositoryStatus) -> Iterator[str]:
    handed = f" (handed over to {repository.handed_over})" if repository.handed_over else ""
    yield f"repository {repository.name}{handed}"
    for role in repository.roles:
        yield f"  role {role.name} version {role.version}: {role.days_left:.1f} days left"
    for channel in repository.channels:
        yield from _channel(channel)


def _channel(channel: Channel) -> Iterator[str]:
    tracks = ", ".join(f"{track} -> {number}" for track, number in channel.tracks.items())
    chosen = ", ".join(f"{track} -> {number}" for track, number in channel.chosen.items())
    choice = f"; this site's choice: {chosen}" if chosen else ""
    yield f"  channel {channel.name}: {tracks or 'no track'}{choice}"
    yield f"    {channel.content}; redistribution {channel.redistribution}"
    if channel.held:
        yield f"    held: {channel.held}"
    for host, sequence in channel.pins.items():
        yield f"    host {host} is pinned to release {sequence}"
    if channel.withdrawn:
        yield f"    withdrawn: {', '.join(map(str, channel.withdrawn))}"
    for release in channel.releases:
        yield (
            f"    release {release.sequence}: {release.release}, "
            f"published {utc(release.published)}, {release.assurance}"
        )


def _upstream(upstream: UpstreamStatus) -> Iterator[str]:
    last = utc(upstream.last_success) if upstream.last_success else "never"
    kind = f"{upstream.kind}, {upstream.driver}" if upstream.driver else upstream.kind
    sure = f", assurance {upstream.assurance}" if upstream.assurance else ""
    if upstream.below_signed:
        sure += " (below signed)"
    yield f"upstream {upstream.name} ({kind}): {upstream.state}, last success {last}{sure}"
    if upstream.not_before:
        yield f"  the vendor is left alone until {utc(upstream.not_before)}"
    if upstream.note:
        yield f"  at the last pull: {upstream.note}"
    for lack in upstream.lacks:
        yield f"  lacks: {lack}"
    for held in upstream.held:
        yield f"  held since {utc(held.held_at)}: {held.detail}"


def _licence(licence: LicenceStatus) -> str:
    if not licence.ends_on:
        return f"licence {licence.name}: {licence.state}"
    used = f", managed hosts {licence.hosts}/{licence.host_limit}" if licence.host_limit else ""
    raised = f" ({' '.join(licence.flags)})" if licence.flags else ""
    return (
        f"licence {licence.name}: {licence.state}, {licence.organisation}, "
        f"until {licence.ends_on} ({licence.tz}), {licence.days_left} days left{used}{raised}"
    )
