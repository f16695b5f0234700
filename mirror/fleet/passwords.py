"""Customers' passwords, kept as scrypt (RFC 7914) with a salt of their own."""

import hashlib
import hmac
import secrets
from typing import Annotated

import msgspec

from keys.credentials import Secret
from keys.model.release import Wire

SALT_BYTES = 16
HASH_BYTES = 32
COST = 1 << 15
BLOCK_SIZE = 8
MAX_MEMORY_BYTES = 128 << 20


class PasswordHash(Wire, frozen=True, omit_defaults=False):
    """One password as it is kept; the cost travels with it, so it can rise later."""

    salt: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}$")]
    scrypt: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
    cost: Annotated[int, msgspec.Meta(ge=2, le=1 << 20)] = COST
    block_size: Annotated[int, msgspec.Meta(ge=1, le=32)] = BLOCK_SIZE

    @classmethod
    def of(cls, password: Secret) -> "PasswordHash":
        """Hash a password with a fresh salt."""
        salt = secrets.token_bytes(SALT_BYTES)
        digest = _derive(password.reveal(), salt, COST, BLOCK_SIZE)
        return cls(salt=salt.hex(), scrypt=digest.hex())

    def matches(self, password: Secret) -> bool:
        """Tell whether this is the password; takes about a tenth of a second and 32 MiB."""
        salt = bytes.fromhex(self.salt)
        found = _derive(password.reveal(), salt, self.cost, self.block_size)
        return hmac.compare_digest(found, bytes.fromhex(self.scrypt))


def _derive(password: str, salt: bytes, cost: int, block_size: int) -> bytes:
    return hashlib.scrypt(
        password.encode(),
        salt=salt,
        n=cost,
        r=block_size,
        p=1,
        dklen=HASH_BYTES,
        maxmem=MAX_MEMORY_BYTES,
    )
