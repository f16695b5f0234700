"""`sigupdate prove`, `rollback`, `quarantine list|clear`: one engine at a time, no mirror asked."""

from pathlib import Path
from typing import Any

import click
import msgspec
from click.core import ParameterSource

from keys.console import text
from keys.errors import SettingsError, StateError, UsageError
from keys.model.instant import utc
from updater.cli.host import Host, complain, now, say, say_json
from updater.cli.options import config_option, engine_option, json_option
from updater.place import last_run
from updater.quarantine import Entry
from updater.report import EngineReport, worst
from updater.textfile import show
from updater.update import remember_proofs


@click.command(epilog="Example: sigupdate prove --engine clamd")
@config_option
@engine_option
@json_option
@click.option(
    "--clamd-config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Look at the clamd with these settings, on a host that has none of ours.",
)
@click.option("--socket", default="", help="The same, of the clamd that listens there.")
@click.option(
    "--marker",
    is_flag=True,
    help="The same; put a marker into its folder, reload it, take it out, reload it.",
)
def prove(
    *, config: Path, engine: str, as_json: bool, clamd_config: Path | None, socket: str,
    marker: bool,
) -> int:  # fmt: skip
    """Prove what the engines run now; finish or undo what an interrupted run left.

    With --engine clamd on a host without settings of ours: say what is on disk, what clamd really
    runs, and whether they differ; nothing is changed, unless --marker is given.

    Exit codes: 0 proven, 3 a database is not what its vendor signed, 5 taken back, 6 unproven.
    """
    if clamd_config or socket or marker or (engine == "clamd" and _is_plain(config)):
        from updater.cli.plain import prove as look  # noqa: PLC0415 - few hosts are plain

        return look(clamd_config, socket, with_marker=marker, as_json=as_json)
    if _is_plain(config):
        hint = "on a host without any: `sigupdate prove --engine clamd`"
        raise SettingsError(f"{config}: there is no such file", hint=hint)
    host = Host.load(config)
    reports = [turn.take(None) for turn in host.turns(at=now(), only=engine)]
    _pass_on(host, reports, "prove")
    return _tell(reports, as_json=as_json)


def _pass_on(host: Host, reports: list[EngineReport], occasion: str) -> None:
    """Let the last run's report, monitoring and the mirror know what engines run since."""
    try:
        remember_proofs(host.place, reports)
        host.update(at=now()).heartbeat(occasion)
    except StateError as exc:  # a run under way tells it itself
        complain(str(exc), exc.hint)
    show(host.settings, last_run(host.place))


def _is_plain(config: Path) -> bool:
    """Tell whether this host has no settings of ours, where none were named."""
    named = click.get_current_context().get_parameter_source("config")
    return named is ParameterSource.DEFAULT and not config.exists()


@click.command(epilog="Example: sigupdate rollback --engine clamd --reason 'false alarms'")
@config_option
@engine_option
@json_option
@click.option(
    "--reason", type=text, default="the operator went back", help="Kept in the quarantine."
)
def rollback(*, config: Path, engine: str, as_json: bool, reason: str) -> int:
    """Go back to the generation before, and stay there.

    The releases it takes back are held until `sigupdate quarantine clear`, or until a newer
    release comes. With several engines, name one. Exit code 3, and nothing moved, where the older
    one was changed on disk since.
    """
    host = Host.load(config)
    turns = host.turns(at=now(), only=engine)
    if len(turns) > 1:
        raise UsageError("there are several engines", hint="name one with --engine")
    reports = [turn.go_back(reason) for turn in turns]
    _pass_on(host, reports, "rollback")
    return _tell(reports, as_json=as_json)


@click.group()
def quarantine() -> None:
    """Releases this host does not install."""


@quarantine.command("list", epilog="Example: sigupdate quarantine list --json")
@config_option
@engine_option
@json_option
def list_(*, config: Path, engine: str, as_json: bool) -> None:
    """List what is held, and why."""
    turns = Host.load(config).turns(at=now(), only=engine)
    held = [(turn.settings.name, e) for turn in turns for e in turn.place.quarantine.load().entries]
    if as_json:
        rows = [{"engine": name, **msgspec.to_builtins(entry)} for name, entry in held]
        say_json(rows)
        return
    for name, entry in held:
        say(f"{name}: {_line(entry)}")


@quarantine.command(epilog="Example: sigupdate quarantine clear 3fa1c2")
@config_option
@engine_option
@click.argument("manifest_sha256", default="")
@click.option("--all", "everything", is_flag=True, help="Lift every entry.")
def clear(*, config: Path, engine: str, manifest_sha256: str, everything: bool) -> None:
    """Lift what names a release: give the beginning of its manifest's sha256, or --all."""
    if everything == bool(manifest_sha256):
        raise UsageError("give the beginning of a manifest's sha256, or --all")
    turns = Host.load(config).turns(at=now(), only=engine)
    lifted = sum(turn.lift(manifest_sha256) for turn in turns)
    if not lifted and manifest_sha256:
        raise UsageError(f"nothing in quarantine begins with {manifest_sha256!r}")
    say(f"lifted {lifted}")


def _tell(reports: list[EngineReport], *, as_json: bool) -> int:
    if as_json:
        rows: list[Any] = [msgspec.to_builtins(report) for report in reports]
        say_json(rows)
    else:
        for report in reports:
            say(report.line)
    troubles = [trouble for report in reports for trouble in report.troubles]
    for trouble in () if as_json else troubles:
        complain(trouble.message, trouble.hint)
    return worst(trouble.exit_code for trouble in troubles)


def _line(entry: Entry) -> str:
    named = " with ".join(f"{c} {digest[:16]}" for c, digest in entry.releases.items())
    named += ", with what was ignored then" if entry.ignoring else ""
    engine = f", engine {entry.engine_version}" if entry.engine_version else ""
    strikes = "" if entry.holds else ", not held yet"
    return f"{named}: {entry.cause.value}{strikes}{engine}, {utc(entry.at)}: {entry.reason}"
