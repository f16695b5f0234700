"""`sigmirror hosts`, `history`, `verify-log`: what the fleet runs, what it ran, and is it so."""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click
import msgspec

from keys.console import Span, instant
from keys.errors import UsageError
from keys.model.instant import utc
from mirror.cli.options import config_option, json_option, now, open_site, print_json
from mirror.fleet.asking import asked, has_desk
from mirror.fleet.audit import faults
from mirror.fleet.desk import Desk, Past
from mirror.fleet.health import Health, Line, lines, totals
from mirror.fleet.ledger import hosts_record
from mirror.journal import Entry
from mirror.settings import load

MAX_WIDTH = 40  # of a column; what is longer moves the rest of its line


@click.command(epilog="Example: sigmirror hosts --stale 26h --channel clamav")
@config_option
@json_option
@click.option(
    "--stale", type=Span(), help="Tell of hosts unheard of for longer. [fleet.stale_hours]"
)
@click.option("--channel", default="", help="Only engines that read this channel.")
def hosts(*, config: Path, as_json: bool, stale: timedelta | None, channel: str) -> int:
    """List what every host runs and whether that is proven.

    Each line is an engine of a host: host, engine, the release it reads of each channel, how far
    that is proven, track, last report, state, and what went wrong last.

    Exit code 1 when one is silent, stale, unproven, rolled back or flapping.
    """
    settings = load(config)
    limit = stale or timedelta(hours=settings.fleet.stale_hours)
    rows = asyncio.run(asked(settings, lambda desk: desk.hosts()))
    admitted = hosts_record(settings).read()
    found = lines(rows, admitted.singles, now=now(), stale=limit, channel=channel)
    if channel and not any(line.engine for line in found):
        raise UsageError(f"channel {channel!r}: no host reads it", hint="see `sigmirror status`")
    pools = sorted(name for name, one in admitted.hosts.items() if one.pool)
    if as_json:
        told = {"hosts": [msgspec.to_builtins(line) for line in found], "totals": totals(found)}
        told["pools"] = {name: len({x.host for x in found if x.pool == name}) for name in pools}
        print_json(told)
    else:
        for text in table(found, pools, at=now()):
            click.echo(text)
    return int(any(line.health is not Health.ok for line in found))


@click.command(epilog="Example: sigmirror history --at 2026-03-01T08:00:00Z --host mx1")
@config_option
@json_option
@click.option("--at", required=True, help="A time; UTC unless it says.")
@click.option("--host", default="", help="Only this host.")
def history(*, config: Path, as_json: bool, at: str, host: str) -> int:
    """Tell what every engine ran at a time, by the histories its host signed, and who published it.

    Exit code 1 when nothing is known of that time.
    """
    time, site = instant(at), open_site(config)
    found = asyncio.run(asked(site.settings, lambda desk: desk.at(time, host)))
    published = {(e.channel, e.sequence): e for e in site.journal.entries() if e.what == "release"}
    if as_json:
        told = [
            {**msgspec.to_builtins(past), "published": _published(past, published)}
            for past in found
        ]
        print_json(told)
    else:
        for past in found:
            click.echo(_past(past))
            for channel, entry in _published(past, published).items():
                click.echo(f"  {channel}: published {utc(entry['at'])} by {entry['who']}")
        if not found:
            click.echo("nothing is known of that time")
    return 0 if found else 1


@click.command("verify-log", epilog="Example: sigmirror verify-log")
@config_option
@json_option
def verify_log(*, config: Path, as_json: bool) -> int:
    """Follow the chains of the publish log and of every host's reports; check what hosts signed.

    Exit code 3 when a line was changed, removed or forged.
    """

    async def look(desk: Desk) -> list[str]:
        return [fault async for fault in faults(desk.database)]

    site = open_site(config)
    found = [*site.journal.faults()]
    if has_desk(site.settings):
        found += asyncio.run(asked(site.settings, look))
    if as_json:
        print_json({"faults": found})
    else:
        for fault in found or ["every line follows the one before, and every signature holds"]:
            click.echo(fault)
    return 3 if found else 0


def table(found: list[Line], pools: list[str], *, at: datetime) -> Iterator[str]:
    """Write a line for each host, those of a pool below it, and the totals."""
    by_name: dict[str, list[tuple[Line, str]]] = {name: [] for name in pools}
    for line, row in zip(found, _rows(found, at), strict=True):
        by_name.setdefault(line.pool or line.host, []).append((line, row))
    for name, own in sorted(by_name.items()):
        if name in pools or own[0][0].pool:
            yield f"{name}  pool, {len({line.host for line, _ in own})} reporting"
        yield from (row for _, row in own)
    counted = totals(found)
    words = [f"{count} {word}" for word, count in counted.items() if word != "hosts" and count]
    yield f"{counted['hosts']} hosts" + (": " + ", ".join(words) if words else "")


def _rows(found: list[Line], at: datetime) -> Iterator[str]:
    """Write lines below each other, in columns."""
    table = [_cells(line, at) for line in found]
    widths = [min(max(map(len, column)), MAX_WIDTH) for column in zip(*table, strict=True)]
    for cells in table:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        yield "  ".join(padded).rstrip()


def _cells(line: Line, at: datetime) -> tuple[str, ...]:
    engine = line.engine
    loads = ", ".join(f"{load.channel} {load.sequence}" for load in line.loads)
    ignores = f"ignores {engine.ignores}" if engine and engine.ignores else ""
    return (
        f"  {line.host}" if line.pool else line.host,
        engine.engine if engine else "-",
        loads or "-",
        engine.proof if engine else "-",
        engine.track if engine else "-",
        _age(at - line.received) if line.received else "never",
        line.health.value,
        "  ".join(filter(None, (ignores, line.trouble))),
    )


def _age(age: timedelta) -> str:
    seconds = max(0, int(age.total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit} ago"
    return f"{seconds}s ago"


def _published(past: Past, published: Mapping[tuple[str, int], Entry]) -> dict[str, dict[str, Any]]:
    """Say of each release that this mirror signed who published it, and when."""
    found = {}
    for channel, release in _releases(past).items():
        if entry := published.get((channel, release["sequence"])):
            found[channel] = {"at": entry.at, "who": entry.who, "why": entry.why}
    return found


def _releases(past: Past) -> dict[str, dict[str, Any]]:
    releases = past.line["releases"]
    assert isinstance(releases, dict)  # noqa: S101 - as hosts write it
    return releases


def _past(past: Past) -> str:
    line, releases = past.line, _releases(past)
    named = ", ".join(f"{name} {one['sequence']}" for name, one in releases.items())
    return (
        f"{past.host} {past.engine}: generation {line['generation']} ({named}), {line['proof']}, "
        f"since {utc(msgspec.convert(line['at'], datetime))}, signed by {past.public_key[:16]}"
    )
