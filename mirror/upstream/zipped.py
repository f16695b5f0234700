"""A zip read strictly: its directory counts, and every local header must say the same.

Python's own reader loads a directory of any size, and believes members that share bytes or stand
where nobody looks; so the layout is checked here, member by member, before one byte is unpacked.
"""

import os
import stat
import struct
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from keys.errors import FormatError, LimitError
from mirror.upstream.members import CHUNK_BYTES, Limits, Member, decode_name, guarded, reading

MAX_NAME_BYTES = 4096

_END = struct.Struct("<4s4H2LH")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_END_SIGNATURE, _ENTRY_SIGNATURE, _LOCAL_SIGNATURE = b"PK\5\6", b"PK\1\2", b"PK\3\4"
_MAX_COMMENT_BYTES = 0xFFFF
_MAX_DESCRIPTOR_BYTES = 24  # what may stand behind a member whose size was written later
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _DESCRIPTOR, _UTF8 = 1 | 1 << 6 | 1 << 13, 1 << 3, 1 << 11
_ZIP64 = {0xFFFF, 0xFFFFFFFF}


@dataclass(frozen=True, slots=True)
class _Entry:
    """One member as the directory has it."""

    raw: bytes
    name: str
    flags: int
    method: int
    checksum: int
    packed: int
    length: int
    mode: int
    offset: int

    @property
    def kind(self) -> str:
        form = stat.S_IFMT(self.mode)
        if form == stat.S_IFLNK:
            return "a symbolic link"
        if form not in {0, stat.S_IFREG, stat.S_IFDIR}:
            return "a device or a pipe"
        return "folder" if self.name.endswith("/") or form == stat.S_IFDIR else "file"


def members(source: Path, limits: Limits) -> Generator[Member, None, None]:
    """List an archive's members in the order of their bytes.

    Raises:
        FormatError: not a zip, cut off, damaged, encrypted, Zip64, packed in another way than
            deflate, with bytes that belong to no member or to two, or headers that disagree.
        LimitError: as of ``Limits``; or a name longer than ``MAX_NAME_BYTES``.
        NameRefusedError: a name in no encoding that counts.

    """
    with reading(source), source.open("rb") as file:
        entries, directory = _directory(file, limits)
        starts = list(_laid_out(file, entries, directory, limits.archive))
        for entry, start in zip(entries, starts, strict=True):
            chunks = guarded(source, _unpacked(file, entry, start, limits))
            yield Member(entry.name, entry.length, entry.kind, chunks)


def _directory(file: BinaryIO, limits: Limits) -> tuple[list[_Entry], int]:
    """Read the directory; return its members in the order of their bytes, and where it begins."""
    count, size, offset, end = _find_end(file, limits.archive)
    if count > limits.max_files:
        raise LimitError(f"{limits.archive}: more than max_files={limits.max_files} members")
    file.seek(offset)
    entries = [_read_entry(file, limits) for _ in range(count)]
    if offset + size != end or file.tell() != end:
        raise FormatError(f"{limits.archive}: its directory is not as long as it says")
    return sorted(entries, key=lambda entry: entry.offset), offset


def _find_end(file: BinaryIO, archive: str) -> tuple[int, int, int, int]:
    """Return the directory's count, size and offset, and where the end record stands."""
    length = file.seek(0, os.SEEK_END)
    tail_at = max(0, length - _END.size - _MAX_COMMENT_BYTES)
    file.seek(tail_at)
    tail = file.read()
    at = tail.rfind(_END_SIGNATURE)
    if at < 0 or len(tail) - at < _END.size:
        raise FormatError(f"{archive}: not a zip archive, or cut off")
    _, disk, first_disk, here, count, size, offset, comment = _END.unpack_from(tail, at)
    if at + _END.size + comment != len(tail):
        raise FormatError(f"{archive}: something follows its end")
    if _ZIP64 & {count, size, offset}:
        raise FormatError(f"{archive}: in Zip64 form, which is not supported")
    if disk or first_disk or here != count:
        raise FormatError(f"{archive}: one of several parts")
    return count, size, offset, tail_at + at


