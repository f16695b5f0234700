"""The site's minisign key: it signs the plain files a mirror serves, for clients without TUF.

``minisign.pem`` in the folder of the online keys is an Ed25519 key, encrypted like the others there
and listed in no ring: TUF roles never use it. ``minisign.pub`` is what `minisign -p` takes. The
key's id is made from its public half, so nothing else has to be kept.
"""

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from minisign import SecretKey

from keys import files
from keys.credentials import Secret
from keys.errors import UsageError
from keys.model.names import publish_path
from keys.signing.signers import decrypt, encrypt

KEY_FILE = "minisign.pem"
PUBLIC_FILE = "minisign.pub"

_ALGORITHMS = b"Ed" + b"\0\0" + b"B2"  # Ed25519, not encrypted, BLAKE2b
_NO_ENCRYPTION = bytes(32 + 8 + 8)  # salt and costs
_KEY_ID_BYTES = 8


class SidecarSigner:
    """Signs plain files as `minisign -S` does: the BLAKE2b-512 of the file, and a comment."""

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        public = private_key.public_key().public_bytes_raw()
        key_id = hashlib.sha256(public).digest()[:_KEY_ID_BYTES]
        pair = key_id + private_key.private_bytes_raw() + public
        checksum = hashlib.blake2b(_ALGORITHMS[:2] + pair, digest_size=32).digest()
        encoded = base64.b64encode(_ALGORITHMS + _NO_ENCRYPTION + pair + checksum)
        self._secret_key = SecretKey.from_base64(encoded)
        self.key_id = f"{int.from_bytes(key_id, 'little'):X}"
        self.public_line = base64.b64encode(_ALGORITHMS[:2] + key_id + public).decode()

    @property
    def public_text(self) -> bytes:
        """The content of a ``.pub`` file."""
        comment = f"untrusted comment: minisign public key {self.key_id}"
        return f"{comment}\n{self.public_line}\n".encode()

    def sign(self, content: BinaryIO, name: str, *, at: datetime | None = None) -> bytes:
        """Return the content of a file's ``.minisig``; the file is read piece by piece.

        The trusted comment names the file as it is published and, where ``at`` is given, when it
        was signed; without it the same file always gives the same signature.
        """
        words = [f"timestamp:{int(at.timestamp())}"] if at else []
        comment = "\t".join([*words, f"file:{publish_path(name)}", "hashed"])
        content.seek(0)
        signature = self._secret_key.sign(
            content,
            prehash=True,
            untrusted_comment=f"signature of key {self.key_id}",
            trusted_comment=comment,
        )
        return bytes(signature) + b"\n"


def new_key(passphrase: Secret) -> Mapping[str, bytes]:
    """Make a key: the two files to put into the folder of the online keys.

    Raises:
        UsageError: the passphrase is too short.

    """
    private_key = Ed25519PrivateKey.generate()
    pem = encrypt(private_key, passphrase)
    return {KEY_FILE: pem, PUBLIC_FILE: SidecarSigner(private_key).public_text}


def make_sidecar_signer(folder: Path, secret: Secret) -> SidecarSigner:
    """Make the key of a folder of online keys, or open the one that is there; write its ``.pub``.

    Raises:
        UsageError: the folder cannot be written, or as ``open_sidecar_signer``.

    """
    try:
        if not (folder / KEY_FILE).exists():
            files.create(folder / KEY_FILE, new_key(secret)[KEY_FILE], mode=0o600)
        signer = _open(folder / KEY_FILE, secret)
        files.write(folder / PUBLIC_FILE, signer.public_text)
    except OSError as exc:
        raise UsageError(f"{folder}: {exc.strerror or exc}") from exc
    return signer


def open_sidecar_signer(folder: Path, secret: Secret) -> SidecarSigner | None:
    """Open the key in a folder of online keys, or return None where none was made.

    Raises:
        UsageError: it cannot be used (wrong passphrase, damaged); the message names it.

    """
    path = folder / KEY_FILE
    return _open(path, secret) if path.exists() else None


def _open(path: Path, secret: Secret) -> SidecarSigner:
    private_key = decrypt(path, secret.reveal())
    if not isinstance(private_key, Ed25519PrivateKey):
        raise UsageError(f"{path}: not an Ed25519 key")
    return SidecarSigner(private_key)
