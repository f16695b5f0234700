"""A cdiff: ``ClamAV-Diff:<version>:<script length>:``, a gzip script, ``:`` and a signature.

The signature covers everything before the last ``:``, the version included
(libclamav_rust/src/cdiff.rs). ``keys.trust.vendor.script`` says what the script's commands mean and
``keys.trust.vendor.patch`` follows them.
"""

import hashlib
import re
import zlib
from dataclasses import dataclass

from keys.errors import FormatError, LimitError
from keys.model.release import Assurance
from keys.trust.vendor import rsa
from keys.trust.vendor.info import SUFFIX
from keys.trust.vendor.recognise import describe
from keys.trust.vendor.script import Edit, Step, parse_script
from keys.trust.vendor.verdict import Verdict

MAX_CDIFF_BYTES = 32 << 20
MAX_SCRIPT_BYTES = 64 << 20

_MAGIC = b"ClamAV-Diff:"
_HEAD = re.compile(rb"ClamAV-Diff:([1-9][0-9]{0,9}):(0|[1-9][0-9]{0,9}):")
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class Cdiff:
    """A verified cdiff from ``version`` - 1 to ``version``.

    ``database`` is the one whose ``.info`` its script changes; empty where it changes none.
    """

    version: int
    database: str
    steps: tuple[Step, ...]
    verdict: Verdict


def verify_cdiff(data: bytes, name: str, *, keys: rsa.Keys = rsa.CLAMAV) -> Cdiff:
    """Verify a cdiff and read its script; ``name`` is for messages.

    Raises:
        FormatError: not a cdiff; the message says what it is.
        SignatureError: not signed, or changed since.
        LimitError: beyond ``MAX_CDIFF_BYTES`` or ``MAX_SCRIPT_BYTES``.

    """
    head = _HEAD.match(data)
    if not head:
        what = "malformed at its beginning" if data.startswith(_MAGIC) else describe(data)
        raise FormatError(f"{name}: not a cdiff but {what}")
    if len(data) > MAX_CDIFF_BYTES:
        raise LimitError(f"{name}: exceeds MAX_CDIFF_BYTES={MAX_CDIFF_BYTES}")
    end = data.rindex(b":")
    digest = hashlib.sha256(memoryview(data)[:end]).digest()
    rsa.verify_pss(keys.cdiff, digest, data[end + 1 :].decode("latin-1"), name)
    script = _script(data[head.end() : end], int(head[2]), name)
    return _described(int(head[1]), parse_script(script, name), keys.cdiff.name)


def _script(packed: bytes, length: int, name: str) -> bytes:
    if length > MAX_SCRIPT_BYTES:
        raise LimitError(f"{name}: its script exceeds MAX_SCRIPT_BYTES={MAX_SCRIPT_BYTES}")
    unpacker = zlib.decompressobj(wbits=_GZIP)
    try:
        script = unpacker.decompress(packed, length + 1)
    except zlib.error as exc:
        raise FormatError(f"{name}: damaged: {exc}") from exc
    if len(script) != length or not unpacker.eof or unpacker.unused_data:
        raise FormatError(f"{name}: its script is not the {length} bytes its header says")
    return script


def _described(version: int, steps: tuple[Step, ...], signer: str) -> Cdiff:
    edited = [step.member for step in steps if isinstance(step, Edit)]
    infos = [member.removesuffix(SUFFIX) for member in edited if member.endswith(SUFFIX)]
    verdict = Verdict(
        scheme="cdiff", assurance=Assurance.signed, signer=signer, version=str(version)
    )
    return Cdiff(version, infos[0] if infos else "", steps, verdict)
