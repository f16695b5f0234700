"""`sigupdate setup clamd` and `sigupdate check-host`."""

from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from keys.errors import UsageError
from updater.setup import checks, layout
from updater.setup import clamd as story
from updater.setup.apply import Told
from updater.setup.host import Host
from updater.setup.observe import observe

_config = click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="SIGUPDATE_CONFIG",
    help=f"Settings of the updater.  [default: {layout.CONFIG}, if it is there]",
)
_root = click.option(
    "--root",
    default="/",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Work on the host whose files lie below this folder.",
)
_engine = click.option("--engine", default="", help="Engine of kind clamd in the settings.")
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group()
def setup() -> None:
    """Prepare an engine on this host."""


@setup.command(epilog="Example: sigupdate setup clamd --dry-run")
@_config
@_root
@_engine
@_json
@click.option("--dry-run", is_flag=True, help="Print a unified diff and change nothing.")
@click.option("--undo", is_flag=True, help="Restore every file as it was before set-up.")
@click.option("--force", is_flag=True, help="With --undo: also files changed since set-up.")
@click.option("--purge", is_flag=True, help="With --undo: the updater's state as well.")
def clamd(  # noqa: PLR0913 - a command's options
    *,
    config: Path | None,
    root: Path,
    engine: str,
    as_json: bool,
    dry_run: bool,
    undo: bool,
    force: bool,
    purge: bool,
) -> None:
    """Make Debian's clamd read the updater's generations.

    A second run changes nothing. Every change is journalled with the original bytes.
    """
    for name, given in (("--force", force), ("--purge", purge)):
        if given and not undo:
            raise UsageError(f"{name} belongs to --undo")
    host = Host(root.resolve())
    place = layout.chosen(layout.read_settings(host, config), engine)
    if undo:
        report = story.take_out(host, place, dry_run=dry_run, force=force, purge=purge)
    else:
        report = story.set_up(host, place, dry_run=dry_run)
    print(_json_text(report) if as_json else "\n".join(_lines(report)))


def _json_text(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value)).decode()


def _lines(report: story.Report) -> Iterator[str]:
    if report.diff:
        yield report.diff.rstrip("\n")
    else:
        for one in report.actions:
            yield f"{one.action:7} {one.path}  {one.becomes}".rstrip()
    yield from (f"note: {note}" for note in report.notes)
    yield from (f"{_state(told)}: {told.command}" for told in report.commands)
    yield from (f"next: {command}" for command in report.next)
    if not report.changed:
        yield "nothing to change"


def _state(told: Told) -> str:
    if not told.ran:
        return "to do"
    return f"failed ({told.error})" if told.error else "done"


@click.command("check-host", epilog="Example: sigupdate check-host --json")
@_config
@_root
@_engine
@_json
def check_host(*, config: Path | None, root: Path, engine: str, as_json: bool) -> int:
    """Check that this host's clamd can read, load and prove generations.

    Run it as root: files are then read as the engine's user, and the socket is asked as the
    updater's. Exits 1 when a line says fail.
    """
    host = Host(root.resolve())
    place = layout.chosen(layout.read_settings(host, config), engine)
    found = checks.check(place, observe(host, place))
    good = all(check.level is not checks.Level.fail for check in found)
    if as_json:
        print(_json_text({"ok": good, "checks": found}))
    else:
        print("\n".join(line for check in found for line in _check_lines(check)))
    return 0 if good else 1


def _check_lines(check: checks.Check) -> Iterator[str]:
    yield f"{check.level.value:4} {check.name}: {check.detail}"
    if check.remedy:
        yield f"     do: {check.remedy}"
