"""`sigupdate run`, `sigupdate daemon` and `sigupdate report`."""

import socket
import sys
from pathlib import Path

import click

from keys.errors import UnprovenError, UsageError
from updater import runs
from updater.cli import once
from updater.cli.host import Host, now, say, say_json
from updater.cli.once import Order, note, tasks_plain, tell
from updater.cli.options import config_option, engine_option, json_option
from updater.cli.tasks import as_text, carry_out, trying


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
    return once.run(
        Order(
            config=config,
            engine=engine,
            as_json=as_json,
            install_only=install_only,
            jitter=jitter,
            textfile=textfile,
        )
    )


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

    def each() -> bool:
        place, ended = load().place, runs.run(lambda: load().update(at=now()), note)
        code = tell(ended.report, carry_out(place, load, ended.handed), as_json=False)
        sys.stdout.flush()
        return code == UnprovenError.exit_code

    def beat() -> None:
        host = load()
        told = host.update(at=now()).heartbeat()
        for one in carry_out(host.place, load, told.tasks if told else (), refreshed=False):
            say(as_text(one))
        sys.stdout.flush()

    looping = Daemon(each, rhythm, beat)
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
        say_json(plain | tasks_plain(done))
    else:
        say(f"{told.sent} sent, {told.waiting} waiting" + (f": {told.note}" if told.note else ""))
        for one in done:
            say(as_text(one))
    return int(bool(told.waiting) or not told.sent)
