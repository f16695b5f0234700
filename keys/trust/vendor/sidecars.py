"""Which files beside a file vouch for it: by their names, or by what they begin with."""

import re
from pathlib import Path
from typing import Literal

from keys.trust.vendor.digest import DigestScheme

SidecarScheme = Literal["clamsign", "openpgp", "minisign"] | DigestScheme

SUFFIXES: dict[str, SidecarScheme] = {
    ".sign": "clamsign",
    ".asc": "openpgp",
    ".sig": "openpgp",
    ".gpg": "openpgp",
    ".minisig": "minisign",
    ".sha512": "sha512",
    ".sha256": "sha256",
    ".md5": "md5",
}
_MAGIC: tuple[tuple[bytes, SidecarScheme], ...] = (
    (b"#clamsign-", "clamsign"),
    (b"-----BEGIN PGP SIGNATURE", "openpgp"),
    (b"untrusted comment:", "minisign"),
)
_DIGEST_NAME: tuple[tuple[str, DigestScheme], ...] = (
    ("sha512", "sha512"),
    ("sha256", "sha256"),
    ("md5", "md5"),
)
_CVD_SIGN = re.compile(r"(?P<database>[A-Za-z0-9_-]+)-[0-9]+(?P<rest>\.cvd\.sign)")


def siblings(path: Path, version: str = "") -> list[Path]:
    """List the sidecars that lie beside a file; ``version`` is a CVD's, for its ``.sign``."""
    names = [f"{path.name}{suffix}" for suffix in SUFFIXES]
    if version and path.suffix == ".cvd":
        names.append(f"{path.stem}-{version}.cvd.sign")
    return [found for name in names if (found := path.with_name(name)).is_file()]


def subject(path: Path) -> Path | None:
    """Tell which file a sidecar is of, by its name; None for what is no sidecar."""
    if path.suffix not in SUFFIXES:
        return None
    whole = path.with_suffix("")
    versioned = _CVD_SIGN.fullmatch(path.name)
    if versioned and not whole.exists():
        return path.with_name(f"{versioned['database']}.cvd")
    return whole


def scheme_of(path: Path, head: bytes) -> SidecarScheme | None:
    """Tell what kind of sidecar a file is, by its name or how it begins; None for no kind."""
    if known := SUFFIXES.get(path.suffix):
        return known
    for magic, scheme in _MAGIC:
        if head.startswith(magic):
            return scheme
    name = path.name.lower()
    return next((scheme for word, scheme in _DIGEST_NAME if word in name), None)
