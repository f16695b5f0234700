"""One detached PKCS#7 signature (RFC 2315, RFC 5652 §5), as ClamAV's .sign files carry them.

Exactly what the vendor's programs write is read: one signer, named by issuer and serial number,
SHA-256 and RSA, signed attributes. `cryptography` decodes DER strictly but checks no signature of
this kind; what was decoded must encode to the same bytes, so nothing unread hides between.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from keys.errors import FormatError, SignatureError
from keys.trust.vendor.anchors import Anchors
from keys.trust.vendor.certificates import identity_of, load_certificate, name_of, tolerant

MAX_CERTIFICATES = 8

_SIGNED_DATA = x509.ObjectIdentifier("1.2.840.113549.1.7.2")
_DATA = x509.ObjectIdentifier("1.2.840.113549.1.7.1")
_SHA256 = x509.ObjectIdentifier("2.16.840.1.101.3.4.2.1")
_RSA = x509.ObjectIdentifier("1.2.840.113549.1.1.1")
_CONTENT_TYPE = x509.ObjectIdentifier("1.2.840.113549.1.9.3")
_MESSAGE_DIGEST = x509.ObjectIdentifier("1.2.840.113549.1.9.4")
_SIGNING_TIME = x509.ObjectIdentifier("1.2.840.113549.1.9.5")


@asn1.sequence
class _Algorithm:
    oid: x509.ObjectIdentifier
    parameters: asn1.Null | None


@asn1.sequence
class _Content:
    content_type: x509.ObjectIdentifier


@asn1.sequence
class _IssuerAndSerial:
    issuer: x509.Name
    serial: int


@asn1.sequence
class _Attribute:
    kind: x509.ObjectIdentifier
    values: asn1.SetOf[asn1.TLV]


@asn1.sequence
class _Signer:
    version: int
    certificate: _IssuerAndSerial
    digest: _Algorithm
    attributes: Annotated[list[_Attribute], asn1.Implicit(0)]
    encryption: _Algorithm
    signature: bytes


@asn1.sequence
class _SignedData:
    version: int
    digests: asn1.SetOf[_Algorithm]
    content: _Content
    certificates: Annotated[list[asn1.TLV] | None, asn1.Implicit(0)]
    signers: asn1.SetOf[_Signer]


@asn1.sequence
class _ContentInfo:
    content_type: x509.ObjectIdentifier
    signed: Annotated[_SignedData, asn1.Explicit(0)]


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature as it was decoded; nothing of it is proven."""

    digest: bytes
    at: datetime | None
    certificates: tuple[x509.Certificate, ...]
    _signer: _Signer

    def check(self, sha256: bytes, anchors: Anchors, what: str, *, at: datetime) -> str:
        """Check it against a content's digest; return the signer's common name.

        Raises:
            SignatureError: of another content; forged; not of a trusted signer at that time.

        """
        if self.digest != sha256:
            raise SignatureError(f"{what}: the signature is of another content")
        leaf = self._leaf(anchors, what)
        key = leaf.public_key()
        if not isinstance(key, RSAPublicKey):
            raise SignatureError(f"{what}: the key of {name_of(leaf)} is not RSA")
        attributes = asn1.encode_der(asn1.SetOf(self._signer.attributes))
        try:
            key.verify(self._signer.signature, attributes, PKCS1v15(), SHA256())
        except InvalidSignature as exc:
            raise SignatureError(f"{what}: not signed by {name_of(leaf)}") from exc
        anchors.check_chain(leaf, self.certificates, what, at=at)
        return name_of(leaf)

    def _leaf(self, anchors: Anchors, what: str) -> x509.Certificate:
        """Find the signer's certificate, in the signature or among the anchors."""
        wanted = self._signer.certificate
        for one in (*self.certificates, *anchors.certificates):
            if identity_of(one) == (wanted.issuer.public_bytes(), wanted.serial):
                return one
        raise SignatureError(f"{what}: the certificate of its signer is missing")


def decode(der: bytes, what: str) -> Signed:
    """Decode a signature.

    Raises:
        FormatError: not DER; not of the one kind that is read.

    """
    try:
        with tolerant():
            info = asn1.decode_der(_ContentInfo, der)
            if asn1.encode_der(info) != der:
                raise FormatError(f"{what}: PKCS#7 data not in its one encoding")
            return _checked(info, what)
    except ValueError as exc:
        raise FormatError(f"{what}: not a PKCS#7 signature: {exc}") from exc


def _checked(info: _ContentInfo, what: str) -> Signed:
    signed = info.signed
    signers, digests = signed.signers.as_list(), signed.digests.as_list()
    if len(signers) != 1 or len(signed.certificates or ()) > MAX_CERTIFICATES:
        raise FormatError(f"{what}: not the signature of one signer")
    signer = signers[0]
    kinds = (info.content_type, signed.content.content_type, signed.version, signer.version)
    algorithms = [one.oid for one in (*digests, signer.digest, signer.encryption)]
    if kinds != (_SIGNED_DATA, _DATA, 1, 1) or algorithms != [_SHA256, _SHA256, _RSA]:
        raise FormatError(f"{what}: not a detached PKCS#7 signature with SHA-256 and RSA")
    attributes = _attributes(signer, what)
    moment = attributes.get(_SIGNING_TIME)
    return Signed(
        digest=attributes[_MESSAGE_DIGEST].parse(bytes),
        at=moment.parse(asn1.UTCTime).as_datetime() if moment else None,
        certificates=tuple(
            load_certificate(asn1.encode_der(one)) for one in signed.certificates or ()
        ),
        _signer=signer,
    )


def _attributes(signer: _Signer, what: str) -> dict[x509.ObjectIdentifier, asn1.TLV]:
    """Return the signed attributes, each of which has one value and stands once."""
    values = {one.kind: one.values.as_list() for one in signer.attributes}
    if len(values) < len(signer.attributes) or any(len(found) != 1 for found in values.values()):
        raise FormatError(f"{what}: a signed attribute stands twice")
    attributes = {kind: found[0] for kind, found in values.items()}
    if _MESSAGE_DIGEST not in attributes or _CONTENT_TYPE not in attributes:
        raise FormatError(f"{what}: the signature does not say of what it is")
    if attributes[_CONTENT_TYPE].parse(x509.ObjectIdentifier) != _DATA:
        raise FormatError(f"{what}: not a signature of plain data")
    return attributes
