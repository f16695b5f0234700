"""The bytes a vendor's check is about: a file by its path, or one that is open."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from keys.errors import StateError

READ_BYTES = 1 << 20

Content = Path | BinaryIO


@contextlib.contextmanager
def opened(content: Content) -> Iterator[BinaryIO]:
    """Give the content as an open file at its start; a file given open stays open.

    Raises:
        StateError: a path that cannot be read.

    """
    if not isinstance(content, Path):
        content.seek(0)
        yield content
        return
    try:
        with content.open("rb") as file:
            yield file
    except OSError as exc:
        raise StateError(f"{content}: {exc.strerror or exc}") from exc


def chunks(file: BinaryIO) -> Iterator[bytes]:
    """Read what is left of a file, ``READ_BYTES`` at a time."""
    while chunk := file.read(READ_BYTES):
        yield chunk
