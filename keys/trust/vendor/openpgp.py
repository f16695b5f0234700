"""Detached OpenPGP signatures, by keys pinned by their full fingerprint.

Trusting is by pin alone: who else signed a key, and what names stand in it, counts for nothing.
A signature is good when its key was valid at the time it states, so one by a key that expired
since stays good and one by a revoked key does not (RFC 9580; the library's own rules, by its own
clock). Of the signature's bytes those nobody signs may differ: the armour's headers and checksum,
the two bytes of the digest that are kept as a hint, and how a length is written.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from pysequoia import Cert, Decrypted, Sig, verify
from pysequoia.packet import HashAlgorithm, SignatureType

from keys.errors import FormatError, SignatureError, UsageError
from keys.model.release import Assurance
from keys.trust.vendor.content import Content, opened
from keys.trust.vendor.recognise import describe
from keys.trust.vendor.verdict import Verdict

MAX_SIGNATURE_BYTES = 64 << 10
MAX_SIGNATURES = 16
MAX_KEY_BYTES = 4 << 20
MAX_CERTIFICATES = 1000

_ARMOUR = re.compile(
    rb"-----BEGIN PGP SIGNATURE-----[ \t]*\r?\n"
    rb"(?:[!-9;-~]+:[^\r\n]*\r?\n)*[ \t]*\r?\n"
    rb"([A-Za-z0-9+/=\r\n]+?)(?:\r?\n=[A-Za-z0-9+/]{4})?\r?\n"
    rb"-----END PGP SIGNATURE-----\s*"
)
_SIGNATURE_TAG = 2
_FORGEABLE = (
    (HashAlgorithm.SHA1, "SHA-1"),
    (HashAlgorithm.MD5, "MD5"),
    (HashAlgorithm.RipeMD, "RIPEMD-160"),
)  # refused by the library
_FINGERPRINT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def verify_openpgp(
    content: Content,
    signature: bytes,
    keys: Sequence[bytes],
    fingerprints: Sequence[str],
    name: str,
    *,
    at: datetime | None = None,
) -> Verdict:
    """Return the verdict of the first signature that one of the pinned keys made.

    ``keys`` are certificates, binary or armoured, any number in each. ``signature`` may hold
    several, as it does while a vendor changes keys; one by a pinned key is enough. None made
    after ``at`` counts. The signer is the fingerprint of the certificate, not of its subkey.

    Raises:
        UsageError: a pin is not a full fingerprint, or no pinned key is among ``keys``.
        FormatError: not a detached signature; the message says what it is.
        SignatureError: no good signature by a pinned key.

    """
    pinned = _pinned(keys, fingerprints)
    offered = [_load(packet, name) for packet in _packets(_binary(signature, name), name)]
    with opened(content) as file:
        for one in offered:
            if certificate := _signer(file, one, pinned, at):
                return Verdict(
                    "openpgp", Assurance.signed, signer=certificate, signed_at=one.created
                )
    makers = ", ".join(sorted({one.maker for one in offered}))
    known = ", ".join(sorted(map(_described, pinned.values())))
    raise SignatureError(
        f"{name}: no good OpenPGP signature by a pinned key: it is by key {makers}; pinned {known}"
    )


def _described(certificate: Cert) -> str:
    ends = certificate.expiration
    states = [" (revoked)"] if certificate.is_revoked else []
    states += [f" (valid until {ends:%Y-%m-%d})"] if ends else []
    return certificate.fingerprint + "".join(states)


def check_fingerprint(text: str) -> str:
    """Return a full fingerprint in lower case, without its spaces.

    Raises:
        UsageError: not 40 or 64 hex digits; a short key id can be made by anybody.

    """
    fingerprint = re.sub(r"[\s:]", "", text).lower().removeprefix("0x")
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise UsageError(
            f"fingerprint {text!r}: not 40 or 64 hex digits",
            hint="pin the full fingerprint; a key with a given short id can be made by anybody",
        )
    return fingerprint


def _pinned(keys: Sequence[bytes], fingerprints: Sequence[str]) -> dict[str, Cert]:
    """Choose the pinned certificates; copies of one certificate are joined (revocations)."""
    pins = {check_fingerprint(text) for text in fingerprints}
    offered = [one for data in keys for one in read_certificates(data)]
    found: dict[str, Cert] = {}
    for certificate in offered:
        pin = certificate.fingerprint
        if pin in pins:
            found[pin] = found[pin].merge(certificate) if pin in found else certificate
    if not found:
        there = ", ".join(sorted({one.fingerprint for one in offered})) or "none"
        raise UsageError(
            f"no pinned OpenPGP key: pinned {', '.join(sorted(pins)) or 'none'}, "
            f"in the key files {there}",
            hint="pin the fingerprint of the primary key and name the file that holds the key",
        )
    return found


def read_certificates(data: bytes) -> list[Cert]:
    """Read the certificates of a key file, binary or armoured.

    Raises:
        UsageError: not OpenPGP certificates, or more than ``MAX_KEY_BYTES`` or
            ``MAX_CERTIFICATES``.

    """
    if len(data) > MAX_KEY_BYTES:
        raise UsageError(f"key file: larger than MAX_KEY_BYTES={MAX_KEY_BYTES}")
    try:
        found = Cert.split_bytes(data)
    except RuntimeError as exc:
        raise UsageError(f"key file: not OpenPGP keys but {describe(data)}") from exc
    if not 0 < len(found) <= MAX_CERTIFICATES:
        raise UsageError(
            f"key file: {len(found)} OpenPGP keys, "
            f"expected 1 to MAX_CERTIFICATES={MAX_CERTIFICATES}"
        )
    return found


def _binary(data: bytes, name: str) -> bytes:
    """Take the armour off, of one block or of several."""
    if len(data) > MAX_SIGNATURE_BYTES:
        raise FormatError(
            f"{name}: signature larger than MAX_SIGNATURE_BYTES={MAX_SIGNATURE_BYTES}"
        )
    if not data.lstrip().startswith(b"-----BEGIN PGP SIGNATURE-----"):
        return data
    blocks = _ARMOUR.findall(data)
    if _ARMOUR.sub(b"", data).strip():
        raise FormatError(f"{name}: a cut or damaged armoured OpenPGP signature")
    try:
        return b"".join(base64.b64decode(b"".join(b.split()), validate=True) for b in blocks)
    except binascii.Error as exc:
        raise FormatError(f"{name}: a damaged armoured OpenPGP signature") from exc


def _packets(data: bytes, name: str) -> list[bytes]:
    """Cut a signature file into its packets, all of which must be signatures (RFC 9580 §4.2).

    The library reads nested packets too; nothing that could unpack reaches it.
    """
    found: list[bytes] = []
    rest = data
    while rest:
        start, length = _header(rest)
        if not start or start + length > len(rest) or len(found) == MAX_SIGNATURES:
            raise FormatError(f"{name}: not a detached OpenPGP signature but {describe(data)}")
        found.append(rest[: start + length])
        rest = rest[start + length :]
    if not found:
        raise FormatError(f"{name}: the OpenPGP signature is empty")
    return found


def _header(data: bytes) -> tuple[int, int]:
    """Tell where a signature packet's body starts and its length; (0, 0) for any other packet."""
    first, rest = data[0], data[1:6]
    if first >> 2 == 0x80 >> 2 | _SIGNATURE_TAG and first & 3 < 3 and len(rest) >= 1 << (first & 3):
        size = 1 << (first & 3)
        return 1 + size, int.from_bytes(rest[:size], "big")
    if first != 0xC0 | _SIGNATURE_TAG or not rest:
        return 0, 0
    if rest[0] < 192:
        return 2, rest[0]
    if rest[0] < 224 and len(rest) > 1:
        return 3, (rest[0] - 192 << 8) + rest[1] + 192
    return (6, int.from_bytes(rest[1:5], "big")) if rest[0] == 255 and len(rest) == 5 else (0, 0)


