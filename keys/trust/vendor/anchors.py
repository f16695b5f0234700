"""The certificates that .sign files must chain to, and the chain.

As ClamAV reads its certificates folder (libclamav_rust/src/codesign.rs, Verifier): every .crt and
.pem, several certificates in one allowed, two of one common name refused. A chain ends at one of
them that signed itself; the others may stand in between.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID

from keys.errors import SettingsError, SignatureError
from keys.trust.vendor.certificates import load_certificates, name_of

MAX_CERTIFICATE_FILE_BYTES = 1 << 20
MAX_ANCHORS = 100
MAX_CHAIN = 5
MIN_RSA_BITS = 2048

_SUFFIXES = {".crt", ".pem"}
_STRONG = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_UNDERSTOOD = {
    x509.BasicConstraints.oid,
    x509.KeyUsage.oid,
    x509.ExtendedKeyUsage.oid,
}

_E = TypeVar("_E", bound=x509.ExtensionType)


@dataclass(frozen=True, slots=True)
class Anchors:
    """The trusted certificates."""

    certificates: tuple[x509.Certificate, ...]

    @classmethod
    def load(cls, folder: Path) -> "Anchors":
        """Read every certificate of a folder.

        Raises:
            SettingsError: none there; unreadable; two with one common name, or one without.

        """
        try:
            paths = sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES)
            found = tuple(one for path in paths for one in _read(path))
        except OSError as exc:
            raise SettingsError(f"certificates {folder}: {exc.strerror}") from exc
        if not 0 < len(found) <= MAX_ANCHORS:
            raise SettingsError(
                f"certificates {folder}: {len(found)} in its .crt and .pem files; "
                f"1 to MAX_ANCHORS={MAX_ANCHORS} are needed"
            )
        _check_names(found, folder)
        return cls(found)

    def check_chain(
        self, leaf: x509.Certificate, sent: Sequence[x509.Certificate], what: str, *, at: datetime
    ) -> None:
        """Check that a signer's certificate was good at a time.

        Raises:
            SignatureError: no chain of valid certificates leads to an anchor.

        """
        if not _may_sign(leaf):
            raise SignatureError(f"{what}: the certificate of {name_of(leaf)} is not for signing")
        pool = (*self.certificates, *sent)
        chains = list(_chains((leaf,), pool, set(self.certificates)))
        if not chains:
            raise SignatureError(
                f"{what}: signed by {name_of(leaf)}, whom no trusted root vouches for"
            )
        if not any(all(_holds(one, at) for one in chain) for chain in chains):
            raise SignatureError(
                f"{what}: signed by {name_of(leaf)}, but a certificate of the chain is not valid "
                f"on {at:%Y-%m-%d}"
            )


def _read(path: Path) -> list[x509.Certificate]:
    if path.stat().st_size > MAX_CERTIFICATE_FILE_BYTES:
        raise SettingsError(
            f"{path}: exceeds MAX_CERTIFICATE_FILE_BYTES={MAX_CERTIFICATE_FILE_BYTES}"
        )
    try:
        return load_certificates(path.read_bytes())
    except ValueError as exc:
        raise SettingsError(f"{path}: holds no PEM certificate that can be read") from exc


def _check_names(found: Sequence[x509.Certificate], folder: Path) -> None:
    seen: set[str] = set()
    for certificate in found:
        name = name_of(certificate)
        if name in seen:
            raise SettingsError(
                f"certificates {folder}: two with the common name {name!r}",
                hint="ClamAV refuses such a folder, too: keep one of them",
            )
        seen.add(name)


def _chains(
    chain: tuple[x509.Certificate, ...],
    pool: Sequence[x509.Certificate],
    anchors: set[x509.Certificate],
) -> Iterator[tuple[x509.Certificate, ...]]:
    """Yield the ways from a certificate up to an anchor that signed itself."""
    last = chain[-1]
    if last in anchors and last.subject == last.issuer and _issued(last, last):
        yield chain
        return
    if len(chain) == MAX_CHAIN:
        return
    for parent in pool:
        if parent not in chain and _issued(last, parent) and _may_issue(parent, len(chain) - 1):
            yield from _chains((*chain, parent), pool, anchors)


def _issued(child: x509.Certificate, parent: x509.Certificate) -> bool:
    if child.issuer != parent.subject or not _is_understood(child):
        return False
    key = parent.public_key()
    if not isinstance(key, RSAPublicKey):
        return False
    if key.key_size < MIN_RSA_BITS or not isinstance(child.signature_hash_algorithm, _STRONG):
        return False
    try:
        child.verify_directly_issued_by(parent)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _may_issue(parent: x509.Certificate, below: int) -> bool:
    """Tell whether a certificate may issue others; ``below`` authorities stand under it."""
    if parent.version is x509.Version.v1:  # roots of that age have no extensions
        return parent.subject == parent.issuer
    basic = _extension(parent, x509.BasicConstraints)
    usage = _extension(parent, x509.KeyUsage)
    if not basic or not basic.ca or (usage and not usage.key_cert_sign):
        return False
    if not _is_for_messages(parent):
        return False
    return basic.path_length is None or below <= basic.path_length


def _may_sign(leaf: x509.Certificate) -> bool:
    usage = _extension(leaf, x509.KeyUsage)
    return not (usage and not usage.digital_signature) and _is_for_messages(leaf)


def _is_for_messages(certificate: x509.Certificate) -> bool:
    """Tell whether it may serve signed messages: OpenSSL's purpose ``smimesign``, as ClamAV has it.

    That purpose tells a vendor's signers from the rest of what hangs from his root.
    """
    uses = _extension(certificate, x509.ExtendedKeyUsage)
    return uses is None or ExtendedKeyUsageOID.EMAIL_PROTECTION in uses


def _holds(certificate: x509.Certificate, at: datetime) -> bool:
    return certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc


def _is_understood(certificate: x509.Certificate) -> bool:
    """Tell whether there is nothing critical in it that is not looked at here."""
    return all(one.oid in _UNDERSTOOD for one in certificate.extensions if one.critical)


def _extension(certificate: x509.Certificate, kind: type[_E]) -> _E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
