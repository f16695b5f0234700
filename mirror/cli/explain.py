"""`sigmirror explain` and `sigmirror host show`: one host, in words."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import click
import msgspec

from keys.errors import UsageError
from keys.model.instant import utc
from keys.signing.layout import SITE
from mirror.cli import task_words
from mirror.cli.config import said
from mirror.cli.options import config_option, json_option, now, open_site, print_json
from mirror.fleet.asking import asked
from mirror.fleet.explanation import Explanation, Offered
from mirror.fleet.explanation import explain as explained
from mirror.fleet.health import Line, lines
from mirror.fleet.ledger import hosts_record
from mirror.fleet.roster import EngineRow, HostRow
from mirror.fleet.tasks import Kept, Tasks
from mirror.fleet.turnout import Line as TaskLine
from mirror.fleet.turnout import lines as task_lines
from mirror.settings import Settings
from mirror.site import MirrorSite
from mirror.status import Channel, Status, read_status

MAX_TASKS = 10  # shown of a host


@click.command(epilog="Example: sigmirror explain mx1 clamav")
@config_option
@json_option
@click.argument("name")
@click.argument("channel")
def explain(*, config: Path, as_json: bool, name: str, channel: str) -> int:
    """Say why the host NAME is on the release of CHANNEL (or REPOSITORY/CHANNEL) it is on.

    Exit code 1 when an engine does not read what its track offers.
    """
    site = open_site(config)
    host = _host(site.settings, name)
    offered = _offered(site, asyncio.run(read_status(site, now=now())), channel)
    found = explained(host, channel, offered, now=now(), stale=_stale(site.settings))
    if as_json:
        print_json([msgspec.to_builtins(one) for one in found])
    else:
        for one in found:
            click.echo("\n".join(_lines(channel, one)))
        if not found:
            click.echo(f"{name} reports no engine")
    return int(not found or not all(one.is_current for one in found))


@click.command(epilog="Example: sigmirror host show mx1")
@config_option
@json_option
@click.argument("name")
def show_host(*, config: Path, as_json: bool, name: str) -> None:
    """Show all that the host NAME told with its newest report."""
    settings = open_site(config).settings
    host = _host(settings, name)
    tasks = asyncio.run(asked(settings, lambda desk: _tasks(Tasks(desk.database), name)))
    if as_json:
        told = [{"task": kept.task, **msgspec.to_builtins(line)} for kept, line in tasks]
        print_json({**msgspec.to_builtins(host), "tasks": told})
        return
    for text in _shown(host, _stale(settings)):
        click.echo(text)
    for kept, line in tasks:
        click.echo(task_words.line(f"  task {kept.task.id} {kept.task.kind}", line))


async def _tasks(tasks: Tasks, name: str) -> list[tuple[Kept, TaskLine]]:
    """Return the newest tasks that a host is asked, and how far it is with them."""
    asked_for = [kept for kept in await tasks.every() if kept.task.is_for(name)]
    runs = await tasks.runs(host=name)
    newest = sorted(asked_for, key=lambda kept: kept.added)[-MAX_TASKS:]
    return [(kept, line) for kept in newest for line in task_lines(kept, runs, [name], now=now())]


def _host(settings: Settings, name: str) -> HostRow:
    found = asyncio.run(asked(settings, lambda desk: desk.hosts(name)))
    if found:
        return found[0]
    admitted = hosts_record(settings).read().singles.get(name)
    if admitted:
        raise UsageError(
            f"host {name!r}: admitted {utc(admitted.created)}, and never reported",
            hint="`sigupdate run` there reports, `sigupdate status` says why it cannot",
        )
    raise UsageError(f"host {name!r}: nobody knows it", hint="see `sigmirror hosts`")


def _stale(settings: Settings) -> timedelta:
    return timedelta(hours=settings.fleet.stale_hours)


def _offered(site: MirrorSite, status: Status, name: str) -> Offered:
    repository, _, channel = name.rpartition("/")
    for found in status.repositories:
        if found.name == (repository or SITE):
            for one in found.channels:
                if one.name == channel:
                    return _of(site, one, repository)
    raise UsageError(f"channel {name!r}: not on this mirror", hint="see `sigmirror status`")


def _of(site: MirrorSite, channel: Channel, repository: str) -> Offered:
    upstreams = {one.name for one in site.settings.upstream if one.channel == channel.name}
    holds = [
        str(one)
        for one in site.holds.all()
        if one.channel == channel.name and one.upstream in {repository, *upstreams}
    ]
    return Offered(
        tracks=channel.chosen or channel.tracks,
        published={release.sequence: release.published for release in channel.releases},
        manifests={release.sequence: release.manifest_sha256 for release in channel.releases},
        held="; ".join(holds),
        stays=channel.held,
        pins=channel.pins,
        withdrawn=channel.withdrawn,
    )


def _lines(channel: str, one: Explanation) -> Iterator[str]:
    reads = f"release {one.reads}" if one.reads else "no release"
    offered = f"offers release {one.offered}" if one.offered else "offers none"
    should = (
        f"it is pinned to release {one.offered}"
        if one.is_pinned
        else f"its track {one.track} {offered}"
    )
    yield f"{one.engine} reads {reads} of {channel}; {should}"
    for reason in one.reasons or (("that is what it should read",) if one.is_current else ()):
        yield f"  {reason}"


def _shown(host: HostRow, stale: timedelta) -> Iterator[str]:
    yield f"{host.name}: {host.system}, sigupdate {host.sigupdate}"
    yield f"  last report {utc(host.received)}, exit code {host.exit_code}"
    if host.refreshed:
        yield f"  metadata last found fresh {utc(host.refreshed)}"
    for what, number in (("detections", host.detections), ("seats in use", host.seats)):
        if number is not None:
            yield f"  {what}: {number}"
    about = "  site's settings: " if host.settings else "  "
    yield from (f"{about}{line}" for line in said(host.settings))
    if host.trouble:
        yield f"  {host.trouble}"
    for line in lines([host], (), now=now(), stale=stale):
        if line.engine:
            yield from _engine(line, line.engine)


def _engine(line: Line, engine: EngineRow) -> Iterator[str]:
    yield f"  {engine.engine} ({engine.kind}, {engine.version}): {line.health.value}"
    proof = f"{engine.proof} since {utc(engine.proof_at)}" if engine.proof_at else engine.proof
    yield f"    generation {engine.generation}, {engine.outcome}, {proof}, track {engine.track}"
    for load in engine.loads:
        yield f"    {load.channel} {load.sequence} ({load.release}), {load.assurance}"
    for one in engine.ignored:
        yield f"    {one.line}"
    if line.trouble:
        yield f"    {line.trouble}"
