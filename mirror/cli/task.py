"""`sigmirror task`: what hosts are asked to do, and what came of it."""

import asyncio
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click
import msgspec

from keys.console import Span, instant, text
from keys.errors import UsageError
from keys.model.report import MEMBER_SEPARATOR
from keys.model.task import (
    KINDS,
    MAX_REASON,
    MAX_RECURRING,
    MAX_WINDOW_SECONDS,
    check_cron,
    covers,
)
from mirror.cli import task_words
from mirror.cli.options import config_option, json_option, listed, now, open_site, order, print_json
from mirror.cli.rows import show
from mirror.fleet.asking import asked, known_hosts
from mirror.fleet.health import Health
from mirror.fleet.health import lines as health_lines
from mirror.fleet.ledger import hosts_record
from mirror.fleet.tasks import Kept, Run, Tasks
from mirror.fleet.turnout import WRONG, counts, lines
from mirror.settings import Settings
from mirror.tasks import Wanted, give, take_back

_PATTERN = re.compile(r"[A-Za-z0-9._~*?-]{1,200}")
_LATE = frozenset({Health.silent, Health.stale})


@dataclass(frozen=True, slots=True)
class _Options:
    """What `sigmirror task add` was given."""

    named: tuple[str, ...]
    everybody: bool
    stale: bool
    engine: str
    when: str
    tz: str
    expires: timedelta
    until: timedelta
    reason: str

    def check(self, kind: str) -> None:
        """Refuse what no task can be."""
        if kind == "rollback" and not self.reason:
            raise UsageError("a rollback: say why with --reason")
        longest = timedelta(seconds=MAX_WINDOW_SECONDS)
        if not timedelta(0) < self.expires <= longest:
            raise UsageError(f"--expires: at most {longest.days}d, and not 0")
        if not timedelta(0) < self.until <= MAX_RECURRING:
            raise UsageError(f"--until: at most {MAX_RECURRING.days}d, and not 0")
        if len(self.reason) > MAX_REASON:
            raise UsageError(f"--reason: longer than {MAX_REASON} characters")


@click.group()
def task() -> None:
    """Ask hosts to do something at their next contact: each of them does it once."""


@task.command(epilog="Example: sigmirror task add prove --hosts 'mx*' --at '0 3 * * *'")
@config_option
@json_option
@click.option("--hosts", "named", multiple=True,
              help="Names, or patterns with * and ?, separated by commas.")  # fmt: skip
@click.option("--all", "everybody", is_flag=True, help="Every host, also one that comes later.")
@click.option("--stale", is_flag=True, help="Hosts that are silent or stale now.")
@click.option("--engine", default="", help="Only this engine of theirs.")
@click.option("--at", "when", default="",
              help="A time (UTC unless it says), a span from now such as 2h, or five fields of "
              "cron.  [default: now]")  # fmt: skip
@click.option("--tz", default="UTC", show_default=True, help="The time zone of cron.")
@click.option("--expires", type=Span(), default="24h", show_default=True,
              help="A host that comes later than that does nothing.")  # fmt: skip
@click.option("--until", type=Span(), default="90d", show_default=True,
              help="With cron: for how long it comes again.")  # fmt: skip
@click.option("--reason", type=text, default="", help="Why, for the log and for the hosts.")
@click.argument("kind", type=click.Choice(KINDS))
def add(*, config: Path, as_json: bool, kind: str, **options: Any) -> None:  # noqa: ANN401 - `_Options`
    """Ask hosts for an update, a proof, a verification, a rollback or a report.

    The task is signed; a host checks that, and whether its settings accept this KIND. A pool's
    name stands for all of its members.
    """
    site, at, given = open_site(config), now(), _Options(**options)
    given.check(kind)
    wanted = _wanted(kind, given, _asked_hosts(site.settings, given, at), at)
    by = order(f"sigmirror task add {kind}", given.reason)
    kept = asyncio.run(give(site, wanted, by=by, now=at))
    names = [name for name in _names(site.settings) if kept.task.is_for(name)]
    if as_json:
        print_json({**task_words.plain(kept), "hosts_now": len(names)})
        return
    click.echo(f"{task_words.headline(kept.task)}; hosts: {len(names)}")


@task.command("list", epilog="Example: sigmirror task list --json")
@config_option
@json_option
def list_(*, config: Path, as_json: bool) -> None:
    """List tasks, and how many hosts are how far with each."""
    settings, at = open_site(config).settings, now()
    kept, runs = asyncio.run(asked(settings, lambda desk: _read(Tasks(desk.database))))
    names = _names(settings)
    rows = [task_words.row(one, lines(one, runs, names, now=at), as_json=as_json) for one in kept]
    show(rows, as_json=as_json)


