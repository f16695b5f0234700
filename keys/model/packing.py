"""Zstandard: of the standard library from Python 3.14 on, of its backport before."""

import sys

from keys.errors import LimitError, TrustError

if sys.version_info >= (3, 14):  # pragma: no cover
    from compression import zstd
else:
    from backports import zstd

__all__ = ["unpack", "zstd"]


def unpack(data: bytes, what: str, *, max_bytes: int, limit: str) -> bytes:
    """Return what exactly one zstd frame holds; ``limit`` is the name of ``max_bytes``.

    Raises:
        LimitError: it unpacks to more.
        TrustError: not exactly one zstd frame.

    """
    unpacker = zstd.ZstdDecompressor()
    try:
        plain = unpacker.decompress(data, max_length=max_bytes + 1)
    except zstd.ZstdError as exc:
        raise TrustError(f"{what}: {exc}") from exc
    if len(plain) > max_bytes:
        raise LimitError(f"{what}: more than {limit}={max_bytes} unpacked")
    if not unpacker.eof or unpacker.unused_data:
        raise TrustError(f"{what}: not exactly one zstd frame")
    return plain
