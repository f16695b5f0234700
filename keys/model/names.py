"""Names that reach a URL or a file system: what is allowed and how the rest is written.

A release keeps each file's own path (Unicode, ``/`` between segments). Its published path is
made of segments of ``[A-Za-z0-9._+-]``; every other byte of the UTF-8 form, ``@`` included, is
written ``@XX`` (two upper-case hex digits). The sign is ``@`` and not ``%`` because TUF clients
cannot fetch a target whose name holds a percent sign. Names that begin with ``@`` and no hex
digits are ours: no file of a release can collide with them.
"""

import re
import unicodedata
from collections.abc import Iterable

from keys.errors import NameRefusedError

MAX_SEGMENT_BYTES = 180  # with "<sha256>." in front a name stays below the 255 of file systems
MAX_DEPTH = 8
RESERVED_CHANNELS = frozenset({"root", "targets", "snapshot", "timestamp", "channels", "policy"})

_CHANNEL = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_PLAIN = re.compile(rb"[A-Za-z0-9._+-]")


def check_channel(name: str) -> str:
    """Return a channel's name if it may be one.

    Raises:
        NameRefusedError: malformed, reserved for a TUF role, or ending in ``-files``.

    """
    if not _CHANNEL.fullmatch(name) or name in RESERVED_CHANNELS or name.endswith("-files"):
        raise NameRefusedError(
            f"channel {name!r}: not a channel name",
            hint="use a-z, 0-9 and '-'; not the name of a TUF role, not ending in -files",
        )
    return name


def check_path(path: str) -> str:
    """Return a release file's path if it is relative, clean and at most 8 segments deep.

    Raises:
        NameRefusedError: empty, absolute, with ``.``/``..``/control characters/backslash, a
            hidden or over-long segment, or not in Unicode's composed form (NFC).

    """
    segments = path.split("/")
    if len(segments) > MAX_DEPTH:
        raise NameRefusedError(f"file {path!r}: more than {MAX_DEPTH} folders deep")
    for segment in segments:
        reason = _refusal(segment)
        if reason:
            raise NameRefusedError(f"file {path!r}: {reason}")
    return path


def _refusal(segment: str) -> str:
    if not segment or segment.startswith("."):
        return "an empty or hidden name"
    if any(unicodedata.category(c) in {"Cc", "Cf", "Cs"} or c == "\\" for c in segment):
        return "a control character or backslash in a name"
    if unicodedata.normalize("NFC", segment) != segment:
        return "a name not in composed form (NFC)"
    if len(publish_segment(segment)) > MAX_SEGMENT_BYTES:
        return f"a published name longer than {MAX_SEGMENT_BYTES} bytes"
    return ""


def publish_segment(segment: str) -> str:
    """Write one path segment with the characters a published path may hold."""
    return "".join(
        chr(b) if _PLAIN.match(bytes([b])) else f"@{b:02X}" for b in segment.encode("utf-8")
    )


def publish_path(path: str) -> str:
    """Write a release file's path as it stands in URLs and target names."""
    return "/".join(publish_segment(segment) for segment in check_path(path).split("/"))


def check_unique(paths: Iterable[str]) -> None:
    """Refuse paths that differ only in case, or a file that is also another's folder.

    Raises:
        NameRefusedError: naming both paths.

    """
    seen: dict[str, str] = {}
    folders: dict[str, str] = {}
    for path in paths:
        folded = path.casefold()
        if folded in seen:
            raise NameRefusedError(f"file {path!r}: clashes with {seen[folded]!r}")
        seen[folded] = path
        parts = folded.split("/")
        for depth in range(1, len(parts)):
            folders.setdefault("/".join(parts[:depth]), path)
    for folded, path in seen.items():
        if folded in folders:
            raise NameRefusedError(f"file {path!r}: is also the folder of {folders[folded]!r}")
