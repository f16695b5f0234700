"""One member of an archive as its reader found it, its name, and what an archive may hold.

A name is UTF-8; where it is not, and the archive does not say so either, Shift_JIS as Windows
writes it (cp932); else it is refused. It is kept in Unicode's composed form (NFC).
"""

import contextlib
import gzip
import unicodedata
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from keys.errors import FetchError, FormatError, LimitError, NameRefusedError

CHUNK_BYTES = 1 << 18
RATIO_FLOOR_BYTES = 1 << 20  # what any archive may unpack to, however small it is


@dataclass(frozen=True, slots=True)
class Member:
    """One member; exactly ``length`` bytes come out of ``chunks``, in pieces, or an error.

    ``kind`` is ``file``, ``folder``, or says what else it is (``a symbolic link``).
    """

    name: str
    length: int
    kind: str
    chunks: Iterator[bytes]


def decode_name(raw: bytes, *, utf8: bool = False) -> str:
    """Return a member's name; ``utf8`` when the archive says that it is UTF-8.

    Raises:
        NameRefusedError: in no encoding that counts.

    """
    for encoding in ("utf-8",) if utf8 else ("utf-8", "cp932"):
        with contextlib.suppress(UnicodeDecodeError):
            name = unicodedata.normalize("NFC", raw.decode(encoding))
            if not any("\ue000" <= letter <= "\uf8ff" for letter in name):
                return name
    raise NameRefusedError(f"member {raw[:200]!r}: a name that is neither UTF-8 nor Shift_JIS")


@dataclass(slots=True)
class Limits:
    """What may still come out of one archive."""

    archive: str
    packed_bytes: int
    max_files: int
    max_bytes: int
    max_ratio: int
    members: int = 0
    promised: int = 0
    unpacked: int = 0

    def promise(self, name: str, length: int) -> None:
        """Count a member by what its header says, before any of it is read.

        Raises:
            LimitError: more than ``max_files`` members, folders included, or ``max_bytes`` bytes.

        """
        self.members += 1
        if self.members > self.max_files:
            raise LimitError(f"{self.archive}: more than max_files={self.max_files} members")
        self.promised += length
        if self.promised > self.max_bytes:
            raise LimitError(
                f"{self.archive}: member {name!r}: with it more than "
                f"max_release_bytes={self.max_bytes} bytes"
            )

    def unpack(self, count: int) -> None:
        """Count bytes that came out.

        Raises:
            LimitError: more than ``max_ratio`` times the archive's own bytes.

        """
        self.unpacked += count
        if self.unpacked > max(RATIO_FLOOR_BYTES, self.max_ratio * self.packed_bytes):
            raise LimitError(
                f"{self.archive}: unpacks to more than max_archive_ratio={self.max_ratio} "
                f"times its {self.packed_bytes} bytes"
            )


@contextlib.contextmanager
def reading(source: Path) -> Iterator[None]:
    """Translate what goes wrong while an archive is read.

    Raises:
        FormatError: not packed as its name says, cut off, or damaged.
        FetchError: the file itself cannot be read.

    """
    try:
        yield
    except EOFError as exc:
        raise FormatError(f"{source.name}: cut off") from exc
    except (gzip.BadGzipFile, zlib.error) as exc:
        raise FormatError(f"{source.name}: not an archive, or a damaged one: {exc}") from exc
    except OSError as exc:
        raise FetchError(f"{source}: {exc.strerror or exc}") from exc


def guarded(source: Path, chunks: Iterator[bytes]) -> Generator[bytes, None, None]:
    """Return a member's bytes as they come, with what goes wrong translated.

    Raises:
        FormatError, FetchError: as ``reading``.

    """
    with reading(source):
        yield from chunks