@dataclass(frozen=True, slots=True)
class _Offered:
    """A signature as it was decoded; nothing of it is proven."""

    signature: Sig
    maker: str  # who claims to have made it, and what is wrong with how he did
    created: datetime | None
    expires: datetime | None


def _load(packet: bytes, name: str) -> _Offered:
    try:
        one = Sig.from_bytes(packet)
        offered = _Offered(one, _maker(one), one.created, one.expiration)
        covers = one.signature_type
    except RuntimeError as exc:
        raise FormatError(f"{name}: a damaged OpenPGP signature") from exc
    if covers != SignatureType.Binary:
        raise FormatError(f"{name}: an OpenPGP signature of something else than a file's bytes")
    return offered


def _maker(signature: Sig) -> str:
    key = signature.issuer_fingerprint or signature.issuer_key_id or "?"
    algorithm = signature.hash_algorithm
    weak = next((words for known, words in _FORGEABLE if algorithm == known), "")
    return f"{key} with {weak}, which can be forged" if weak else key


def _signer(
    file: BinaryIO, offered: _Offered, pinned: dict[str, Cert], at: datetime | None
) -> str | None:
    """Return the fingerprint of the pinned certificate that made this signature, if one did."""
    if at is not None and (offered.created is None or offered.created > at):
        return None
    if at is not None and offered.expires is not None and offered.expires <= at:
        return None
    try:
        result = _verify(file, offered.signature, list(pinned.values()))
    except RuntimeError:
        return None
    makers: Iterator[str] = (one.certificate for one in result.valid_sigs)
    return next((maker for maker in makers if maker in pinned), None)


def _verify(file: BinaryIO, signature: Sig, certificates: list[Cert]) -> Decrypted:
    """Check one signature; a file on disk is mapped by the library, not read into memory."""
    try:
        path = f"/dev/fd/{file.fileno()}"
    except OSError:  # a file in memory
        file.seek(0)
        return verify(bytes=file.read(), store=lambda _: certificates, signature=signature)
    return verify(file=path, store=lambda _: certificates, signature=signature)
