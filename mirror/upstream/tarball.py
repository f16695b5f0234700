"""A tar.gz read strictly, front to back: USTAR, GNU long names and PAX headers.

Header blocks are read by ``tarfile``; its archive reader is not used because it keeps a header of
any size in memory and takes a missing end for an end.
"""

import gzip
import tarfile
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from keys.errors import FormatError, LimitError
from mirror.upstream.members import CHUNK_BYTES, Limits, Member, decode_name, guarded, reading

BLOCK_BYTES = 512
MAX_EXTENSION_BYTES = 64 << 10  # of one long name or one PAX header
MAX_EXTENSIONS = 8  # before one member

_KINDS: Mapping[bytes, str] = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.DIRTYPE: "folder",
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}
_EXTENSIONS = frozenset(
    {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}
)


def members(source: Path, limits: Limits) -> Generator[Member, None, None]:
    """List an archive's members in order; what is not read of one is passed over.

    Raises:
        FormatError: not a tar.gz, cut off (also between two members), damaged, or with something
            after its end.
        LimitError: as of ``Limits``; or a header larger than ``MAX_EXTENSION_BYTES``.
        NameRefusedError: a name in no encoding that counts.

    """
    with reading(source), gzip.open(source, "rb") as plain:
        stream = _Stream(plain, limits)
        while header := _next_header(stream, limits.archive):
            limits.promise(header.name, header.length)
            chunks = guarded(source, stream.body(header.length))
            yield Member(header.name, header.length, header.kind, chunks)
            for _ in chunks:
                pass
            stream.pad(header.length)
        stream.end()


class _Stream:
    """Unpacked bytes, counted."""

    def __init__(self, plain: gzip.GzipFile | BinaryIO, limits: Limits) -> None:
        self._plain = plain
        self._limits = limits

    def exactly(self, count: int) -> bytes:
        """Return the next bytes, all of them."""
        data = self._plain.read(count)
        self._limits.unpack(len(data))
        if len(data) < count:
            raise EOFError
        return data

    def body(self, length: int) -> Iterator[bytes]:
        """Return a member's bytes in pieces."""
        while length:
            data = self.exactly(min(length, CHUNK_BYTES))
            length -= len(data)
            yield data

    def pad(self, length: int) -> None:
        """Pass over what fills the last block."""
        self.exactly(-length % BLOCK_BYTES)

    def end(self) -> None:
        """See to it that nothing but zeros follows, and that the last checksum holds."""
        while data := self._plain.read(CHUNK_BYTES):
            self._limits.unpack(len(data))
            if data.strip(b"\0"):
                raise FormatError(f"{self._limits.archive}: something follows its end")


@dataclass(frozen=True, slots=True)
class _Header:
    name: str
    length: int
    kind: str


@dataclass(frozen=True, slots=True)
class _Extension:
    """What headers of their own say about the member that follows."""

    path: bytes | None = None
    size: int | None = None
    sparse: bool = False

    @classmethod
    def of_records(cls, records: Mapping[bytes, bytes], archive: str) -> Self:
        size = records.get(b"size")
        if size is not None and not (size.isdigit() and len(size) < 20):
            raise FormatError(f"{archive}: a PAX header with the size {size[:40]!r}")
        return cls(
            records.get(b"path"),
            None if size is None else int(size),
            any(key.startswith(b"GNU.sparse.") for key in records),
        )


def _next_header(stream: _Stream, archive: str) -> _Header | None:
    """Read up to the next member; None at the end, which is two blocks of zeros."""
    extension = _Extension()
    for _ in range(MAX_EXTENSIONS + 1):
        block = _block(stream, archive)
        if block is None:
            if extension != _Extension() or stream.exactly(BLOCK_BYTES).strip(b"\0"):
                raise FormatError(f"{archive}: ends in the middle of a member's headers")
            return None
        if block.type not in _EXTENSIONS:
            return _header(block, extension, archive)
        extension = _extended(extension, block, _content(stream, block, archive), archive)
    raise LimitError(f"{archive}: more than MAX_EXTENSIONS={MAX_EXTENSIONS} before one member")


def _block(stream: _Stream, archive: str) -> tarfile.TarInfo | None:
    try:
        block = tarfile.TarInfo.frombuf(stream.exactly(BLOCK_BYTES), "iso-8859-1", "strict")
    except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # not in the type stubs
        return None
    except tarfile.HeaderError as exc:
        raise FormatError(f"{archive}: not a tar archive, or a damaged one: {exc}") from exc
    if block.size < 0:
        raise FormatError(f"{archive}: a member of {block.size} bytes")
    return block


def _content(stream: _Stream, block: tarfile.TarInfo, archive: str) -> bytes:
    if block.size > MAX_EXTENSION_BYTES:
        raise LimitError(
            f"{archive}: a header of more than MAX_EXTENSION_BYTES={MAX_EXTENSION_BYTES}"
        )
    data = stream.exactly(block.size)
    stream.pad(block.size)
    return data


def _extended(before: _Extension, block: tarfile.TarInfo, data: bytes, archive: str) -> _Extension:
    if block.type == tarfile.GNUTYPE_LONGLINK:
        return before
    if block.type == tarfile.GNUTYPE_LONGNAME:
        return _Extension(data.partition(b"\0")[0], before.size, before.sparse)
    found = _Extension.of_records(_records(data, archive), archive)
    if block.type == tarfile.XGLTYPE:
        if found != _Extension():
            raise FormatError(f"{archive}: a PAX header that names or sizes every member")
        return before
    return found


def _records(data: bytes, archive: str) -> dict[bytes, bytes]:
    """Parse a PAX header: ``<length> <key>=<value>`` and a line break, again and again."""
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        digits = data[at : at + 8].partition(b" ")[0]
        end = at + int(digits) if digits.isdigit() and len(digits) < 8 else at
        key, equals, value = data[at + len(digits) + 1 : end - 1].partition(b"=")
        if not equals or data[end - 1 : end] != b"\n":
            raise FormatError(f"{archive}: a malformed PAX header")
        records[key] = value
        at = end
    return records


def _header(block: tarfile.TarInfo, extension: _Extension, archive: str) -> _Header:
    raw = block.name.encode("iso-8859-1") if extension.path is None else extension.path
    name = decode_name(raw)
    length = block.size if extension.size is None else extension.size
    kind = _KINDS.get(block.type)
    if kind is None or extension.sparse:
        what = "a sparse file" if kind or block.type == tarfile.GNUTYPE_SPARSE else "no known kind"
        raise FormatError(f"{archive}: member {name!r}: {what} (type {block.type!r})")
    if kind == "file" and name.endswith("/"):
        kind = "folder"
    if kind != "file" and length:
        raise FormatError(f"{archive}: member {name!r}: {kind} of {length} bytes")
    return _Header(name, length, kind)
