"""Folders whose names leave room for a socket below them, where the tests' other folders are.

`make test` keeps those in memory: durable writes cost a disk milliseconds each.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_PLACE = 20  # characters; a socket's whole path has 107 at the most
SHORT_PLACE = "/tmp"  # noqa: S108 - where others are long


def make(prefix: str) -> Path:
    """Make a folder that the caller removes."""
    place = tempfile.gettempdir()
    short = place if len(place) <= MAX_PLACE else SHORT_PLACE
    return Path(tempfile.mkdtemp(prefix=prefix, dir=short))


@contextmanager
def made(prefix: str) -> Iterator[Path]:
    """Hand out a folder for the length of the block."""
    folder = make(prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
