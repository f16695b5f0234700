"""A progress bar on stderr, where stderr is a terminal."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from mirror.upstream.base import ignore_bytes


@contextlib.contextmanager
def progress(what: str, *, wanted: bool = True) -> Iterator[Callable[[int], None]]:
    """Provide a function that hears of bytes as they come, from any thread."""
    if not (wanted and sys.stderr.isatty()):
        yield ignore_bytes
        return
    from rich.console import Console  # noqa: PLC0415 - only a terminal needs it
    from rich.progress import (  # noqa: PLC0415
        DownloadColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TransferSpeedColumn,
    )

    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), DownloadColumn(), TransferSpeedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(what, total=None)
        yield lambda count: bars.advance(task, count)
