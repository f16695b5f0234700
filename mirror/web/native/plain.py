"""Which URLs are below ``/files/``: a raw path in, what it asks for out (pure).

A path only ever picks from the names a release has: nothing in it reaches a file system.
"""

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import quote, unquote

from mirror.web.layout import MAX_PATH_CHARACTERS

ROOT = "files"
LATEST = "latest"
INDEX_JSON = "index.json"
PUBLIC_KEY = "minisign.pub"

_CHANNEL = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for: everything, a channel, a release of it, or a file of that.

    ``edition`` is ``latest`` or a release's sequence. ``path`` is a file's own path; for a channel
    without an edition, the one name behind it. ``is_folder`` says that the URL ends in a slash.
    """

    channel: str = ""
    edition: str = ""
    path: str = ""
    is_folder: bool = True

    @property
    def is_page(self) -> bool:
        """Tell whether a listing is asked for."""
        return not self.path

    @property
    def sequence(self) -> int | None:
        """The sequence of the release asked for; None for the latest one."""
        return int(self.edition) if self.edition.isdigit() else None


def wanted(raw_path: str) -> Wanted | None:
    """Tell what ``/files/…`` asks for, or None for what can be no name."""
    segments = _segments(raw_path)
    if segments is None or segments[0] != ROOT:
        return None
    is_folder, names = not segments[-1], segments[1:]
    names = names[:-1] if is_folder else names
    if not all(names):
        return None
    channel, *rest = names or [""]
    if channel and not _CHANNEL.fullmatch(channel) and names != [INDEX_JSON]:
        return None
    if rest and _is_edition(rest[0]):
        return _checked(Wanted(channel, rest[0], "/".join(rest[1:]), is_folder))
    return _checked(Wanted(channel, "", "/".join(rest), is_folder)) if len(rest) < 2 else None


def _segments(raw_path: str) -> list[str] | None:
    if len(raw_path) > MAX_PATH_CHARACTERS or not raw_path.startswith("/"):
        return None
    try:
        found = [unquote(segment, errors="strict") for segment in raw_path[1:].split("/")]
    except UnicodeDecodeError:
        return None
    if any("/" in segment for segment in found):
        return None
    return [unicodedata.normalize("NFC", segment) for segment in found]


def _is_edition(name: str) -> bool:
    is_number = name.isascii() and name.isdigit() and not name.startswith("0")
    return name == LATEST or (is_number and len(name) <= 16)


def _checked(found: Wanted) -> Wanted | None:
    """Refuse a file's name that ends in a slash."""
    return None if found.path and found.is_folder else found


def link(path: str) -> str:
    """Write a file's own path as a relative URL."""
    return "./" + quote(path, safe="/+@")
