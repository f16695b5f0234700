"""Checksums and lengths a vendor states beside his files: they prove transfer, not origin.

A sidecar holds ``<hex>``, lines ``<hex>  name`` (coreutils, ``*`` for binary), or lines
``SHA256 (name) = <hex>`` (BSD). One that lists names must list ours.
"""

import hashlib
import hmac
import re
from pathlib import PurePosixPath
from typing import Literal, get_args

from keys.errors import DigestError, FormatError
from keys.model.release import Assurance
from keys.trust.vendor.content import Content, chunks, opened
from keys.trust.vendor.recognise import describe
from keys.trust.vendor.verdict import Verdict

DigestScheme = Literal["sha512", "sha256", "md5"]
DIGEST_SCHEMES: tuple[DigestScheme, ...] = get_args(DigestScheme)

MAX_SIDECAR_BYTES = 1 << 20
MAX_SIDECAR_LINES = 10_000

_PLAIN = re.compile(r"([0-9A-Fa-f]+)(?:[ \t]+\*?(\S.*))?")
_BSD = re.compile(r"([A-Za-z0-9-]+) ?\((.+)\) ?= ?([0-9A-Fa-f]+)")


def read_sidecar(data: bytes, scheme: DigestScheme, name: str) -> str:
    """Return the digest (lower-case hex) that a sidecar states for the file ``name``.

    Folders before either name count as far as both have them, so a list of a whole tree may be
    asked for a whole path. Two different digests of one file are refused.

    Raises:
        FormatError: not such a sidecar, or it speaks only of other files; the message says what
            it is. Larger than ``MAX_SIDECAR_BYTES`` or ``MAX_SIDECAR_LINES``.

    """
    what = f"{scheme} sidecar of {name}"
    found = {digest for digest, stated in _entries(data, scheme, what) if _is_ours(stated, name)}
    if not found:
        raise FormatError(f"{what}: speaks of other files, not of {name}")
    if len(found) > 1:
        raise FormatError(f"{what}: states {len(found)} different digests of {name}")
    return found.pop()


def _entries(data: bytes, scheme: DigestScheme, what: str) -> list[tuple[str, str]]:
    """List each digest and the name beside it ("" where none stands there)."""
    if len(data) > MAX_SIDECAR_BYTES:
        raise FormatError(f"{what}: larger than MAX_SIDECAR_BYTES={MAX_SIDECAR_BYTES}")
    try:
        lines = [line.strip() for line in data.decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError as exc:
        raise FormatError(f"{what}: not one but {describe(data)}") from exc
    stated = [line for line in lines if line and not line.startswith("#")]
    if len(stated) > MAX_SIDECAR_LINES:
        raise FormatError(f"{what}: more than MAX_SIDECAR_LINES={MAX_SIDECAR_LINES}")
    entries = [entry for line in stated if (entry := _entry(line, scheme))]
    if not entries or len(entries) != len(stated):
        raise FormatError(f"{what}: not one but {describe(data)}")
    if len(entries) > 1 and not all(name for _, name in entries):
        raise FormatError(f"{what}: several digests, and not each has a name")
    return entries


def _entry(line: str, scheme: DigestScheme) -> tuple[str, str] | None:
    if bsd := _BSD.fullmatch(line):
        kind, name, digest = bsd.groups()
        fits = kind.lower().replace("-", "") == scheme
    elif plain := _PLAIN.fullmatch(line):
        digest, name = plain[1], plain[2] or ""
        fits = True
    else:
        return None
    return (digest.lower(), name) if fits and _is_digest(digest, scheme) else None


def _is_digest(text: str, scheme: DigestScheme) -> bool:
    size = 2 * hashlib.new(scheme, usedforsecurity=False).digest_size
    return re.fullmatch(f"[0-9A-Fa-f]{{{size}}}", text) is not None


def _is_ours(stated: str, name: str) -> bool:
    if not stated:
        return True
    theirs, ours = PurePosixPath(stated).parts, PurePosixPath(name).parts
    common = min(len(theirs), len(ours))
    return common > 0 and theirs[-common:] == ours[-common:]


def verify_digest(content: Content, scheme: DigestScheme, expected_hex: str, name: str) -> Verdict:
    """Return the verdict if the content has this digest; it is read piece by piece.

    Raises:
        DigestError: it has another one; the message names ``name`` and both.
        FormatError: ``expected_hex`` is not a digest of this scheme.

    """
    if not _is_digest(expected_hex, scheme):
        raise FormatError(f"{name}: not a {scheme} digest: {expected_hex[:140]!r}")
    hasher = hashlib.new(scheme, usedforsecurity=False)
    with opened(content) as file:
        for chunk in chunks(file):
            hasher.update(chunk)
    if not hmac.compare_digest(hasher.hexdigest(), expected_hex.lower()):
        raise DigestError(
            f"{name}: {scheme} is {hasher.hexdigest()}, the vendor states {expected_hex.lower()}"
        )
    return Verdict(scheme, Assurance.digest)


def verify_size(content: Content, expected: int, name: str) -> Verdict:
    """Return the verdict if the content has this many bytes.

    Raises:
        DigestError: it has another length; the message names ``name`` and both.

    """
    with opened(content) as file:
        length = file.seek(0, 2)
    if length != expected:
        raise DigestError(f"{name}: {length} bytes, the vendor states {expected}")
    return Verdict("size", Assurance.size)
