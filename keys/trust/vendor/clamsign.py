"""A .sign file of ClamAV 1.5: ``#clamsign-1.0``, then lines with a PKCS#7 signature each.

``<min flevel>:<max flevel>:pkcs7-pem:<base64>``; the first line whose range holds the engine's
functionality level decides, for or against, and no later line is read (verify_signed_file in
libclamav_rust/src/codesign.rs). A signature covers the whole file beside it, its header too. What
nothing covers are the flevels themselves and comments.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from keys.errors import FormatError, LimitError, SignatureError
from keys.model.release import Assurance
from keys.trust.vendor import signed_data
from keys.trust.vendor.anchors import Anchors
from keys.trust.vendor.content import Content, chunks, opened
from keys.trust.vendor.recognise import describe
from keys.trust.vendor.signed_data import Signed
from keys.trust.vendor.verdict import Verdict

FLEVEL = 230  # ClamAV 1.5, the first that reads .sign files
MAX_SIGN_BYTES = 1 << 20
MAX_LINES = 100

_MAGIC = "#clamsign-1.0"
_FLEVEL = r"(?:0|[1-9][0-9]{0,9})?"
_LINE = re.compile(
    rf"(?P<least>{_FLEVEL}):(?P<most>{_FLEVEL}):pkcs7-pem:(?P<der>[A-Za-z0-9+/]+={{0,2}})"
)


def verify_sign(
    sign: bytes,
    content: Content,
    anchors: Anchors,
    name: str,
    *,
    at: datetime,
    flevel: int = FLEVEL,
) -> Verdict:
    """Verify a .sign file against the whole file it is of; ``name`` is its own, for messages.

    ``at`` is when the certificates must be valid, ``flevel`` which engine is to be satisfied.

    Raises:
        FormatError: not a .sign file; the message says what it is.
        SignatureError: the line that decides does not hold, or none is for this engine.
        LimitError: beyond ``MAX_SIGN_BYTES`` or ``MAX_LINES``.

    """
    for line in _lines(sign, name):
        if flevel in line:
            signer = line.signed.check(_digest(content), anchors, name, at=at)
            return Verdict(
                scheme="clamsign",
                assurance=Assurance.signed,
                signer=signer,
                signed_at=line.signed.at,
            )
    raise SignatureError(f"{name}: has no signature for an engine of functionality level {flevel}")


def _digest(content: Content) -> bytes:
    digest = hashlib.sha256()
    with opened(content) as file:
        for chunk in chunks(file):
            digest.update(chunk)
    return digest.digest()


@dataclass(frozen=True, slots=True)
class _Line:
    least: int | None
    most: int | None
    signed: Signed

    def __contains__(self, flevel: int) -> bool:
        above = self.least is None or self.least <= flevel
        return above and (self.most is None or flevel <= self.most)


def _lines(sign: bytes, name: str) -> Iterator[_Line]:
    """Yield the signatures in their order; what stands behind one that decided is never read."""
    if len(sign) > MAX_SIGN_BYTES:
        raise LimitError(f"{name}: exceeds MAX_SIGN_BYTES={MAX_SIGN_BYTES}")
    first, *lines = sign.decode("latin-1").split("\n")
    if first != _MAGIC:
        raise FormatError(f"{name}: not a .sign file of version 1.0 but {describe(sign)}")
    if len(lines) > MAX_LINES:
        raise LimitError(f"{name}: has more than MAX_LINES={MAX_LINES} lines")
    for number, line in enumerate(lines, start=2):
        if line and not line.startswith("#"):
            yield _parse(line, f"{name}: line {number}")


def _parse(line: str, what: str) -> _Line:
    fields = _LINE.fullmatch(line)
    if not fields:
        raise FormatError(f"{what}: malformed: {line[:40]!r}")
    try:
        der = base64.b64decode(fields["der"], validate=True)
    except binascii.Error as exc:
        raise FormatError(f"{what}: not base64: {exc}") from exc
    if base64.b64encode(der).decode("ascii") != fields["der"]:
        raise FormatError(f"{what}: base64 not in its one encoding")
    least, most = (int(fields[end]) if fields[end] else None for end in ("least", "most"))
    return _Line(least, most, signed_data.decode(der, what))
