"""`sigmirror hold`: releases that shrank too much to be published unseen."""

import asyncio
from pathlib import Path
from typing import Any

import click

from keys.console import LazyGroup
from mirror.cli.options import (
    config_option,
    json_option,
    now,
    open_site,
    order,
    print_json,
    reason_option,
)
from mirror.cli.rows import show
from mirror.cli.waiting import in_turn, wait_option
from mirror.decision import Decision, choose
from mirror.hold import Hold
from mirror.site import MirrorSite


@click.group(cls=LazyGroup, lazy={"channel": "mirror.cli.tracks:hold_channel"})
def hold() -> None:
    """Decide on releases that are held because they shrink; hold a whole channel."""


@hold.command("list")
@config_option
@json_option
def list_holds(*, config: Path, as_json: bool) -> None:
    """List what is held: the release, since when, and how it shrinks."""
    show([_row(one) for one in open_site(config).holds.all()], as_json=as_json)


@hold.command("release", epilog="Example: sigmirror hold release clamav --reason 'merged upstream'")
@config_option
@json_option
@wait_option
@reason_option
@click.argument("channel")
def release_hold(*, config: Path, as_json: bool, wait: float, reason: str, channel: str) -> None:
    """Publish exactly what is held of CHANNEL (or UPSTREAM/CHANNEL)."""
    site = open_site(config)

    def work() -> None:
        held, decision = _decision(site, channel, f"sigmirror hold release {channel}", reason)
        to = site.destination(site.upstream_settings(held.upstream))
        result = asyncio.run(decision.release(held, to))
        if as_json:
            print_json(result)
            return
        click.echo(f"{held.channel}: {result.outcome}; {result.track} is release {result.sequence}")

    in_turn(work, wait=wait)


@hold.command("drop", epilog="Example: sigmirror hold drop clamav --reason 'a slip'")
@config_option
@wait_option
@reason_option
@click.argument("channel")
def drop_hold(*, config: Path, wait: float, reason: str, channel: str) -> None:
    """Remove what is held of CHANNEL (or UPSTREAM/CHANNEL); only a newer version is brought."""
    site = open_site(config)

    def work() -> None:
        held, decision = _decision(site, channel, f"sigmirror hold drop {channel}", reason)
        asyncio.run(decision.drop(held))
        click.echo(f"{held.channel}: release {held.release} is dropped")

    in_turn(work, wait=wait)


def _decision(site: MirrorSite, channel: str, command: str, reason: str) -> tuple[Hold, Decision]:
    held = choose(site.holds.all(), channel)
    state = site.pull_state(held.upstream)
    return held, Decision(site.holds, state, order(command, reason), now())


def _row(one: Hold) -> dict[str, Any]:
    return {
        "channel": one.channel,
        "upstream": one.upstream,
        "release": one.release,
        "version": one.version,
        "held_at": one.held_at,
        "percent": one.shrink.percent,
        "below_percent": one.shrink.below_percent,
        "bytes_before": one.shrink.before.length,
        "bytes": one.shrink.after.length,
        "signatures_before": one.shrink.before.signatures,
        "signatures": one.shrink.after.signatures,
    }
