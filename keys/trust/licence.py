"""Licence files, believed only when an issuer we pinned signed them.

A licence file is text that survives mail: one JSON envelope {keyid, payload, signature} in
base64 between two marked lines. The signature (Ed25519) is over ``CONTEXT`` and the payload, so
that no key can be made to sign a licence by signing something else. There is exactly one way to
write an envelope; any other bytes are an edited file. Line ends may be CRLF.
"""

import base64
import binascii
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from keys import files
from keys.errors import LicenceError, SettingsError
from keys.model.licence import Licence, decode_licence
from keys.model.release import Wire, encode
from keys.trust.tuf_api import Key, Signature, SSlibKey, UnverifiedSignatureError

CONTEXT = b"sigmirror licence 1\n"
MAX_LICENCE_FILE_BYTES = 64 << 10
MAX_ISSUER_FILE_BYTES = 64 << 10
MAX_ISSUERS = 16

_BEGIN = "-----BEGIN SIGMIRROR LICENCE-----"
_END = "-----END SIGMIRROR LICENCE-----"
_COLUMNS = 64
_PEM_END = b"-----END PUBLIC KEY-----"
_AS_DELIVERED = "use the file exactly as its issuer delivered it"


class Envelope(Wire, frozen=True):
    """A licence record, who signed it, and the signature."""

    keyid: str
    payload: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Issuers:
    """The public keys whose licences are believed, by key id."""

    keys: Mapping[str, Key]

    @classmethod
    def read(cls, path: Path) -> "Issuers":
        """Read pinned keys: one or more PEM public keys in one file.

        Raises:
            SettingsError: unreadable, or not Ed25519 public keys.

        """
        data = files.read(
            path,
            max_bytes=MAX_ISSUER_FILE_BYTES,
            limit="MAX_ISSUER_FILE_BYTES",
            error=SettingsError,
        )
        return cls.parse(data, str(path))

    @classmethod
    def parse(cls, data: bytes, what: str) -> "Issuers":
        """Decode pinned keys.

        Raises:
            SettingsError: as ``read``.

        """
        *blocks, rest = data.split(_PEM_END)
        if not 1 <= len(blocks) <= MAX_ISSUERS or rest.strip():
            raise SettingsError(f"{what}: expected 1 to {MAX_ISSUERS} PEM public keys")
        keys = [_public_key(block.lstrip() + _PEM_END, what) for block in blocks]
        return cls({key.keyid: key for key in keys})


def _public_key(pem: bytes, what: str) -> Key:
    try:
        public = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise SettingsError(f"{what}: not a PEM public key") from exc
    if not isinstance(public, Ed25519PublicKey):
        raise SettingsError(f"{what}: not an Ed25519 key")
    return SSlibKey.from_crypto(public)


def read_file(path: Path) -> bytes:
    """Read a licence file, unverified.

    Raises:
        LicenceError: unreadable or larger than ``MAX_LICENCE_FILE_BYTES``.

    """
    return files.read(
        path, max_bytes=MAX_LICENCE_FILE_BYTES, limit="MAX_LICENCE_FILE_BYTES", error=LicenceError
    )


def armour(envelope: Envelope) -> bytes:
    """Write an envelope as the text of a ``.lic`` file."""
    body = textwrap.wrap(base64.b64encode(encode(envelope)).decode("ascii"), _COLUMNS)
    return "\n".join([_BEGIN, *body, _END, ""]).encode("ascii")


def verify(data: bytes, issuers: Issuers, what: str) -> Licence:
    """Return the licence in a ``.lic`` file; ``what`` names the file.

    Raises:
        LicenceError: too large, truncated, edited, or signed by nobody pinned.

    """
    envelope = _opened(data, what)
    key = issuers.keys.get(envelope.keyid)
    if key is None:
        raise LicenceError(
            f"{what}: signed by {envelope.keyid[:16]}…, which is no pinned issuer",
            hint="check that the issuer's public key is the one the vendor published",
        )
    try:
        signature = Signature(envelope.keyid, envelope.signature.hex())
        key.verify_signature(signature, CONTEXT + envelope.payload)
    except UnverifiedSignatureError as exc:
        raise LicenceError(
            f"{what}: edited: the signature does not match", hint=_AS_DELIVERED
        ) from exc
    return decode_licence(envelope.payload, what)


def _opened(data: bytes, what: str) -> Envelope:
    """Take the armour off."""
    if len(data) > MAX_LICENCE_FILE_BYTES:
        raise LicenceError(f"{what}: larger than MAX_LICENCE_FILE_BYTES={MAX_LICENCE_FILE_BYTES}")
    lines = data.replace(b"\r\n", b"\n").split(b"\n")
    if lines[0] != _BEGIN.encode():
        raise LicenceError(
            f"{what}: not a signed licence file",
            hint="a vendor's own file is held without `issuer`, with its dates typed",
        )
    if lines[-2:] != [_END.encode(), b""]:
        raise LicenceError(f"{what}: truncated: its last line is missing", hint=_AS_DELIVERED)
    try:
        body = base64.b64decode(b"".join(lines[1:-2]), validate=True)
        envelope = msgspec.json.decode(body, type=Envelope)
    except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise LicenceError(f"{what}: edited: {exc}", hint=_AS_DELIVERED) from exc
    if armour(envelope) != b"\n".join(lines):
        raise LicenceError(f"{what}: edited: not as it was written", hint=_AS_DELIVERED)
    return envelope
