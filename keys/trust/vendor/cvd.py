"""A CVD: header, then tar.gz; MD5 and raw RSA over what follows the header.

The signature leaves the header uncovered, so that must say what the signed ``.info`` says, and md5
and dsig must fit; every byte of a CVD is accounted for.
"""

import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from keys.errors import FormatError, LimitError, SignatureError
from keys.trust.vendor import rsa
from keys.trust.vendor.container import CHUNK_BYTES, Container, Walk, certified, discard
from keys.trust.vendor.content import Content, opened
from keys.trust.vendor.header import HEADER_BYTES, Header, parse_header
from keys.trust.vendor.recognise import HEAD_BYTES, describe

MAX_RATIO = 100  # genuine ones expand 2 to 6 times
RATIO_FREE_BYTES = 1 << 20
PACKED_CHUNK_BYTES = 64 << 10

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP = 16 + zlib.MAX_WBITS


def verify_cvd(content: Content, name: str, *, keys: rsa.Keys = rsa.CLAMAV) -> Container:
    """Verify a CVD from its first byte to its last; ``name`` is for messages.

    Raises:
        FormatError: not a CVD; the message says what it is.
        SignatureError: a signature does not hold, or the header says what nobody signed.
        DigestError: a member is not what the signed ``.info`` says, missing, or added.
        LimitError: a limit of this room was reached.

    """
    with opened(content) as file:
        return _read(file, name, keys, discard)


def expand_cvd(
    content: Content, target: BinaryIO, name: str, *, keys: rsa.Keys = rsa.CLAMAV
) -> Container:
    """Verify a CVD and write the canonical .cld it expands to, in one pass.

    What was written before an error is nobody's: the caller discards it.

    Raises:
        FormatError, SignatureError, DigestError, LimitError: as ``verify_cvd``.

    """
    with opened(content) as file:
        return _read(file, name, keys, target.write)


def read_header(data: bytes, name: str) -> Header:
    """Read the header of a CVD, of which nothing is proven yet.

    Raises:
        FormatError: not the header of a CVD; the message says what it is.

    """
    header = parse_header(data, name, "CVD")
    if len(header.md5) == 1 or len(header.dsig) == 1:
        raise FormatError(f"{name}: a ClamAV database without a signature, not a CVD")
    return header


def _read(file: BinaryIO, name: str, keys: rsa.Keys, sink: Callable[[bytes], object]) -> Container:
    header = read_header(_head(file), name)
    rsa.verify_raw(keys.header, bytes.fromhex(header.md5), header.dsig, f"{name}: header")
    body = _Inflated(file, name)
    info, members = Walk(body, header, name, keys=keys, sink=sink).run()
    body.close(header)
    return certified(info, members, "cvd", keys.header.name)


def _head(file: BinaryIO) -> bytes:
    """Read a header, or enough of something else to tell what it is."""
    head = file.read(HEADER_BYTES)
    if len(head) == HEADER_BYTES and not head.startswith(b"ClamAV-VDB:"):
        head += file.read(HEAD_BYTES - HEADER_BYTES)
    return head


@dataclass(slots=True)
class _Inflated:
    """What a gzip stream holds, and the MD5 of the stream."""

    file: BinaryIO
    name: str
    _packed: int = 0
    _plain: int = 0
    _buffer: bytes = b""
    _at: int = 0
    _md5: "hashlib._Hash" = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))
    _inflate: "zlib._Decompress" = field(default_factory=lambda: zlib.decompressobj(wbits=_GZIP))

    def read(self, size: int, /) -> bytes:
        if self._at == len(self._buffer):
            self._buffer, self._at = self._more(), 0
        data = self._buffer[self._at : self._at + size]
        self._at += len(data)
        return data

    def _more(self) -> bytes:
        """Inflate some; nothing only at the end of the stream."""
        data = b""
        while not data and not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._pull()
            try:
                data = self._inflate.decompress(packed, CHUNK_BYTES)
            except zlib.error as exc:
                raise FormatError(f"{self.name}: damaged: {exc}") from exc
        self._plain += len(data)
        if self._plain > self._packed * MAX_RATIO + RATIO_FREE_BYTES:
            raise LimitError(f"{self.name}: expands to more than MAX_RATIO={MAX_RATIO} times")
        return data

    def _pull(self) -> bytes:
        packed = self.file.read(PACKED_CHUNK_BYTES)
        if not self._packed and not packed.startswith(_GZIP_MAGIC):
            raise FormatError(f"{self.name}: its header is followed by {describe(packed)}")
        if not packed:
            raise FormatError(f"{self.name}: cut off after {HEADER_BYTES + self._packed} bytes")
        self._md5.update(packed)
        self._packed += len(packed)
        return packed

    def close(self, header: Header) -> None:
        """Check that the stream was all, and the one whose MD5 is signed."""
        if self._inflate.unused_data or self.file.read(1):
            raise FormatError(f"{self.name}: something stands behind its gzip stream")
        if self._md5.hexdigest() != header.md5:
            raise SignatureError(
                f"{self.name}: damaged: its MD5 is {self._md5.hexdigest()}, signed was {header.md5}"
            )
