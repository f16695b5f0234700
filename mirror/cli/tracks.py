"""`sigmirror promote`, `withdraw`, `pin`, `unpin`, `resume`: orders on a channel's tracks."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import click
import msgspec

from keys.errors import MissingError, UsageError
from keys.model.release import Pointer
from mirror import orders
from mirror.cli.options import (
    config_option,
    json_option,
    now,
    open_site,
    optional_reason_option,
    order,
    print_json,
    reason_option,
)
from mirror.fleet.ledger import hosts_record
from mirror.fleet.promotion import judge
from mirror.publish import Retrack
from mirror.rollout import CANARY, STABLE
from mirror.site import MirrorSite
from mirror.tracks import Tracks


@click.command(epilog="Example: sigmirror promote clamav")
@config_option
@json_option
@click.option("--force", is_flag=True, help="Promote what no canary host proved. Needs --reason.")
@optional_reason_option
@click.argument("channel")
def promote(*, config: Path, as_json: bool, force: bool, reason: str, channel: str) -> None:
    """Point stable of CHANNEL (or REPOSITORY/CHANNEL) at what its canary track offers.

    Enough canary hosts must have proven exactly that release, and none may have failed.
    """
    if force and not reason:
        raise UsageError("--force: say why with --reason")
    site = open_site(config)
    canary = _read(site.tracks(channel)).get(CANARY)
    if canary is None:
        raise UsageError(
            f"channel {channel}: has no track canary", hint="name it under canary in the settings"
        )
    if not force:
        from mirror.fleet.asking import asked  # noqa: PLC0415 - loads the database library

        hosts = asyncio.run(asked(site.settings, lambda desk: desk.hosts()))
        rules = site.settings.rollout
        verdict = judge(
            hosts, channel, canary, min_hosts=rules.min_canary_hosts, soak=timedelta(0), now=now()
        )
        if not verdict.is_ready:
            raise UsageError(
                f"channel {channel}: release {canary.sequence}: {verdict.reason}",
                hint="wait for canary hosts, or use --force --reason",
            )
    change = orders.promote(canary.sequence, force=force)
    _carry_out(site, channel, "promote", change, reason, as_json=as_json)


@click.command(epilog="Example: sigmirror withdraw clamav --reason 'false positives'")
@config_option
@json_option
@click.option("--to", type=int, help="The release to go back to.  [default: the one before]")
@click.option("--track", default=STABLE, show_default=True, help="The track that offers it.")
@reason_option
@click.argument("channel")
def withdraw(
    *, config: Path, as_json: bool, to: int | None, track: str, reason: str, channel: str
) -> None:
    """Take back what CHANNEL offers; hosts go back to an older release at their next run."""
    change = orders.withdraw(track, to)
    _carry_out(open_site(config), channel, "withdraw", change, reason, as_json=as_json)


@click.command(epilog="Example: sigmirror pin mx1 clamav 41 --reason 'works there'")
@config_option
@json_option
@reason_option
@click.argument("host")
@click.argument("channel")
@click.argument("sequence", type=int)
def pin(
    *, config: Path, as_json: bool, reason: str, host: str, channel: str, sequence: int
) -> None:
    """Let the host HOST read release SEQUENCE of CHANNEL whatever its track offers."""
    site, change = open_site(config), orders.pin(host, sequence)
    if (
        site.settings.serve.access == "hosts"
        and host not in hosts_record(site.settings).read().hosts
    ):
        raise UsageError(f"host {host}: not admitted", hint="see `sigmirror host list`")
    _carry_out(site, channel, "pin", change, reason, as_json=as_json)


@click.command(epilog="Example: sigmirror unpin mx1 clamav --reason 'fixed'")
@config_option
@json_option
@reason_option
@click.argument("host")
@click.argument("channel")
def unpin(*, config: Path, as_json: bool, reason: str, host: str, channel: str) -> None:
    """Let the host HOST follow its track of CHANNEL again."""
    change = orders.unpin(host)
    _carry_out(open_site(config), channel, "unpin", change, reason, as_json=as_json)


@click.command("channel", epilog="Example: sigmirror hold channel clamav --reason 'freeze'")
@config_option
@json_option
@reason_option
@click.argument("channel")
def hold_channel(*, config: Path, as_json: bool, reason: str, channel: str) -> None:
    """Let every track of CHANNEL stay where it is: pulls go on, releases wait, until `resume`."""
    change = orders.hold(reason)
    _carry_out(open_site(config), channel, "hold", change, reason, as_json=as_json)


@click.command(epilog="Example: sigmirror resume clamav --reason 'over'")
@config_option
@json_option
@reason_option
@click.argument("channel")
def resume(*, config: Path, as_json: bool, reason: str, channel: str) -> None:
    """Let the tracks of CHANNEL move again, to the newest release that came meanwhile."""
    site = open_site(config)
    named = {channel, channel.rpartition("/")[2]} & set(site.settings.canary)
    track = CANARY if named else STABLE
    change = orders.resume(track)
    _carry_out(site, channel, "resume", change, reason, as_json=as_json)


def _read(tracks: Tracks) -> Mapping[str, Pointer]:
    """Return where the tracks of a channel point; one without a release has none."""
    pointers, releases = asyncio.run(tracks.read())
    if not releases:
        raise MissingError(
            f"channel {tracks.written}: has no release", hint="see `sigmirror status`"
        )
    return pointers


def _carry_out(
    site: MirrorSite, channel: str, what: str, change: Retrack, reason: str, *, as_json: bool
) -> None:
    tracks = site.tracks(channel)
    _read(tracks)
    by = order(f"sigmirror {what} {channel}", reason)
    changed = asyncio.run(tracks.change(what, change, by=by, now=now()))
    pointers = _read(tracks)
    told = {"channel": channel, "changed": changed, "tracks": msgspec.to_builtins(pointers)}
    if as_json:
        print_json(told)
        return
    named = ", ".join(f"{name} is release {one.sequence}" for name, one in sorted(pointers.items()))
    click.echo(f"{channel}: {'done' if changed else 'unchanged'}; {named}")
