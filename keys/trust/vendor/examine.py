"""One file of any vendor, checked by everything that speaks of it: itself, and its sidecars.

What is there and does not hold refuses the file, whatever else holds. What is there and cannot be
checked, for want of a key, is told.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from keys.errors import Error, FormatError
from keys.model.release import Assurance
from keys.trust.vendor import rsa, sidecars
from keys.trust.vendor.anchors import Anchors
from keys.trust.vendor.cdiff import MAX_CDIFF_BYTES, verify_cdiff
from keys.trust.vendor.clamsign import verify_sign
from keys.trust.vendor.cld import verify_cld
from keys.trust.vendor.content import chunks, opened
from keys.trust.vendor.cvd import verify_cvd
from keys.trust.vendor.digest import MAX_SIDECAR_BYTES, read_sidecar, verify_digest
from keys.trust.vendor.info import MAX_INFO_BYTES, SUFFIX, Info, Member, check_member, verify_info
from keys.trust.vendor.minisign import verify_minisign
from keys.trust.vendor.openpgp import verify_openpgp
from keys.trust.vendor.policy import Required, required
from keys.trust.vendor.recognise import HEAD_BYTES, describe
from keys.trust.vendor.verdict import Verdict

_DATABASE = b"ClamAV-VDB:"
_CDIFF = b"ClamAV-Diff:"
_UNSIGNED = b":X:X:"
_HEADER = slice(0, 512)


@dataclass(frozen=True, slots=True)
class Trusted:
    """What somebody believes in, at what time, and what he demands of ClamAV's own files."""

    at: datetime
    openpgp: tuple[bytes, ...] = ()
    fingerprints: tuple[str, ...] = ()
    minisign: tuple[bytes | str, ...] = ()
    anchors: Anchors | None = None
    demand: Required = "legacy"


@dataclass(frozen=True, slots=True)
class Check:
    """One check a file passed; ``by`` is the other file that vouches for it, if one does."""

    verdict: Verdict
    by: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one file: it is refused for ``error``, or passed its ``checks``.

    ``unchecked`` are sidecars for which no key was given; ``looks`` says what the bytes look like.
    """

    path: Path
    checks: tuple[Check, ...] = ()
    unchecked: tuple[str, ...] = ()
    looks: str = ""
    error: Error | None = None


def examine(path: Path, trusted: Trusted, named: Sequence[Path] = ()) -> Finding:
    """Check a file by itself and by its sidecars: those ``named``, or else those beside it.

    A sidecar is checked by checking the file that it is of.
    """
    try:
        looks = describe(_read(path, HEAD_BYTES))
        whole = None if named else sidecars.subject(path)
        checks, unchecked = (
            _by_sidecars(whole, [path], trusted) if whole else _whole(path, trusted, named)
        )
    except Error as exc:
        return Finding(path, error=exc)
    return Finding(path, checks, unchecked, looks)


_Checked = tuple[tuple[Check, ...], tuple[str, ...]]


def _whole(path: Path, trusted: Trusted, named: Sequence[Path]) -> _Checked:
    own = _by_itself(path) or _by_info(path)
    found = named or sidecars.siblings(path, own.verdict.version if own else "")
    checks, unchecked = _by_sidecars(path, found, trusted)
    if own is None:
        return checks, unchecked
    signs = [check.verdict for check in checks if check.verdict.scheme == "clamsign"]
    sign = signs[0] if signs else None
    required(path.name, legacy=own.verdict, sign=sign, demand=trusted.demand)
    return (own, *checks), unchecked


def _by_itself(path: Path) -> Check | None:
    """Check what a vendor signed inside the file, where his format does that."""
    verify = _FORMS.get(_form(path))
    return Check(verify(path)) if verify else None


def _form(path: Path) -> str:
    head = _read(path, HEAD_BYTES)
    if path.suffix in {".cvd", ".cld", ".cdiff"}:
        return path.suffix
    if head.startswith(_CDIFF):
        return ".cdiff"
    if not head.startswith(_DATABASE):
        return ""
    if path.suffix == SUFFIX:
        return SUFFIX
    return ".cld" if _UNSIGNED in head[_HEADER] else ".cvd"


def _cvd(path: Path) -> Verdict:
    with opened(path) as file:
        return verify_cvd(file, path.name).verdict


def _cld(path: Path) -> Verdict:
    with opened(path) as file:
        return verify_cld(file, path.name).verdict


def _cdiff(path: Path) -> Verdict:
    return verify_cdiff(_read(path, MAX_CDIFF_BYTES + 1), path.name).verdict


def _info(path: Path) -> Verdict:
    return _vouching(_read_info(path))


_FORMS: dict[str, Callable[[Path], Verdict]] = {
    ".cvd": _cvd,
    ".cld": _cld,
    ".cdiff": _cdiff,
    SUFFIX: _info,
}


def _read_info(path: Path) -> Info:
    return verify_info(_read(path, MAX_INFO_BYTES + 1), path.name, path.name)


def _vouching(info: Info) -> Verdict:
    said = info.header
    return Verdict(
        "info",
        Assurance.signed,
        signer=rsa.CLAMAV.info.name,
        version=str(said.version),
        signatures=said.signatures,
        signed_at=said.built,
    )


def _by_info(path: Path) -> Check | None:
    """Check an unpacked member of a database by the signed list that lies beside it."""
    beside = path.with_suffix(SUFFIX)
    if not beside.is_file() or _form(beside) != SUFFIX:
        return None
    info = _read_info(beside)
    listed = next((member for member in info.members if member.name == path.name), None)
    if listed is None:
        return None
    digest, length = hashlib.sha256(), 0
    with opened(path) as file:
        for chunk in chunks(file):
            digest.update(chunk)
            length += len(chunk)
    check_member(Member(path.name, length, digest.hexdigest()), listed, beside.name)
    return Check(_vouching(info), beside.name)


def _by_sidecars(path: Path, found: Sequence[Path], trusted: Trusted) -> _Checked:
    checks, unchecked = [], []
    for sidecar in found:
        verdict = _by_sidecar(path, sidecar, trusted)
        if verdict is None:
            unchecked.append(sidecar.name)
        else:
            checks.append(Check(verdict, sidecar.name))
    return tuple(checks), tuple(unchecked)


def _by_sidecar(path: Path, sidecar: Path, trusted: Trusted) -> Verdict | None:
    """Check a file by one sidecar; None where no key for it is trusted."""
    if not path.is_file():
        raise FormatError(f"{sidecar.name}: the file it is of, {path.name}, is not there")
    data = _read(sidecar, MAX_SIDECAR_BYTES + 1)
    scheme = sidecars.scheme_of(sidecar, data)
    match scheme:
        case "openpgp" if trusted.openpgp:
            pins = trusted.fingerprints
            return verify_openpgp(path, data, trusted.openpgp, pins, path.name, at=trusted.at)
        case "minisign" if trusted.minisign:
            return verify_minisign(path, data, trusted.minisign, path.name)
        case "clamsign" if trusted.anchors:
            return verify_sign(data, path, trusted.anchors, sidecar.name, at=trusted.at)
        case "sha512" | "sha256" | "md5":
            stated = read_sidecar(data, scheme, path.absolute().as_posix())
            return verify_digest(path, scheme, stated, path.name)
        case None:
            raise FormatError(f"{sidecar.name}: not a signature or checksum but {describe(data)}")
        case _:
            return None


def _read(path: Path, limit: int) -> bytes:
    with opened(path) as file:
        return file.read(limit)
