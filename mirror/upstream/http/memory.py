"""When what was published last was signed, file by file: nothing signed earlier takes its place.

A vendor's signature stays good for ever; without this, anybody between him and us could serve an
old file with its old signature. It may be lost at any time: then the next pull begins anew.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from keys import files
from keys.errors import RollbackError, StateError
from keys.model.instant import utc
from mirror.upstream.http.fetching import Fetched

MAX_MEMORY_BYTES = 16 << 20

Signed = Mapping[str, datetime]
"""The newest time of signing that a file's signatures state, by path."""


def signed_times(fetched: Sequence[Fetched]) -> Signed:
    """Gather them; a file without a signature that tells one has none."""
    found = {}
    for one in fetched:
        times = [verdict.signed_at for verdict in one.verified.verdicts if verdict.signed_at]
        if times:
            found[one.source.path] = max(times)
    return found


def check_order(signed: Signed, before: Signed, address: str) -> None:
    """Refuse what was signed earlier than what was published from here.

    Raises:
        RollbackError: naming the file and both times.

    """
    for path, at in signed.items():
        if path in before and at < before[path]:
            raise RollbackError(
                f"{address}: {path}: signed {utc(at)}, earlier than the one "
                f"published before ({utc(before[path])})",
                hint="the last good release stays in force; an old file is being served",
            )


class Memory:
    """One upstream's times in a file of its own."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "signed.json"

    def read(self) -> Signed:
        """Return what is remembered; nothing at first, or when the file is unusable."""
        try:
            data = files.read(
                self._path, max_bytes=MAX_MEMORY_BYTES, limit="MAX_MEMORY_BYTES", error=StateError
            )
            return msgspec.json.decode(data, type=dict[str, datetime])
        except (StateError, msgspec.DecodeError):
            return {}

    def add(self, signed: Signed) -> None:
        """Remember these.

        Raises:
            StateError: the disk refuses.

        """
        try:
            files.make_folder(self._path.parent)
            files.write(self._path, msgspec.json.encode({**self.read(), **signed}))
        except OSError as exc:
            raise StateError(f"{self._path}: {exc.strerror or exc}") from exc
