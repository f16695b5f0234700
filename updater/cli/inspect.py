"""`sigupdate status`, `check`, `history`, `verify`: what is, what was, and whether it still is."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click
import msgspec

from keys.console import Span, instant
from keys.errors import Error
from keys.model.instant import utc
from updater.cli.config import standing
from updater.cli.host import Host, now, say, say_json
from updater.cli.options import config_option, engine_option, json_option
from updater.history import Entry
from updater.place import Place, last_run
from updater.report import NEVER_RUN, Level, RunReport, judge, worst
from updater.verify import Verifier, metadata_findings


@click.command(epilog="Example: sigupdate check --max-age 26h")
@config_option
@click.option(
    "--max-age", type=Span(), default="26h", show_default=True, help="Oldest good refresh."
)
def check(*, config: Path, max_age: timedelta) -> int:
    """Answer a monitoring system in one line: exit 0 ok, 1 warning, 2 critical."""
    try:
        place = Host.load(config).place
        level, text = judge(last_run(place), max_age=max_age, now=now())
    except Error as exc:
        say(f"CRITICAL {exc}")
        return 2
    if level is Level.ok and place.fragments.known().refused:
        level, text = Level.warning, ", ".join(standing(place.fragments.known()))
    say(f"{level.name.upper()} {text}")
    return level.value


@click.command(epilog="Example: sigupdate status --json")
@config_option
@engine_option
@json_option
def status(*, config: Path, engine: str, as_json: bool) -> None:
    """Tell what is in force, how far it is proven, what is kept and what is held."""
    host = Host.load(config)
    places = [Place.of(host.place, settings) for settings in host.engines(engine)]
    last = last_run(host.place)
    told = {
        "last_run": msgspec.to_builtins(last),
        "engines": [_told(place) for place in places],
        "settings": msgspec.to_builtins(host.place.fragments.known().told()),
    }
    if as_json:
        say_json(told)
        return
    ignored = {engine.engine: engine.ignored for engine in last.engines}
    for row in told["engines"]:
        say(_status_line(row))
        for one in ignored.get(row["engine"], ()):
            say(f"  {one.line}")
    say(_run_line(last))
    for trouble in last.all_troubles:
        say(f"  {trouble.message}")
    for line in standing(host.place.fragments.known()):
        say(line)


@click.command(epilog="Example: sigupdate history --at 2026-03-01T08:00:00Z --engine clamd")
@config_option
@engine_option
@json_option
@click.option("--at", default="", help="Only what was in force at this time (UTC unless it says).")
def history(*, config: Path, engine: str, as_json: bool, at: str) -> int:
    """Tell what was in force when, from the append-only history."""
    host = Host.load(config)
    time = instant(at) if at else None
    found = 0
    for settings in host.engines(engine):
        log = Place.of(host.place, settings).history
        entries = log.entries() if time is None else filter(None, [log.at(time)])
        for entry in entries:
            say(_history_json(settings.name, entry) if as_json else _line(settings.name, entry))
            found += 1
    return 0 if found else 1


@click.command(epilog="Example: sigupdate verify")
@config_option
@engine_option
@json_option
def verify(*, config: Path, engine: str, as_json: bool) -> int:
    """Hash the generation in force and its blobs again; look at modes, owners, metadata.

    Exit codes: 0 all as installed, 1 something is missing or has other rights, 3 bytes changed.
    """
    host = Host.load(config)
    findings = [
        finding
        for turn in host.turns(at=now(), only=engine)
        for finding in Verifier(turn.place, turn.engine).findings()
    ]
    findings += metadata_findings(host.settings, host.place, now=now())
    if as_json:
        say_json([msgspec.to_builtins(f) for f in findings])
    else:
        for finding in findings:
            say(f"{finding.engine}: {finding.what}")
        if not findings:
            say("all files are as installed")
    return worst(finding.exit_code for finding in findings)


def _told(place: Place) -> dict[str, Any]:
    state = place.state.load()
    held = [entry for entry in place.quarantine.load().entries if entry.holds]
    return {
        "engine": place.name,
        "current": str(place.generations.current),
        "in_force": msgspec.to_builtins(place.in_force(state)),
        "kept": [generation.number for generation in state.generations],
        "interrupted": msgspec.to_builtins(state.journal),
        "quarantine": msgspec.to_builtins(held),
    }


def _run_line(last: RunReport) -> str:
    if last is NEVER_RUN:
        return "no run has finished yet"
    return f"last run {utc(last.at)}: exit code {last.exit_code}"


def _status_line(row: dict[str, Any]) -> str:
    found = row["in_force"]
    if found is None:
        return f"{row['engine']}: nothing is installed"
    named = ", ".join(f"{c} {r['sequence']} ({r['release']})" for c, r in found["releases"].items())
    kept = ", ".join(str(number) for number in row["kept"])
    more = f"; {len(row['quarantine'])} in quarantine" if row["quarantine"] else ""
    more += "; a change was interrupted" if row["interrupted"] else ""
    proven = found.get("proof_at")
    since = f" since {utc(datetime.fromisoformat(proven))}" if proven else ""
    proof = f"{found.get('proof', 'unproven')}{since}"
    return f"{row['engine']}: generation {found['number']}: {named}; {proof}; kept: {kept}{more}"


def _history_json(engine: str, entry: Entry) -> str:
    return msgspec.json.encode({"engine": engine, **msgspec.to_builtins(entry)}).decode()


def _line(engine: str, entry: Entry) -> str:
    named = ", ".join(
        f"{c} {r.sequence} {r.manifest_sha256[:16]} {r.assurance.value}"
        for c, r in entry.releases.items()
    )
    return (
        f"{utc(entry.at)} {engine}: generation {entry.generation} ({named}) "
        f"{entry.outcome}, {entry.proof.value}: {entry.detail}"
    )