def _read_entry(file: BinaryIO, limits: Limits) -> _Entry:
    (
        signature, made_by, _, flags, method, _, _, checksum, packed, length,
        name_length, extra_length, comment_length, disk, _, attributes, offset,
    ) = _ENTRY.unpack(_exactly(file, _ENTRY.size))  # fmt: skip
    if signature != _ENTRY_SIGNATURE or disk:
        raise FormatError(f"{limits.archive}: a damaged directory")
    if name_length > MAX_NAME_BYTES:
        raise LimitError(f"{limits.archive}: a name of more than MAX_NAME_BYTES={MAX_NAME_BYTES}")
    raw = _exactly(file, name_length)
    file.seek(extra_length + comment_length, os.SEEK_CUR)
    name = decode_name(raw, utf8=bool(flags & _UTF8))
    mode = attributes >> 16 if made_by >> 8 in {3, 19} else 0  # Unix, macOS
    entry = _Entry(raw, name, flags, method, checksum, packed, length, mode, offset)
    if reason := _refusal(entry):
        raise FormatError(f"{limits.archive}: member {name!r}: {reason}")
    limits.promise(name, length)
    return entry


def _refusal(entry: _Entry) -> str:
    if entry.flags & _ENCRYPTED:
        return "is encrypted"
    if entry.method not in {_STORED, _DEFLATED}:
        return f"packed with method {entry.method}, which is not supported"
    if _ZIP64 & {entry.packed, entry.length, entry.offset}:
        return "in Zip64 form, which is not supported"
    if entry.method == _STORED and entry.packed != entry.length:
        return "not packed, and yet of two lengths"
    if entry.kind == "folder" and entry.length:
        return f"a folder of {entry.length} bytes"
    return ""


def _laid_out(file: BinaryIO, entries: list[_Entry], directory: int, archive: str) -> Iterator[int]:
    """List where each member's data begin, if every byte belongs to exactly one member."""
    end = slack = 0
    for entry in entries:
        if not end <= entry.offset <= end + slack:
            raise FormatError(f"{archive}: member {entry.name!r}: {_misplaced(entry, end)}")
        start = _data_start(file, entry, archive)
        end = start + entry.packed
        slack = _MAX_DESCRIPTOR_BYTES if entry.flags & _DESCRIPTOR else 0
        yield start
    if not end <= directory <= end + slack:
        raise FormatError(f"{archive}: bytes before its directory that belong to no member")


def _misplaced(entry: _Entry, end: int) -> str:
    if entry.offset < end:
        return "shares bytes with another member"
    return "bytes before it belong to no member"


def _data_start(file: BinaryIO, entry: _Entry, archive: str) -> int:
    file.seek(entry.offset)
    (
        signature, _, flags, method, _, _, checksum, packed, length, name_length, extra_length,
    ) = _LOCAL.unpack(_exactly(file, _LOCAL.size))  # fmt: skip
    raw = _exactly(file, min(name_length, MAX_NAME_BYTES))
    said = (entry.raw, entry.flags, entry.method, entry.checksum, entry.packed, entry.length)
    later = flags & _DESCRIPTOR and not (checksum or packed or length)
    sizes = said[3:] if later else (checksum, packed, length)
    if signature != _LOCAL_SIGNATURE or (raw, flags, method, *sizes) != said:
        raise FormatError(f"{archive}: member {entry.name!r}: its two headers disagree")
    return entry.offset + _LOCAL.size + int(name_length) + int(extra_length)


def _unpacked(file: BinaryIO, entry: _Entry, start: int, limits: Limits) -> Iterator[bytes]:
    """Return a member's bytes in pieces; the error comes before the piece that is too much."""
    length = checksum = 0
    for data in _inflated(file, entry, start):
        length += len(data)
        checksum = zlib.crc32(data, checksum)
        limits.unpack(len(data))
        if length > entry.length:
            break
        yield data
    if (length, checksum) != (entry.length, entry.checksum):
        raise FormatError(
            f"{limits.archive}: member {entry.name!r}: "
            "its bytes are not those its header states (length, CRC-32)"
        )


def _inflated(file: BinaryIO, entry: _Entry, start: int) -> Iterator[bytes]:
    file.seek(start)
    if entry.method == _STORED:
        yield from _pieces(file, entry.packed)
        return
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    for packed in _pieces(file, entry.packed):
        data = packed
        while data and not unpacker.eof:
            yield unpacker.decompress(data, CHUNK_BYTES)
            data = unpacker.unconsumed_tail
    if not unpacker.eof or unpacker.unused_data:
        raise zlib.error(f"member {entry.name!r} does not end where it should")


def _pieces(file: BinaryIO, count: int) -> Iterator[bytes]:
    while count:
        data = _exactly(file, min(count, CHUNK_BYTES))
        count -= len(data)
        yield data


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise EOFError
    return data
