"""The 512-byte blocks that stand before each member of a database's tar, and what ends the tar.

Two forms are known byte for byte: ours, plain USTAR with zero metadata, and ClamAV's own
(``tar_addfile``: name, size and checksum, nothing else, and nothing at the end). A .cld is taken
only in one of them, so no byte of a block is free. A CVD's blocks are covered by its signature and
only have to be sound.
"""

from collections.abc import Callable
from dataclasses import dataclass

from keys.errors import FormatError
from keys.trust.vendor.info import MEMBER_NAME

BLOCK = 512

_NAME = slice(0, 100)
_SIZE = slice(124, 136)
_SUM = slice(148, 156)
_TYPE = slice(156, 157)
_LINK = slice(157, 257)
_MAGIC = slice(257, 265)
_PREFIX = slice(345, 500)
_REGULAR = (b"0", b"\0")
_USTAR = b"ustar\x0000"
_MAX_OCTAL_DIGITS = 11


@dataclass(frozen=True, slots=True)
class Entry:
    """What a block announces."""

    name: str
    length: int
    block: bytes

    @property
    def note(self) -> str:
        """What stands where a link has its target."""
        return _text(self.block[_LINK])

    @property
    def padding(self) -> int:
        """The zero bytes after the content."""
        return -self.length % BLOCK


@dataclass(frozen=True, slots=True)
class Form:
    """How a tar is written: the block of a name, a length and a note, and what ends the tar."""

    block: Callable[[str, int, str], bytes]
    end: bytes

    def check(self, entry: Entry, what: str, *, may_note: bool) -> None:
        """Check that a block is as this form has it.

        Raises:
            FormatError: some byte of it is not.

        """
        note = entry.note if may_note else ""
        if entry.block != self.block(entry.name, entry.length, note):
            raise FormatError(f"{what}: the header before {entry.name} is damaged")


def parse_block(block: bytes, what: str) -> Entry:
    """Read the block before a member.

    Raises:
        FormatError: cut off; not a regular file; a name with path parts.

    """
    if len(block) < BLOCK:
        raise FormatError(f"{what}: cut off within the header of a member")
    name = _text(block[_NAME])
    if block[_TYPE] not in _REGULAR:
        raise FormatError(f"{what}: {name!r} is not a regular file but of type {block[_TYPE]!r}")
    if not MEMBER_NAME.fullmatch(name) or any(block[_PREFIX]):
        raise FormatError(f"{what}: {name!r} is not a plain file name")
    size = _text(block[_SIZE]).strip(" ")
    if not 0 < len(size) <= _MAX_OCTAL_DIGITS or size.strip("01234567"):
        raise FormatError(f"{what}: {name} has a size that is no octal number: {size!r}")
    return Entry(name, int(size, 8), block)


def form_of(block: bytes) -> Form:
    """Tell in which form a tar is written by its first block."""
    return OURS if block[_MAGIC] == _USTAR else CLAMAVS


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("latin-1")


def _ours(name: str, length: int, note: str) -> bytes:
    """Write a USTAR block; ``note`` stands where a link has its target, and no engine reads it."""
    block = _named(name)
    for place in (108, 116):
        _put(block, place, b"0000000")
    _put(block, 100, b"0000644")
    _put(block, _SIZE.start, f"{length:011o}".encode("ascii"))
    _put(block, 136, b"00000000000")
    _put(block, _TYPE.start, b"0")
    _put(block, _LINK.start, note.encode("latin-1"))
    _put(block, _MAGIC.start, _USTAR)
    return _with_sum(block, b" ")


def _clamavs(name: str, length: int, _note: str) -> bytes:
    block = _named(name)
    _put(block, _SIZE.start, f"{length:o}".encode("ascii"))
    return _with_sum(block, b"\0")


def _named(name: str) -> bytearray:
    block = bytearray(BLOCK)
    _put(block, 0, name.encode("ascii"))
    return block


def _put(block: bytearray, place: int, field: bytes) -> None:
    block[place : place + len(field)] = field


def _with_sum(block: bytearray, end: bytes) -> bytes:
    block[_SUM] = b" " * 8
    block[_SUM] = f"{sum(block):06o}\0".encode("ascii") + end
    return bytes(block)


OURS = Form(_ours, bytes(2 * BLOCK))
CLAMAVS = Form(_clamavs, b"")
