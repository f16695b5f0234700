"""Minisign signatures (``.minisig``): Ed25519 over a file or its BLAKE2b-512, and one comment.

The first line of a signature and of a key file is an untrusted comment: nobody signs it, and
nothing here believes it.
"""

import base64
import re
from collections.abc import Sequence
from datetime import UTC, datetime

from minisign import Error, PublicKey, Signature

from keys.errors import FormatError, SignatureError, UsageError
from keys.model.release import Assurance
from keys.trust.vendor.content import Content, opened
from keys.trust.vendor.recognise import describe
from keys.trust.vendor.verdict import Verdict

MAX_SIGNATURE_BYTES = 16 << 10
MAX_LEGACY_BYTES = 64 << 20  # a signature over the file itself needs it in memory as a whole

_KEY_ID = slice(2, 10)
_TIMESTAMP = re.compile(r"(?:^|\t)timestamp:(\d{1,11})(?:\t|$)")


def verify_minisign(
    content: Content, signature: bytes, keys: Sequence[bytes | str], name: str
) -> Verdict:
    """Return the verdict if one of these keys signed the content and the trusted comment.

    Each key is the line ``RW…`` or a ``.pub`` file. The signer is the key's id as `minisign`
    writes it, the comment is the trusted one, and its ``timestamp:`` is the time of signing.

    Raises:
        UsageError: no key, or one that is not a minisign public key.
        FormatError: not a minisign signature; the message says what it is.
        SignatureError: by another key, or not of this content; or a signature over the file
            itself (legacy) where that is larger than ``MAX_LEGACY_BYTES``.

    """
    known = [read_public(key) for key in keys]
    if not known:
        raise UsageError(f"{name}: no minisign public key to check with")
    parsed, signer = _parse(signature, name)
    by_id = [key for key in known if key_id(key) == signer]
    if not by_id:
        pinned = ", ".join(sorted(key_id(key) for key in known))
        raise SignatureError(f"{name}: minisign signature by key {signer}, expected {pinned}")
    if not any(_is_good(content, parsed, key, name) for key in by_id):
        raise SignatureError(f"{name}: the minisign signature of key {signer} does not fit")
    comment = parsed.trusted_comment
    return Verdict(
        "minisign",
        Assurance.signed,
        signer=signer,
        signed_at=_signed_at(comment),
        comment=comment,
    )


def read_public(key: bytes | str) -> PublicKey:
    """Read a public key: its one line of base64, or a ``.pub`` file with a comment above it.

    Raises:
        UsageError: neither.

    """
    data = key.encode() if isinstance(key, str) else key
    lines = data.strip().splitlines()
    try:
        return PublicKey.from_base64(lines[-1].strip()) if len(lines) in {1, 2} else _refuse(data)
    except Error:
        return _refuse(data)


def _refuse(data: bytes) -> PublicKey:
    raise UsageError(
        f"not a minisign public key but {describe(data)}",
        hint="write the line RW… that minisign prints, or name its .pub file",
    )


def is_public(key: bytes) -> bool:
    """Tell whether these bytes are a minisign public key."""
    try:
        read_public(key)
    except UsageError:
        return False
    return True


def key_id(key: PublicKey) -> str:
    """Tell a key's id as `minisign` writes it."""
    return _written(base64.b64decode(key.to_base64())[_KEY_ID])


def _written(identifier: bytes) -> str:
    return f"{int.from_bytes(identifier, 'little'):X}"


def _parse(data: bytes, name: str) -> tuple[Signature, str]:
    """Read a signature that is written in the one way there is, and the id of its key."""
    if len(data) > MAX_SIGNATURE_BYTES:
        raise FormatError(
            f"{name}: signature larger than MAX_SIGNATURE_BYTES={MAX_SIGNATURE_BYTES}"
        )
    text = data.replace(b"\r\n", b"\n").removesuffix(b"\n")
    try:
        parsed = Signature.from_bytes(text)
    except Error as exc:
        raise FormatError(f"{name}: not a minisign signature but {describe(data)}") from exc
    if bytes(parsed) != text:
        raise FormatError(f"{name}: a damaged minisign signature")
    return parsed, _written(base64.b64decode(text.splitlines()[1])[_KEY_ID])


def _is_good(content: Content, signature: Signature, key: PublicKey, name: str) -> bool:
    with opened(content) as file:
        if not signature.is_prehashed() and file.seek(0, 2) > MAX_LEGACY_BYTES:
            raise SignatureError(
                f"{name}: a legacy minisign signature of a file larger than "
                f"MAX_LEGACY_BYTES={MAX_LEGACY_BYTES}",
                hint="the vendor should sign with `minisign -H`",
            )
        file.seek(0)
        try:
            key.verify(file, signature)
        except Error:
            return False
    return True


def _signed_at(comment: str) -> datetime | None:
    stated = _TIMESTAMP.search(comment)
    try:
        return datetime.fromtimestamp(int(stated[1]), UTC) if stated else None
    except (OverflowError, ValueError):
        return None
