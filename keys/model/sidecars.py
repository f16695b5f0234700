"""Signatures of a release's plain files, for clients that know nothing of its manifest.

All of them are one blob that the manifest pins. Hosts never load it: to them the manifest counts.
"""

from typing import Annotated

import msgspec

from keys.model.packing import unpack, zstd
from keys.model.release import MAX_FILES, Wire, decode, encode

MAX_SIDECARS_BYTES = 64 << 20  # unpacked
LEVEL = 9

Text = Annotated[str, msgspec.Meta(max_length=16 << 10)]


class Sidecars(Wire, frozen=True):
    """The content of a ``minisign.pub`` file, and of that key's ``.minisig`` file by path."""

    key: Text = ""
    signatures: Annotated[dict[str, Text], msgspec.Meta(max_length=2 * MAX_FILES)] = msgspec.field(
        default_factory=dict
    )


def sidecars_target(channel: str, sequence: int) -> str:
    """Name the blob that holds a release's signatures; no file's name can begin like it."""
    return f"{channel}/files/@sidecars/{sequence}.json.zst"


def encode_sidecars(sidecars: Sidecars) -> bytes:
    """Encode signatures as one zstd frame; equal ones give equal bytes."""
    return zstd.compress(encode(sidecars), level=LEVEL)


def decode_sidecars(data: bytes, what: str) -> Sidecars:
    """Decode signatures.

    Raises:
        LimitError: unpacks to more than ``MAX_SIDECARS_BYTES``.
        TrustError: not what ``encode_sidecars`` writes.

    """
    plain = unpack(data, what, max_bytes=MAX_SIDECARS_BYTES, limit="MAX_SIDECARS_BYTES")
    return decode(plain, Sidecars, what)
