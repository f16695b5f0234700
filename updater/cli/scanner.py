"""`sigupdate yara-scanner`: a scanner that always runs the generation in force."""

import logging
import signal
import sys
import threading
from pathlib import Path

import click

from keys.errors import UsageError
from updater.cli.host import Host, say
from updater.cli.options import config_option, engine_option
from updater.engines.yara.live import LiveRules
from updater.engines.yara.sources import DEFAULT_EXTERNALS
from updater.place import Place


@click.command(
    "yara-scanner", epilog="Example: sigupdate yara-scanner --engine yara --socket /run/yara.sock"
)
@config_option
@engine_option
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Scan with `current` in this folder; no settings are read.",
)
@click.option("--socket", default="", help="A path, or HOST:PORT; default: the engine's socket.")
def yara_scanner(*, config: Path, engine: str, folder: Path | None, socket: str) -> None:
    """Scan what comes over a socket with the YARA rules in force, until SIGTERM.

    It speaks clamd's protocol (PING, VERSION, RELOAD, INSTREAM), waits for a first generation
    where there is none, and takes over each new one without a lost scan.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    externals = DEFAULT_EXTERNALS
    if folder is None:
        folder, externals, configured = _of_settings(config, engine)
        socket = socket or configured
    if not socket:
        raise UsageError("no socket to listen on", hint="give --socket PATH or HOST:PORT")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    rules = LiveRules(folder, externals=externals, probe_socket=socket)
    rules.start()
    try:
        say(f"listening on {socket}, rules of {folder}")
        sys.stdout.flush()
        stop.wait()
    finally:
        rules.close()


def _of_settings(config: Path, engine: str) -> tuple[Path, tuple[str, ...], str]:
    """Find an engine's folder, externals and socket."""
    host = Host.load(config)
    chosen = [found for found in host.engines(engine) if found.kind == "yara"]
    if len(chosen) != 1:
        raise UsageError("name one engine of kind yara", hint="use --engine NAME")
    place = Place.of(host.place, chosen[0])
    return place.generations.folder, chosen[0].externals, chosen[0].socket
