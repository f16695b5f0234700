"""What a release is on the wire: manifest, file list, track pointer, policy.

All are JSON, decoded strictly. Targets of a repository and where they lie are named here and
nowhere else; see docs/protocol.md for an example of each.
"""

import hashlib
from datetime import datetime
from enum import Enum
from typing import Annotated, Literal, TypeVar

import msgspec

from keys.errors import DigestError, LimitError, TrustError
from keys.model import names

MAX_MANIFEST_BYTES = 1 << 20
MAX_POINTER_BYTES = 16 << 10
MAX_FILE_LIST_BYTES = 64 << 20  # unpacked
MAX_FILES = 100_000
FILE_LIST_LEVEL = 9

Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Length = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
Sequence = Annotated[int, msgspec.Meta(ge=1, le=1 << 53)]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
ShortText = Annotated[str, msgspec.Meta(max_length=500)]

Redistribution = Literal["public", "licensed-hosts", "none"]
"""Who may be served a release: anybody, only who shows a credential, or only this machine."""

Content = Literal["definitions", "programs", "documents"]


class Assurance(Enum):
    """How a file's origin was proven; ``signed`` is the strongest."""

    signed = "signed"
    digest = "digest"
    size = "size"
    none = "none"


class Wire(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A value that crosses a wire: frozen, strict, its defaults left out."""


class Pin(Wire, frozen=True):
    """The promise about some bytes: sha256 (hex) and length (bytes)."""

    sha256: Sha256
    length: Length

    @classmethod
    def of(cls, data: bytes) -> "Pin":
        """Pin these bytes."""
        return cls(sha256=hashlib.sha256(data).hexdigest(), length=len(data))

    def check(self, data: bytes, what: str) -> bytes:
        """Return the bytes if they are the pinned ones.

        Raises:
            DigestError: length or sha256 differs; the message names ``what``.

        """
        found = Pin.of(data)
        if found != self:
            raise DigestError(
                f"{what}: {found.length} bytes, sha256 {found.sha256}; "
                f"expected {self.length} bytes, sha256 {self.sha256}"
            )
        return data


class File(Wire, frozen=True):
    """One file of a release: its own path, and the bytes it must have."""

    path: str
    sha256: Sha256
    length: Length
    provenance: ShortText = ""

    @property
    def pin(self) -> Pin:
        """The promise about its bytes."""
        return Pin(self.sha256, self.length)


class Provenance(Wire, frozen=True):
    """Where a release came from; ``url`` carries no secret."""

    upstream: ShortText
    url: ShortText = ""
    vendor_version: ShortText = ""


class Manifest(Wire, frozen=True, omit_defaults=False):
    """The signed head of a release; immutable once published.

    ``signatures`` counts its definitions, where the vendor's format says so. ``redistribution``
    says who may be served its blobs. ``sidecars`` pins what is served beside plain files.
    """

    format: Literal[1]
    channel: str
    sequence: Sequence
    release: ShortText
    published: Instant
    vendor_time: Instant | None
    assurance: Assurance
    engine: ShortText
    provenance: Provenance
    file_list: Pin
    originals: tuple[File, ...] = ()
    signatures: Annotated[int, msgspec.Meta(ge=0)] | None = None
    redistribution: Redistribution = "public"
    content: Content = "definitions"
    sidecars: Pin | None = None


class Pointer(Wire, frozen=True):
    """Which release a track offers. It may go back: that is an ordered rollback."""

    sequence: Sequence
    manifest_sha256: Sha256
    rollout: dict[str, str] = {}


class Policy(Wire, frozen=True):
    """The site's own choice for one channel of a cascaded repository: track to pointer."""

    tracks: dict[str, Pointer]


class LicenceEnd(Wire, frozen=True):
    """One licence of the site as its hosts may know it (no secret, no serial)."""

    name: ShortText
    ends_on: str
    tz: str
    feeds: tuple[str, ...] = ()


class LicenceStatus(Wire, frozen=True):
    """The site's own licence dates, published as ``policy/licence-status.json``."""

    licences: tuple[LicenceEnd, ...]


LICENCE_STATUS_TARGET = "policy/licence-status.json"

T = TypeVar("T")


def encode(value: object) -> bytes:
    """Encode a wire value; equal values give equal bytes."""
    return msgspec.json.encode(value, order="deterministic")


def decode(data: bytes, kind: type[T], what: str) -> T:
    """Decode a wire value strictly.

    Raises:
        TrustError: not JSON, or not of this shape; the message names ``what`` and the field.

    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise TrustError(f"{what}: {exc}") from exc


def encode_file_list(files: tuple[File, ...]) -> bytes:
    """Encode a release's files, sorted by path, as one zstd frame."""
    from keys.model.packing import zstd  # noqa: PLC0415 - start-up time: only where it is used

    ordered = sorted(files, key=lambda file: file.path)
    return zstd.compress(encode(ordered), level=FILE_LIST_LEVEL)


def decode_file_list(data: bytes, what: str) -> tuple[File, ...]:
    """Decode a file list and check every path in it.

    Raises:
        LimitError: unpacks to more than ``MAX_FILE_LIST_BYTES`` or ``MAX_FILES`` entries.
        TrustError: not a file list; a path that must not be used.

    """
    from keys.model.packing import unpack  # noqa: PLC0415 - start-up time: only where it is used

    plain = unpack(data, what, max_bytes=MAX_FILE_LIST_BYTES, limit="MAX_FILE_LIST_BYTES")
    files = decode(plain, tuple[File, ...], what)
    if len(files) > MAX_FILES:
        raise LimitError(f"{what}: more than MAX_FILES={MAX_FILES} files")
    for file in files:
        names.check_path(file.path)
    names.check_unique(file.path for file in files)
    return files


def manifest_target(channel: str, sequence: int) -> str:
    """Name the target that is a release's manifest."""
    return f"{channel}/releases/{sequence}.json"


def track_target(channel: str, track: str) -> str:
    """Name the target that is a track's pointer."""
    return f"{channel}/tracks/{track}.json"


def policy_target(repository: str, channel: str) -> str:
    """Name the site's target that chooses a release of a cascaded repository."""
    return f"policy/{repository}/{channel}.json"


def file_target(channel: str, path: str) -> str:
    """Name the target that is one file of a release."""
    return f"{channel}/files/{names.publish_path(path)}"


def file_list_target(channel: str, sequence: int) -> str:
    """Name the blob that is a release's file list; no file's name can begin like it."""
    return f"{channel}/files/@list/{sequence}.json.zst"


def blob_name(target: str, sha256: str) -> str:
    """Tell where a target's bytes lie below ``targets/`` (TUF consistent snapshots, §6.2)."""
    folder, _, name = target.rpartition("/")
    return f"{folder}/{sha256}.{name}" if folder else f"{sha256}.{name}"
