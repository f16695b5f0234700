"""OpenPGP keys made for a test, and what they sign."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pysequoia as pgp


@dataclass(frozen=True)
class Vendor:
    """A vendor with an OpenPGP key of its own."""

    secret: pgp.Tsk

    @classmethod
    def new(cls, name: str = "Vendor <rules@vendor.example>") -> "Vendor":
        return cls(pgp.Tsk.generate(name))

    @property
    def certificate(self) -> pgp.Cert:
        return self.secret.extract_certificate()

    @property
    def public(self) -> bytes:
        return bytes(self.certificate)

    @property
    def armoured(self) -> bytes:
        return str(self.certificate).encode()

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint

    def sign(self, content: bytes, *, armour: bool = False) -> bytes:
        mode = pgp.SignatureMode.DETACHED
        return bytes(pgp.sign(self.secret.signer(), content, mode=mode, armor=armour))

    def revoked(self) -> bytes:
        """The certificate with its revocation."""
        return self.public + bytes(self.certificate.revoke(self.secret.certifier()))

    def expired(self) -> bytes:
        """The certificate as if it had ended half a minute ago."""
        ended = datetime.now(UTC) - timedelta(seconds=30)
        return bytes(self.certificate.set_expiration(ended, self.secret.certifier()))
