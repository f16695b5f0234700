"""`sigmirror status`."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from mirror.cli.options import config_option, json_option, now, open_site
from mirror.status import Channel, LicenceStatus, RepositoryStatus, Status, read_status
from mirror.upstream_status import UpstreamStatus


@click.command(epilog="Example: sigmirror status --json")
@config_option
@json_option
def status(*, config: Path, as_json: bool) -> None:
    """Show repositories, upstreams, licences and open problems."""
    found = asyncio.run(read_status(open_site(config), now=now()))
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
    else:
        for line in _lines(found):
            click.echo(line)


def _lines(found: Status) -> Iterator[str]:
    for repository in found.repositories:
        yield from _repository(repository)
    for upstream in found.upstreams:
        yield from _upstream(upstream)
    for licence in found.licences:
        yield _licence(licence)
    for problem in found.problems:
        yield f"problem: {problem}"
    if not found.problems:
        yield "no open problems"


def _repository(repository: RepositoryStatus) -> Iterator[str]:
    yield f"repository {repository.name}"
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
            f"published {release.published:%Y-%m-%d %H:%M:%SZ}, {release.assurance}"
        )


def _upstream(upstream: UpstreamStatus) -> Iterator[str]:
    last = f"{upstream.last_success:%Y-%m-%d %H:%M:%SZ}" if upstream.last_success else "never"
    kind = f"{upstream.kind}, {upstream.driver}" if upstream.driver else upstream.kind
    sure = f", assurance {upstream.assurance}" if upstream.assurance else ""
    if upstream.below_signed:
        sure += " (below signed)"
    yield f"upstream {upstream.name} ({kind}): {upstream.state}, last success {last}{sure}"
    if upstream.not_before:
        yield f"  the vendor asks us to stay away until {upstream.not_before:%Y-%m-%d %H:%M:%SZ}"
    for lack in upstream.lacks:
        yield f"  lacks: {lack}"
    for held in upstream.held:
        yield f"  held since {held.held_at:%Y-%m-%d %H:%M:%SZ}: {held.detail}"


def _licence(licence: LicenceStatus) -> str:
    if not licence.ends_on:
        return f"licence {licence.name}: {licence.state}"
    return (
        f"licence {licence.name}: {licence.state}, {licence.organisation}, "
        f"until {licence.ends_on} ({licence.tz}), {licence.days_left} days left"
    )