@task.command("show", epilog="Example: sigmirror task show 3fa1")
@config_option
@json_option
@click.argument("id_", metavar="ID")
def show_(*, config: Path, as_json: bool, id_: str) -> int:
    """Show how far every host is with a task, by the beginning of its ID.

    Exit code 1 when a host failed, refused, was interrupted, or did not come in time.
    """
    settings, at = open_site(config).settings, now()
    kept, runs = asyncio.run(asked(settings, lambda desk: _read_one(Tasks(desk.database), id_)))
    found = lines(kept, runs, _names(settings), now=at)
    if as_json:
        told = {
            **task_words.plain(kept),
            "totals": counts(found),
            "turnout": msgspec.to_builtins(found),
        }
        print_json(told)
    else:
        for text in task_words.lines(kept, found, runs):
            click.echo(text)
    return int(any(line.state in WRONG for line in found))


@task.command(epilog="Example: sigmirror task cancel 3fa1 --reason 'not needed'")
@config_option
@json_option
@click.option("--reason", type=text, default="", help="Why, for the log.")
@click.argument("id_", metavar="ID")
def cancel(*, config: Path, as_json: bool, reason: str, id_: str) -> None:
    """Hand a task out no more; a host that has it already may still run it."""
    site = open_site(config)
    kept = asyncio.run(asked(site.settings, lambda desk: Tasks(desk.database).find(id_)))
    at = now()
    if kept.cancelled or at >= kept.task.ends:
        raise UsageError(
            f"task {kept.task.id}: {'is cancelled' if kept.cancelled else 'has ended'}"
        )
    by = order(f"sigmirror task cancel {kept.task.id}", reason)
    asyncio.run(take_back(site, kept.task, by=by, now=at))
    if as_json:
        told = {**task_words.plain(kept), "cancelled": at}
        print_json(told)
        return
    click.echo(f"task {kept.task.id}: cancelled")


def _wanted(kind: str, given: _Options, hosts: tuple[str, ...], at: datetime) -> Wanted:
    begins, cron = _time(given.when, given.tz, at)
    try:
        window_ends, ends = begins + given.expires, begins + given.until
    except OverflowError as exc:
        raise UsageError(f"--at {given.when!r}: beyond every calendar") from exc
    if window_ends <= at:
        raise UsageError(f"--at {given.when!r}: such a task has expired already")
    return Wanted(
        kind=kind,
        hosts=hosts,
        at=begins,
        window=given.expires,
        until=ends if cron else window_ends,
        engine=given.engine,
        cron=cron,
        tz=given.tz,
    )


def _asked_hosts(settings: Settings, given: _Options, at: datetime) -> tuple[str, ...]:
    """Name the hosts of a task, by the one option that was given."""
    if bool(given.named) + given.everybody + given.stale != 1:
        raise UsageError("name hosts with one of --hosts, --all and --stale")
    if given.everybody:
        return ("*",)
    if given.stale:
        return _late(settings, at)
    patterns = listed(given.named)
    names = _names(settings)
    for pattern in patterns:
        if not _PATTERN.fullmatch(pattern):
            raise UsageError(f"--hosts {pattern!r}: use a name, or a pattern with * and ?")
        if not any(covers(pattern, name) for name in names):
            raise UsageError(f"--hosts {pattern!r}: no such host", hint="see `sigmirror hosts`")
    if not patterns:
        raise UsageError("--hosts: names no host")
    return patterns


def _late(settings: Settings, at: datetime) -> tuple[str, ...]:
    limit = timedelta(hours=settings.fleet.stale_hours)
    rows = asyncio.run(known_hosts(settings))
    found = health_lines(rows, hosts_record(settings).read().singles, now=at, stale=limit)
    names = tuple(sorted({line.host for line in found if line.health in _LATE}))
    if not names:
        raise UsageError("--stale: no host is silent or stale")
    return names


def _names(settings: Settings) -> list[str]:
    """List hosts that were admitted or reported; a pool by its members, or by itself without."""
    admitted = hosts_record(settings).read().hosts
    known = {row.name for row in asyncio.run(known_hosts(settings))}
    pools = {name.partition(MEMBER_SEPARATOR)[0] for name in known if MEMBER_SEPARATOR in name}
    return sorted(known | ({*admitted} - pools))


def _time(text: str, tz: str, at: datetime) -> tuple[datetime, str]:
    """Read --at: when it begins, and the cron expression by which it comes again."""
    if len(text.split()) > 1 and not text[:4].isdigit():
        check_cron(text, tz, at)
        return at, text
    try:
        begins = at + Span().convert(text, None, None) if text else at
    except click.BadParameter:
        begins = instant(text, hint="write 2026-03-01T08:00:00Z, 2h, or five fields of cron")
    return begins, ""


async def _read(tasks: Tasks) -> tuple[list[Kept], list[Run]]:
    return await tasks.every(), await tasks.runs()


async def _read_one(tasks: Tasks, beginning: str) -> tuple[Kept, list[Run]]:
    kept = await tasks.find(beginning)
    return kept, await tasks.runs(task=kept.task.id)
