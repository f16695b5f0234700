"""The signed list inside every ClamAV database: its header line, then name, size and SHA-256.

The last line, ``DSIG:``, signs all text before it (cli_loadinfo in libclamav/readdb.c).
"""

import hashlib
import re
from dataclasses import dataclass

from keys.errors import DigestError, FormatError, LimitError
from keys.trust.vendor import rsa
from keys.trust.vendor.header import Header, parse_line
from keys.trust.vendor.recognise import describe

MAX_INFO_BYTES = 1 << 20
MAX_MEMBERS = 10_000
SUFFIX = ".info"

MEMBER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,98}")
_DATABASE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ENTRY = re.compile(
    rf"(?P<name>{MEMBER_NAME.pattern}):(?P<length>0|[1-9][0-9]{{0,11}}):(?P<sha256>[0-9a-f]{{64}})"
)
_SIGNATURE = b"DSIG:"


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a database."""

    name: str
    length: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Info:
    """A verified ``.info``: what the database must be."""

    database: str
    header: Header
    members: tuple[Member, ...]

    @property
    def name(self) -> str:
        """Its own file name."""
        return f"{self.database}{SUFFIX}"


def verify_info(data: bytes, file_name: str, what: str, *, keys: rsa.Keys = rsa.CLAMAV) -> Info:
    """Verify and read a ``.info``; ``file_name`` is its own, ``what`` the database's for messages.

    Raises:
        SignatureError: its signature does not hold.
        FormatError, LimitError: malformed, or beyond ``MAX_INFO_BYTES`` or ``MAX_MEMBERS``.

    """
    if len(data) > MAX_INFO_BYTES:
        raise LimitError(f"{what}: {file_name} exceeds MAX_INFO_BYTES={MAX_INFO_BYTES}")
    text, mark, signature = data.rpartition(b"\n" + _SIGNATURE)
    if not mark:
        raise FormatError(f"{what}: {file_name} has no signature but is {describe(data)}")
    digest = hashlib.sha256(text + b"\n").digest()
    digits = signature.removesuffix(b"\n").decode("latin-1")
    rsa.verify_pss(keys.info, digest, digits, f"{what}: {file_name}")
    return _parse(text.decode("latin-1"), file_name, what)


def _parse(text: str, file_name: str, what: str) -> Info:
    first, *lines = text.split("\n")
    if len(lines) > MAX_MEMBERS:
        raise LimitError(f"{what}: {file_name} lists more than MAX_MEMBERS={MAX_MEMBERS} files")
    header = parse_line(first, f"{what}: {file_name}")
    members = tuple(_entry(line, file_name, what) for line in lines)
    if len({member.name.casefold() for member in members}) < len(members):
        raise FormatError(f"{what}: {file_name} lists a file twice")
    return Info(_database(file_name, what), header, members)


def _database(file_name: str, what: str) -> str:
    database = file_name.removesuffix(SUFFIX)
    if not _DATABASE.fullmatch(database):
        raise FormatError(f"{what}: {file_name!r} is not the name of a database's .info")
    return database


def _entry(line: str, file_name: str, what: str) -> Member:
    entry = _ENTRY.fullmatch(line)
    if not entry:
        raise FormatError(f"{what}: {file_name}: malformed line {line[:80]!r}")
    return Member(entry["name"], int(entry["length"]), entry["sha256"])


def check_member(found: Member, listed: Member, what: str) -> None:
    """Check a file of a database against its line in the ``.info``.

    Raises:
        DigestError: another length or digest.

    """
    if found != listed:
        raise DigestError(
            f"{what}: {found.name} is {found.length} bytes, sha256 {found.sha256}; the signed "
            f".info says {listed.length} bytes, sha256 {listed.sha256}"
        )


def check_complete(found: set[str], info: Info, what: str) -> None:
    """Check that no listed file is missing.

    Raises:
        DigestError: naming up to five of them.

    """
    missing = [member.name for member in info.members if member.name not in found]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise DigestError(
            f"{what}: lacks {', '.join(missing[:5])}{more}, which its signed .info lists: "
            f"members were dropped, or the file was cut at a member's end"
        )
