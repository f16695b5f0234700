"""Which URLs are a repository's: a raw path in, the object it names out (pure).

Only names of the layout exist; nothing is listed, and no path can climb out of a repository.
"""

import re
from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote

from keys.model.names import MAX_DEPTH

MAX_PATH_CHARACTERS = 4096
TIMESTAMP = "metadata/timestamp.json"

_SEGMENT = re.compile(r"[A-Za-z0-9_+@-][A-Za-z0-9._+@-]{0,254}")
_REPOSITORY = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_ROLE = re.compile(r"[1-9][0-9]{0,15}\.[a-z0-9][a-z0-9-]{0,69}\.json")
_HASHED = re.compile(r"([0-9a-f]{64})\..+")
_SIGNED_FOLDERS = {"releases", "tracks"}
_PINNED_FOLDERS = {"@list", "@sidecars"}


class Kind(Enum):
    """What an object is to those who fetch it."""

    timestamp = "timestamp"  # the one object that changes
    role = "role"  # versioned metadata
    document = "document"  # manifest, pointer, policy, file list, signatures: for every visitor
    blob = "blob"  # definitions: what a licence covers


@dataclass(frozen=True, slots=True)
class Place:
    """One object of a repository; ``name`` is relative to the repository."""

    repository: str
    name: str
    kind: Kind
    sha256: str = ""  # of a hash-named target

    @property
    def channel(self) -> str:
        """The channel a target belongs to."""
        return self.name.split("/")[1]


def place(raw_path: str) -> Place | None:
    """Tell which object ``/r/<repository>/…`` names, or None when it names none."""
    segments = _segments(raw_path)
    return _placed(segments) if segments else None


def named(name: str) -> Place | None:
    """Tell which object a store's name such as ``r/site/metadata/timestamp.json`` is."""
    segments = name.split("/")
    return _placed(segments) if all(map(_SEGMENT.fullmatch, segments)) else None


def _placed(segments: list[str]) -> Place | None:
    if len(segments) < 4 or segments[0] != "r":
        return None
    repository, room, *rest = segments[1:]
    if not _REPOSITORY.fullmatch(repository):
        return None
    if room == "metadata" and len(rest) == 1:
        return _metadata(repository, rest[0])
    return _target(repository, rest) if room == "targets" else None


def _segments(raw_path: str) -> list[str] | None:
    if len(raw_path) > MAX_PATH_CHARACTERS or not raw_path.startswith("/"):
        return None
    segments = [unquote(segment, errors="replace") for segment in raw_path[1:].split("/")]
    return segments if all(_SEGMENT.fullmatch(segment) for segment in segments) else None


def _metadata(repository: str, file: str) -> Place | None:
    name = f"metadata/{file}"
    if name == TIMESTAMP:
        return Place(repository, name, Kind.timestamp)
    return Place(repository, name, Kind.role) if _ROLE.fullmatch(file) else None


def _target(repository: str, segments: list[str]) -> Place | None:
    hashed = _HASHED.fullmatch(segments[-1])
    if hashed is None or len(segments) > MAX_DEPTH + 3:
        return None
    name = "/".join(("targets", *segments))
    kind = Kind.document if _is_document(segments) else Kind.blob
    return Place(repository, name, kind, hashed.group(1))


def _is_document(segments: list[str]) -> bool:
    if segments[0] == "policy":
        return True
    if len(segments) == 3:
        return segments[1] in _SIGNED_FOLDERS
    return len(segments) == 4 and segments[1] == "files" and segments[2] in _PINNED_FOLDERS
