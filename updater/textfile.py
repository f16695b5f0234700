"""The file from which node_exporter shows this host, written anew after each run.

Nothing that goes wrong here is raised: a host whose monitoring cannot be told is updated all the
same.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from keys import files
from keys.errors import Error, LockedError
from updater.place import HostPlace, last_run
from updater.report import RunReport
from updater.settings import Settings


def show(settings: Settings, run: RunReport) -> None:
    """Write how a run ended, and what is in force; nothing where the settings name no file."""
    if not settings.metrics.textfile:
        return
    from updater.gauges import page  # noqa: PLC0415 - start-up time: only where there is a file

    path = Path(settings.metrics.textfile)
    try:
        files.write(path, page(settings, run).encode())
    except OSError as exc:
        reason = exc.strerror or exc
        sys.stderr.write(f"warning: metrics.textfile: {path}: {reason}; nothing else fails\n")


@contextmanager
def showing(settings: Settings, *, now: datetime) -> Iterator[Callable[[RunReport], None]]:
    """Hand out what shows a run; show an error, too, that ends one before there is a report.

    Not a lock that is held: whoever holds it shows how that run ended.
    """
    try:
        yield lambda run: show(settings, run)
    except LockedError:
        raise
    except Error as exc:
        last = last_run(HostPlace.of(settings))
        show(settings, msgspec.structs.replace(last, at=now, exit_code=exc.exit_code))
        raise
