"""`sigmirror notify`: what is open, and telling whoever wants to know."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import msgspec

from keys.errors import UsageError
from mirror.cli.options import config_option, json_option, now, open_site, print_json
from mirror.notices.notice import Notice
from mirror.notices.round import Outcome, Round, book_file
from mirror.notices.summary import read_summary


@click.command(epilog="Example: sigmirror notify --dry-run")
@config_option
@json_option
@click.option("--dry-run", is_flag=True, help="Only show what would be told, and to whom.")
@click.option("--test", "is_test", is_flag=True, help="Send everybody a message that says so.")
def notify(*, config: Path, as_json: bool, dry_run: bool, is_test: bool) -> int:
    """Tell now what the [[notify]] rules want told, as `sigmirror run` does every minute.

    Exit code 1 when somebody could not be told.
    """
    site, at = open_site(config), now()
    if dry_run and is_test:
        raise UsageError("give either --dry-run or --test")
    summary, file = asyncio.run(read_summary(site, now=at)), book_file(site.folder)
    this = Round(site.settings.notify, summary.notices, at, summary.unknown)
    if is_test:
        outcomes = this.try_out(file)
    else:
        outcomes = this.foresee(file.read()) if dry_run else this.tell(file, by_hand=True)
    notices = summary.notices
    if as_json:
        told = {"notices": msgspec.to_builtins(notices), "ways": msgspec.to_builtins(outcomes)}
        print_json(told)
    else:
        for line in _lines(notices, outcomes, dry_run=dry_run):
            click.echo(line)
    return int(any(outcome.error for outcome in outcomes))


def _lines(
    notices: Sequence[Notice], outcomes: Sequence[Outcome], *, dry_run: bool
) -> Iterator[str]:
    for notice in notices:
        yield f"{notice.kind}: {notice.title}"
    if not notices:
        yield "no open notices"
    for outcome in outcomes:
        yield f"{outcome.way}: {_said(outcome, dry_run=dry_run)}"
    if not outcomes:
        yield "nobody is told: there is no [[notify]] in the settings"


def _said(outcome: Outcome, *, dry_run: bool) -> str:
    if outcome.error:
        return f"FAILED: {outcome.error}"
    if not outcome.sayings:
        return "nothing to tell"
    counted = f"{len(outcome.sayings)} notices"
    if outcome.waits:
        return f"{counted} wait: {outcome.waits}"
    return f"{counted} would be told" if dry_run else f"told {counted}"
