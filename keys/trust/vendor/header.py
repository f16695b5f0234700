"""The 512 bytes a ClamAV database begins with, and the same line inside its signed ``.info``.

``ClamAV-VDB:<time>:<version>:<signatures>:<flevel>:<md5>:<dsig>:<builder>:<epoch>``, padded with
spaces (cl_cvdparse in libclamav/cvd.c). The time writes its clock with ``-``. In a ``.info`` and in
a .cld, md5 and dsig are ``X``. No signature covers a header, so it must say exactly what the signed
``.info`` says: every byte of it is accounted for.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from keys.errors import FormatError, SignatureError
from keys.trust.vendor.recognise import describe

HEADER_BYTES = 512
MAGIC = "ClamAV-VDB"

_UNSIGNED = "X"
_NUMBER = r"(?:0|[1-9][0-9]{0,9})"
_LINE = re.compile(
    rf"{MAGIC}:(?P<time>[ -9;-~]+):(?P<version>{_NUMBER}):(?P<signatures>{_NUMBER})"
    rf":(?P<flevel>{_NUMBER}):(?P<md5>[0-9a-f]{{32}}|X):(?P<dsig>[A-Za-z0-9+/]+)"
    rf":(?P<builder>[!-9;-~]+):(?P<epoch>{_NUMBER})"
)


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says; ``line`` is all of it."""

    line: str
    version: int
    signatures: int
    flevel: int
    md5: str
    dsig: str
    built: datetime

    @property
    def is_unsigned(self) -> bool:
        """Tell whether it has no signature of its own, as in a .cld."""
        return self.md5 == self.dsig == _UNSIGNED

    @property
    def plain(self) -> str:
        """The line as a ``.info`` has it, with ``X`` for md5 and dsig."""
        fields = self.line.split(":")
        return ":".join((*fields[:5], _UNSIGNED, _UNSIGNED, *fields[7:]))

    def padded(self) -> bytes:
        """Write the header of a .cld."""
        return self.plain.encode("ascii").ljust(HEADER_BYTES)


def parse_header(data: bytes, name: str, kind: str) -> Header:
    """Read the first 512 bytes of a database; ``kind`` is what it claims to be.

    Raises:
        FormatError: anything else; the message says what it is.

    """
    if not data.startswith(f"{MAGIC}:".encode("ascii")):
        raise FormatError(f"{name}: not a {kind} but {describe(data)}")
    if len(data) < HEADER_BYTES:
        raise FormatError(f"{name}: cut off within its header, after {len(data)} bytes")
    text = data[:HEADER_BYTES].decode("latin-1").rstrip(" ")
    return parse_line(text, name)


def parse_line(line: str, name: str) -> Header:
    """Read a header's line.

    Raises:
        FormatError: malformed.

    """
    fields = _LINE.fullmatch(line)
    if not fields:
        raise FormatError(f"{name}: its header is malformed")
    return Header(
        line=line,
        version=int(fields["version"]),
        signatures=int(fields["signatures"]),
        flevel=int(fields["flevel"]),
        md5=fields["md5"],
        dsig=fields["dsig"],
        built=datetime.fromtimestamp(int(fields["epoch"]), tz=UTC),
    )


_SAID = ("version", "signatures", "flevel", "built", "plain")


def check_same(outer: Header, signed: Header, name: str) -> None:
    """Check that a container's header says what its signed ``.info`` says.

    Raises:
        SignatureError: it does not; the message names the first difference.

    """
    for field in _SAID:
        claimed, proven = getattr(outer, field), getattr(signed, field)
        if claimed != proven:
            raise SignatureError(
                f"{name}: forged header: its {'line' if field == 'plain' else field} says "
                f"{claimed}, the signed .info says {proven}"
            )
