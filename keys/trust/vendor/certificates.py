"""X.509 certificates as they are read here: whole at once, and without the library's warnings."""

import contextlib
import warnings
from collections.abc import Iterator

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import NameOID

_PARTS = ("subject", "issuer", "extensions", "signature_hash_algorithm")
_MAX_NAME = 100


def load_certificate(der: bytes) -> x509.Certificate:
    """Read one DER certificate.

    Raises:
        ValueError: it is none, or holds something unknown.

    """
    with tolerant():
        return _readable(x509.load_der_x509_certificate(der))


def load_certificates(pem: bytes) -> list[x509.Certificate]:
    """Read PEM certificates, one behind the other.

    Raises:
        ValueError: there is none, or one that cannot be read.

    """
    with tolerant():
        return [_readable(one) for one in x509.load_pem_x509_certificates(pem)]


def name_of(certificate: x509.Certificate) -> str:
    """Return a certificate's common name, or all of its subject, fit for a message."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = str(names[0].value) if names else certificate.subject.rfc4514_string()
    return "".join(c if c.isprintable() else "?" for c in name[:_MAX_NAME])


def identity_of(certificate: x509.Certificate) -> tuple[bytes, int]:
    """Return a certificate's issuer, in its very bytes, and its serial number."""
    with tolerant():
        return certificate.issuer.public_bytes(), certificate.serial_number


@contextlib.contextmanager
def tolerant() -> Iterator[None]:
    """Take what the library only warns of: a serial of 0, as the vendor's own test certificates.

    Raises:
        ValueError: in place of what the library raises of things unknown to it.

    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            yield
        except (x509.DuplicateExtension, x509.InvalidVersion, UnsupportedAlgorithm) as exc:
            raise ValueError(exc) from exc


def _readable(certificate: x509.Certificate) -> x509.Certificate:
    """Return a certificate that can be read: the library parses its parts when they are asked."""
    certificate.public_key()
    for part in _PARTS:
        getattr(certificate, part)
    return certificate
