"""A .cld: a header without a signature, then a plain tar; only the ``.info`` inside is signed.

Every byte is accounted for: the header is the first line of the ``.info``, the blocks between the
members are in one of two known forms, ours or ClamAV's own (as freshclam leaves them), and members
have their signed SHA-256. What no signature of the vendor covers is the text of ``COPYING``: in our
form a digest beside it finds damage; in ClamAV's form nothing does.
"""

from dataclasses import dataclass
from typing import BinaryIO

from keys.errors import FormatError
from keys.trust.vendor import rsa
from keys.trust.vendor.blocks import BLOCK, form_of
from keys.trust.vendor.container import Container, Walk, certified
from keys.trust.vendor.content import Content, opened
from keys.trust.vendor.header import HEADER_BYTES, parse_header

_GZIP_MAGIC = b"\x1f\x8b"


def verify_cld(content: Content, name: str, *, keys: rsa.Keys = rsa.CLAMAV) -> Container:
    """Verify a .cld from its first byte to its last; ``name`` is for messages.

    Raises:
        FormatError: not a .cld; the message says what it is.
        SignatureError: the ``.info`` is not signed, or the header says something else.
        DigestError: a member is not what the signed ``.info`` says, missing, or added.
        LimitError: a limit of this room was reached.

    """
    with opened(content) as file:
        return _read(file, name, keys)


def _read(file: BinaryIO, name: str, keys: rsa.Keys) -> Container:
    header = parse_header(file.read(HEADER_BYTES), name, ".cld")
    if not header.is_unsigned:
        raise FormatError(f"{name}: the header is that of a CVD, not of a .cld")
    first = file.read(BLOCK)
    if first.startswith(_GZIP_MAGIC):
        raise FormatError(f"{name}: a compressed .cld (CompressLocalDatabase) is not supported")
    walk = Walk(_Resumed(first, file), header, name, keys=keys, form=form_of(first))
    info, members = walk.run()
    return certified(info, members, "cld", keys.info.name)


@dataclass(slots=True)
class _Resumed:
    """A file whose first bytes were read already."""

    first: bytes
    file: BinaryIO

    def read(self, size: int, /) -> bytes:
        if not self.first:
            return self.file.read(size)
        data, self.first = self.first[:size], self.first[size:]
        return data
