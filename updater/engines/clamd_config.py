"""clamd's own configuration: what in it can break a reload or hide the marker."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from keys.settings import read

MIN_STREAM_BYTES = 1 << 20  # anything below hides real samples too
DEFAULT_STREAM_BYTES = 100 << 20
_YES = frozenset({"yes", "true", "1"})
_SIZE = re.compile(r"(?P<number>\d+)(?P<unit>[kKmMgG]?)")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


class ClamdConfig:
    """Values by option name; names are compared without regard to case, as clamd does."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = {name.lower(): value for name, value in values.items()}

    @classmethod
    def parse(cls, text: str) -> "ClamdConfig":
        """Read the lines of a clamd.conf; of an option given twice the first counts."""
        values: dict[str, str] = {}
        for line in text.splitlines():
            name, _, value = line.strip().partition(" ")
            if name and not name.startswith("#"):
                values.setdefault(name, value.strip().strip('"'))
        return cls(values)

    @classmethod
    def load(cls, path: Path) -> "ClamdConfig":
        """Read a clamd.conf.

        Raises:
            SettingsError: unreadable.

        """
        return cls.parse(read(path).decode("utf-8", "replace"))

    def text(self, name: str, default: str = "") -> str:
        """Return an option's value."""
        return self._values.get(name.lower(), default)

    def flag(self, name: str, *, default: bool) -> bool:
        """Return an option's yes or no."""
        value = self.text(name)
        return value.lower() in _YES if value else default

    def size(self, name: str, default: int) -> int:
        """Return an option's bytes; 0 means no limit. What is no size is the default."""
        found = _SIZE.fullmatch(self.text(name))
        return int(found["number"]) * _UNITS[found["unit"].lower()] if found else default

    def findings(self, current: Path, socket: str) -> Iterator[str]:
        """Say what keeps this clamd from loading ``current`` safely or from showing its marker."""
        if not self.flag("ConcurrentDatabaseReload", default=True):
            yield "ConcurrentDatabaseReload no: a reload can hang every scan; set it to yes"
        if self.flag("OfficialDatabaseOnly", default=False):
            yield "OfficialDatabaseOnly yes: only ClamAV's own databases load; set it to no"
        for option in ("StreamMaxLength", "MaxFileSize", "MaxScanSize"):
            limit = self.size(option, DEFAULT_STREAM_BYTES)
            if 0 < limit < MIN_STREAM_BYTES:
                yield f"{option} {limit} bytes: scans of anything larger say OK; raise it"
        folder = self.text("DatabaseDirectory", "/var/lib/clamav")
        if not _same_place(Path(folder), current):
            yield f"DatabaseDirectory {folder}: definitions are installed as {current}; set it so"
        own = self.text("LocalSocket")
        if socket.startswith("/") and own and not _same_place(Path(own), Path(socket)):
            yield f"LocalSocket {own}: the settings ask {socket}, which may be another clamd"


def _same_place(one: Path, other: Path) -> bool:
    """Compare two names of a link by where they stand, not by what they point at."""
    return one.name == other.name and one.parent.resolve() == other.parent.resolve()
