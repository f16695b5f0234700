"""What became of files that changed on disk: ``state/reloads.json``."""

from datetime import datetime
from pathlib import Path

import msgspec

from keys import files
from keys.errors import Error, StateError

FILE = "state/reloads.json"
MAX_RELOADS_BYTES = 1 << 20


class Reload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The last change of one thing; a refused one left the old in force."""

    at: datetime
    accepted: bool
    cause: str = ""
    hint: str = ""

    @classmethod
    def of(cls, error: Error | None, *, at: datetime) -> "Reload":
        """Describe how a reload ended."""
        return (
            cls(at, accepted=True)
            if error is None
            else cls(at, accepted=False, cause=str(error), hint=error.hint)
        )


def read(path: Path) -> dict[str, Reload]:
    """Return the last change of each thing.

    Raises:
        StateError: the file is unusable.

    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_RELOADS_BYTES)
        return msgspec.json.decode(data, type=dict[str, Reload])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as exc:
        raise StateError(f"{path}: {exc}", hint="remove the file") from exc


def remember(path: Path, what: str, outcome: Reload) -> None:
    """Set the last change of one thing; an unusable file is written anew.

    Raises:
        StateError: the disk refuses.

    """
    try:
        known = read(path)
    except StateError:
        known = {}
    try:
        files.make_folder(path.parent)
        files.write(path, msgspec.json.encode({**known, what: outcome}))
    except OSError as exc:
        raise StateError(f"{path}: {exc.strerror or exc}") from exc
