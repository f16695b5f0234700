"""`sigmirror ignore`: signatures that hosts ignore for a while, because they hit what is clean."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import click
import msgspec

from keys.console import Span
from keys.errors import NameRefusedError, UsageError
from keys.model.ignore import MAX_IGNORE_DAYS, Ignored, bare, check_name
from keys.model.instant import utc
from mirror.cli.options import (
    config_option,
    heard_hosts,
    json_option,
    now,
    open_site,
    order,
    print_json,
    reason_option,
)
from mirror.fleet.roster import HostRow
from mirror.ignores import Ignores
from mirror.site import MirrorSite

HEURISTICS = "Heuristics."  # what ClamAV's program finds without a definition
MAX_REASON_CHARACTERS = 500
channel_option = click.option(
    "--channel", required=True, help="Whose signature it is: NAME or REPOSITORY/NAME."
)


@click.group()
def ignore() -> None:
    """Have hosts ignore a signature for a while, signed and logged."""


@ignore.command(epilog="Example: sigmirror ignore add Win.Test-1 --channel clamav --reason 'FP'")
@config_option
@json_option
@channel_option
@click.option("--expires", type=Span(), default="7d", show_default=True, help="When it ends.")
@reason_option
@click.argument("name")
def add(
    *, config: Path, as_json: bool, channel: str, expires: timedelta, reason: str, name: str
) -> None:
    """Let hosts ignore the signature NAME, as clamd or a YARA scanner reports it.

    Hosts whose settings allow it (may_ignore) follow at their next run, and detect it again when
    the time is up, whether or not they reach this mirror. The same NAME again: another end.
    """
    at, site = now(), open_site(config)
    if not timedelta(0) < expires <= timedelta(days=MAX_IGNORE_DAYS):
        raise UsageError(f"--expires: between 1s and {MAX_IGNORE_DAYS}d")
    channel = _known(site, channel)
    entry = Ignored(channel, _signature(name), at, at + expires, reason[:MAX_REASON_CHARACTERS])
    by = order(f"sigmirror ignore add {entry.name}", reason)
    asyncio.run(Ignores(site.policies).add(entry, by=by))
    _tell(site, entry.channel, entry.name, f"ignored until {utc(entry.expires)}", as_json=as_json)


@ignore.command(epilog="Example: sigmirror ignore remove Win.Test-1 --channel clamav --reason ok")
@config_option
@json_option
@channel_option
@reason_option
@click.argument("name")
def remove(*, config: Path, as_json: bool, channel: str, reason: str, name: str) -> None:
    """Let hosts detect the signature NAME again, from their next run on."""
    at, site = now(), open_site(config)
    channel, name = _plain(channel), bare(name)
    by = order(f"sigmirror ignore remove {name}", reason)
    asyncio.run(Ignores(site.policies).remove(channel, name, by=by, now=at))
    _tell(site, channel, name, "detected again", as_json=as_json)


@ignore.command("list", epilog="Example: sigmirror ignore list")
@config_option
@json_option
def list_(*, config: Path, as_json: bool) -> None:
    """List what is ignored, until when and why, and how many hosts follow."""
    at, site = now(), open_site(config)
    found = asyncio.run(Ignores(site.policies).read()).in_force(at)
    hosts = heard_hosts(site) if found else []
    rows = [(entry, _standings(entry, hosts)) for entry in found]
    if as_json:
        told = [{**msgspec.to_builtins(entry), "hosts": dict(count)} for entry, count in rows]
        print_json(told)
        return
    for line in _table(rows):
        click.echo(line)


def _known(site: MirrorSite, channel: str) -> str:
    """Return a channel that this mirror has, as hosts know it.

    Raises:
        UsageError: there is none of this name.

    """
    _, releases = asyncio.run(site.tracks(channel).read())
    if not releases:
        raise UsageError(f"channel {channel!r}: not on this mirror", hint="see `sigmirror status`")
    return _plain(channel)


def _signature(name: str) -> str:
    """Return a name as its definition gives it.

    Raises:
        UsageError: not one, or no definition has it.

    """
    if name.startswith(HEURISTICS):
        raise UsageError(
            f"signature {name!r}: is a heuristic of clamd, which no list switches off",
            hint="switch it off in clamd.conf, or trust the file by an .fp in the hosts' overlay",
        )
    try:
        return check_name(bare(name))
    except NameRefusedError as exc:
        raise UsageError(str(exc), hint=exc.hint) from exc


def _plain(channel: str) -> str:
    return channel.removeprefix("site/")


def _standings(entry: Ignored, hosts: Sequence[HostRow]) -> Counter[str]:
    """Count the hosts with an engine that reads the channel, by what they said of a signature."""
    return Counter(
        told
        for host in hosts
        for engine in host.engines
        if any(load.channel == entry.channel for load in engine.loads)
        for told in [engine.standing(entry.channel, entry.name) or "not heard of"]
    )


def _table(rows: Sequence[tuple[Ignored, Counter[str]]]) -> Iterator[str]:
    for entry, count in rows:
        yield f"{entry.name}  {entry.channel}  until {utc(entry.expires)}  {entry.reason}"
        if count:
            yield "  engines: " + ", ".join(f"{n} {word}" for word, n in sorted(count.items()))
    if not rows:
        yield "nothing is ignored"


def _tell(site: MirrorSite, channel: str, name: str, what: str, *, as_json: bool) -> None:
    if as_json:
        told = {"channel": channel, "name": name, "outcome": what}
        print_json(told)
        return
    click.echo(f"{name}: {what} on channel {channel}")
    if site.settings.serve.access == "hosts":
        click.echo("hosts follow at their next run; see `sigmirror ignore list`")
