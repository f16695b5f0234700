"""A database's members, read once from front to back and checked as they pass.

Order: at most one ``COPYING``, then the ``.info``, then exactly what that lists. So nothing of a
member is handed on before the signed line that it must match is known.

``COPYING`` is the one member no ``.info`` lists (no engine reads it, either). In a .cld of our form
its SHA-256 stands in its own block: that finds damage, not forgery.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from keys.errors import DigestError, FormatError, LimitError
from keys.model.release import Assurance
from keys.trust.vendor import rsa
from keys.trust.vendor.blocks import BLOCK, OURS, Entry, Form, parse_block
from keys.trust.vendor.header import Header, check_same
from keys.trust.vendor.info import (
    MAX_INFO_BYTES,
    SUFFIX,
    Info,
    Member,
    check_complete,
    check_member,
    verify_info,
)
from keys.trust.vendor.verdict import Verdict

COPYING = "COPYING"
MAX_COPYING_BYTES = 1 << 20
MAX_MEMBER_BYTES = 2 << 30
MAX_EXPANDED_BYTES = 4 << 30
MAX_END_BYTES = 64 << 10
CHUNK_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class Container:
    """A verified database: what its signed ``.info`` says, and what that lists, in its order."""

    database: str
    version: int
    signatures: int
    flevel: int
    built: datetime
    members: tuple[Member, ...]
    verdict: Verdict


def certified(info: Info, members: tuple[Member, ...], scheme: str, signer: str) -> Container:
    """Tell what a database is whose members all passed."""
    said = info.header
    verdict = Verdict(
        scheme=scheme,
        assurance=Assurance.signed,
        signer=signer,
        version=str(said.version),
        signatures=said.signatures,
        signed_at=said.built,
    )
    database = info.database
    return Container(
        database, said.version, said.signatures, said.flevel, said.built, members, verdict
    )


class Source(Protocol):
    """Where a tar comes from."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; none only at the end."""
        ...


def discard(_data: bytes) -> None:
    """Take canonical bytes and keep nothing."""


@dataclass(slots=True)
class Walk:
    """One way through a container whose header was read.

    ``sink`` gets the canonical .cld as it comes about. With a ``form`` the container itself must
    be in that form, byte for byte.
    """

    source: Source
    header: Header
    name: str
    keys: rsa.Keys = rsa.CLAMAV
    form: Form | None = None
    sink: Callable[[bytes], object] = discard
    _total: int = field(default=0, init=False)

    def run(self) -> tuple[Info, tuple[Member, ...]]:
        """Check all of it; return what the ``.info`` says, and its members as they came.

        Raises:
            TrustError: anything that the signed ``.info`` does not vouch for.
            LimitError: a named limit was reached.

        """
        info = self._open()
        listed = {member.name: member for member in info.members}
        found: dict[str, Member] = {}
        while entry := self._next():
            if entry.name not in listed or entry.name in found:
                raise self._stranger(entry, found)
            found[entry.name] = self._member(entry, listed[entry.name])
        check_complete(set(found), info, self.name)
        self.sink(OURS.end)
        return info, tuple(found.values())

    def _open(self) -> Info:
        """Read up to the ``.info``; hand on the header and what stood before."""
        parts = []
        entry = self._next()
        if entry and entry.name == COPYING:
            parts.append(self._copying(entry))
            entry = self._next()
        if not entry or not entry.name.endswith(SUFFIX):
            there = f"{entry.name} stands" if entry else "it ends"
            raise FormatError(f"{self.name}: {there} where its signed .info must be")
        text = self._whole(entry, MAX_INFO_BYTES, "MAX_INFO_BYTES")
        info = verify_info(text, entry.name, self.name, keys=self.keys)
        check_same(self.header, info.header, self.name)
        for part in (info.header.padded(), *parts, self._canonical(entry, text)):
            self.sink(part)
        return info

    def _copying(self, entry: Entry) -> bytes:
        text = self._whole(entry, MAX_COPYING_BYTES, "MAX_COPYING_BYTES")
        note = hashlib.sha256(text).hexdigest()
        if self.form is OURS and entry.note != note:
            raise FormatError(f"{self.name}: {COPYING} is damaged")
        return self._canonical(entry, text, note)

    def _canonical(self, entry: Entry, text: bytes, note: str = "") -> bytes:
        return OURS.block(entry.name, entry.length, note) + text + bytes(entry.padding)

    def _stranger(self, entry: Entry, found: dict[str, Member]) -> DigestError:
        if entry.name in found:
            return DigestError(f"{self.name}: {entry.name} is in it twice")
        return DigestError(
            f"{self.name}: {entry.name} was added: its signed .info does not list it"
        )

    def _member(self, entry: Entry, listed: Member) -> Member:
        """Pass one member on, and check it."""
        if entry.length != listed.length:
            raise DigestError(
                f"{self.name}: {entry.name} is {entry.length} bytes; the signed .info says "
                f"{listed.length}"
            )
        self.sink(OURS.block(entry.name, entry.length, ""))
        digest, left = hashlib.sha256(), entry.length
        while left:
            data = self._some(left, entry)
            digest.update(data)
            self.sink(data)
            left -= len(data)
        self._pad(entry)
        self.sink(bytes(entry.padding))
        member = Member(entry.name, entry.length, digest.hexdigest())
        check_member(member, listed, self.name)
        return member

    def _whole(self, entry: Entry, limit: int, limit_name: str) -> bytes:
        if entry.length > limit:
            raise LimitError(f"{self.name}: {entry.name} exceeds {limit_name}={limit}")
        parts, left = [], entry.length
        while left:
            parts.append(self._some(left, entry))
            left -= len(parts[-1])
        self._pad(entry)
        return b"".join(parts)

    def _some(self, left: int, entry: Entry) -> bytes:
        data = self.source.read(min(left, CHUNK_BYTES))
        if not data:
            raise FormatError(f"{self.name}: cut off within {entry.name}, {left} bytes short")
        return data

    def _pad(self, entry: Entry) -> None:
        if self._block(entry.padding) != bytes(entry.padding):
            raise FormatError(f"{self.name}: cut off or damaged after {entry.name}")

    def _block(self, size: int) -> bytes:
        """Read exactly so much, or what there is."""
        data = self.source.read(size) if size else b""
        while len(data) < size and (more := self.source.read(size - len(data))):
            data += more
        return data

    def _next(self) -> Entry | None:
        """Read the block before the next member; None where the tar ends."""
        block = self._block(BLOCK)
        if not any(block):
            self._check_end(block)
            return None
        entry = parse_block(block, self.name)
        if self.form:
            self.form.check(entry, self.name, may_note=entry.name == COPYING)
        self._check_size(entry)
        return entry

    def _check_size(self, entry: Entry) -> None:
        self._total += BLOCK + entry.length + entry.padding
        limits = (
            ("MAX_MEMBER_BYTES", MAX_MEMBER_BYTES, entry.length),
            ("MAX_EXPANDED_BYTES", MAX_EXPANDED_BYTES, self._total),
        )
        for limit_name, limit, value in limits:
            if value > limit:
                raise LimitError(f"{self.name}: {entry.name} goes beyond {limit_name}={limit}")

    def _check_end(self, begun: bytes) -> None:
        """Check that nothing but zero bytes follows; in a known form, exactly its own."""
        rest = begun + self._block(MAX_END_BYTES)
        if any(rest) or len(rest) > MAX_END_BYTES:
            raise FormatError(f"{self.name}: something stands behind its last member")
        if self.form and rest != self.form.end:
            raise FormatError(f"{self.name}: cut off or damaged at its end")
