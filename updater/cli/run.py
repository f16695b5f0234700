"""`sigupdate run`, `sigupdate daemon` and `sigupdate report`."""

import random
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from keys.errors import UnprovenError, UsageError
from keys.model.report import TaskTold
from updater import runs
from updater.cli.host import Host, complain, now, say, say_json
from updater.cli.options import config_option, engine_option, json_option
from updater.cli.tasks import as_text, carry_out, trying
from updater.report import RunReport

if TYPE_CHECKING:  # loaded only when something has to be fetched
    from updater.fetch import Progress


@click.command(epilog="Example: sigupdate run --engine clamd --json")
@config_option
@engine_option
@json_option
@click.option("--install-only", is_flag=True, help="Install and test; leave the engine alone.")
@click.option("--jitter", is_flag=True, help="First wait for up to jitter_seconds (for cron).")
@click.option("--textfile", default="", help="Write metrics for node_exporter to this .prom file.")
def run(
    *, config: Path, engine: str, as_json: bool, install_only: bool, jitter: bool, textfile: str
) -> int:
    """Bring the engines up to date and prove what they run.

    Prints one line for each engine. Exit codes: 0 done, 1 failed with the last good state kept,
    2 settings, 3 refused as untrusted, 4 licence or credential, 5 engine refused or went back,
    6 installed but unproven.
    """
    host = Host.load(config, textfile=textfile)
    if jitter:
        time.sleep(random.uniform(0, host.settings.jitter_seconds))  # noqa: S311 - spreads load
    with _bars(wanted=not as_json and sys.stderr.isatty()) as progress:
        ended = runs.run(
            lambda: Host.load(config, trying=True, textfile=textfile).update(
                at=now(), only=engine, ask_engine=not install_only, progress=progress
            ),
            _note,
        )
    told = [] if install_only else carry_out(host.place, trying(config), ended.handed)
    return _tell(ended.report, told, as_json=as_json)


@click.command(epilog="Example: sigupdate daemon --config /etc/sigmirror/sigupdate.toml")
@config_option
def daemon(*, config: Path) -> None:
    """Run every interval_seconds until SIGTERM; SIGHUP reads the settings again and runs now.

    An engine that does not answer yet is asked again after 15 s, 30 s, and so on.
    """
    from updater.daemon import (  # noqa: PLC0415 - `run` has no use for it
        Daemon,
        Rhythm,
        last_good,
        own_turn,
    )

    load = last_good(lambda: Host.load(config, trying=True))

    def rhythm() -> Rhythm:
        settings = load().settings
        return Rhythm(
            settings.interval_seconds,
            settings.jitter_seconds,
            settings.report.heartbeat_seconds,
            settings.turns,
            own_turn(socket.gethostname(), settings.turns),
        )

    def once() -> bool:
        place, ended = load().place, runs.run(lambda: load().update(at=now()), _note)
        code = _tell(ended.report, carry_out(place, load, ended.handed), as_json=False)
        sys.stdout.flush()
        return code == UnprovenError.exit_code

    def beat() -> None:
        host = load()
        told = host.update(at=now()).heartbeat()
        for one in carry_out(host.place, load, told.tasks if told else (), refreshed=False):
            say(as_text(one))
        sys.stdout.flush()

    looping = Daemon(once, rhythm, beat)
    looping.watch_signals()
    looping.loop()


@click.command(epilog="Example: sigupdate report")
@config_option
@json_option
def report(*, config: Path, as_json: bool) -> int:
    """Tell the mirror how the last run ended, and what waits to be told; no run is made.

    Exit code 1 when the mirror could not be told; what waits is sent with the next run.
    """
    host = Host.load(config)
    told = host.update(at=now()).heartbeat()
    if told is None:
        raise UsageError(
            "this host reports to no mirror",
            hint="set credential_file, and report.enabled = true",
        )
    done = carry_out(host.place, trying(config), told.tasks, refreshed=False)
    if as_json:
        plain = {"sent": told.sent, "waiting": told.waiting, "note": told.note}
        say_json(plain | _tasks_plain(done))
    else:
        say(f"{told.sent} sent, {told.waiting} waiting" + (f": {told.note}" if told.note else ""))
        for one in done:
            say(as_text(one))
    return int(bool(told.waiting) or not told.sent)


def _note(text: str) -> None:
    complain(text, "the settings before it stay in force")


def _tell(report: RunReport, done: Sequence[TaskTold], *, as_json: bool) -> int:
    """Print how a run ended, one line for each engine and task; return its exit code."""
    if as_json:
        told = {"changed": report.changed, **msgspec.to_builtins(report), **_tasks_plain(done)}
        say_json(told)
        return report.exit_code
    for engine in report.engines:
        say(engine.line)
    for one in done:
        say(as_text(one))
    for trouble in report.all_troubles:
        complain(trouble.message, trouble.hint)
    return report.exit_code


def _tasks_plain(done: Sequence[TaskTold]) -> dict[str, object]:
    """Write the tasks that were done for JSON, where there were any."""
    return {"tasks": [msgspec.to_builtins(one) for one in done]} if done else {}


def _bars(*, wanted: bool) -> "AbstractContextManager[Progress | None]":
    if not wanted:
        return nullcontext()
    from updater.cli.bars import Bars  # noqa: PLC0415 - start-up time: only on a terminal

    return Bars()
