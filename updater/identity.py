"""A host's own key: what it tells of its history is signed with it. Made when first needed."""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keys import files
from keys.errors import StateError

SEED_BYTES = 32


@dataclass(frozen=True, slots=True)
class Identity:
    """An Ed25519 key that never leaves the host; it vouches for reports, for nothing else."""

    key: Ed25519PrivateKey

    @classmethod
    def of(cls, path: Path) -> "Identity":
        """Open the key file, or make it; only its owner may read it.

        Raises:
            StateError: unreadable, not a key, or the disk refuses.

        """
        try:
            if not path.exists():
                files.write(path, Ed25519PrivateKey.generate().private_bytes_raw(), mode=0o600)
            seed = files.read(path, max_bytes=SEED_BYTES, limit="SEED_BYTES", error=StateError)
            return cls(Ed25519PrivateKey.from_private_bytes(seed))
        except OSError as exc:
            raise StateError(f"{path}: {exc.strerror or exc}") from exc
        except ValueError as exc:
            raise StateError(
                f"{path}: not a host's key", hint="remove it: the next report makes a new one"
            ) from exc

    @property
    def public_key(self) -> str:
        """The public key in hex."""
        return self.key.public_key().public_bytes_raw().hex()

    def sign(self, data: bytes) -> str:
        """Sign; return the signature in hex."""
        return self.key.sign(data).hex()
