"""Signers by URI: encrypted key files of our own, everything else by securesystemslib.

``encrypted-file:PATH`` is an encrypted PKCS#8 PEM file. Key services (``awskms:``, ``gcpkms:``,
``azurekms:``, ``hv:``, ``hsm:`` …) are loaded only when a key names them.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from keys.credentials import Secret
from keys.errors import Error, UsageError
from keys.trust.tuf_api import (
    SIGNER_FOR_URI_SCHEME,
    CryptoSigner,
    Key,
    SecretsHandler,
    Signer,
    SSlibKey,
)

ENCRYPTED_FILE = "encrypted-file"
MAX_KEY_FILE_BYTES = 64 << 10
MIN_PASSPHRASE_CHARACTERS = 12


class EncryptedFileSigner(CryptoSigner):
    """A key in an encrypted PKCS#8 PEM file; the secrets handler is asked for "passphrase"."""

    SCHEME = ENCRYPTED_FILE

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key, secrets_handler: SecretsHandler | None = None
    ) -> "EncryptedFileSigner":
        """Load the key file a URI names.

        Raises:
            UsageError: unreadable, not encrypted, the wrong passphrase, or another key.

        """
        path = Path(priv_key_uri.removeprefix(f"{ENCRYPTED_FILE}:"))
        if not isinstance(public_key, SSlibKey):
            raise UsageError(f"{path}: a key of type {public_key.keytype} cannot lie in a file")
        if secrets_handler is None:
            raise UsageError(f"{path}: needs a passphrase")
        private_key = decrypt(path, secrets_handler("passphrase"))
        if SSlibKey.from_crypto(private_key.public_key()).keyval != public_key.keyval:
            raise UsageError(f"{path}: not the key the metadata names ({public_key.keyid[:16]}…)")
        return cls(private_key, public_key)


SIGNER_FOR_URI_SCHEME[ENCRYPTED_FILE] = EncryptedFileSigner


def decrypt(path: Path, passphrase: str) -> Any:  # noqa: ANN401 - a union of every key type
    """Open an encrypted key file.

    Raises:
        UsageError: unreadable, not encrypted, or the wrong passphrase; the message names it.

    """
    try:
        with path.open("rb") as file:
            pem = file.read(MAX_KEY_FILE_BYTES)
    except OSError as exc:
        raise UsageError(f"{path}: {exc.strerror or exc}") from exc
    try:
        return load_pem_private_key(pem, passphrase.encode())
    except TypeError as exc:
        raise UsageError(
            f"{path}: not encrypted", hint="name an unencrypted key as file2:PATH"
        ) from exc
    except ValueError as exc:
        if _is_encrypted(pem):
            raise UsageError(f"{path}: wrong passphrase") from exc
        raise UsageError(f"{path}: not a PKCS#8 PEM key file") from exc


def _is_encrypted(pem: bytes) -> bool:
    """Tell whether it is an encrypted key; what a wrong passphrase makes of one can be anything."""
    try:
        load_pem_private_key(pem, None)
    except TypeError:
        return True
    except ValueError:
        return False
    return False


def generate(passphrase: Secret) -> tuple[bytes, CryptoSigner]:
    """Make an Ed25519 key: its encrypted PEM file, and its signer.

    Raises:
        UsageError: the passphrase is too short.

    """
    private_key = Ed25519PrivateKey.generate()
    return encrypt(private_key, passphrase), CryptoSigner(private_key)


def encrypt(private_key: Ed25519PrivateKey, passphrase: Secret) -> bytes:
    """Write a key as an encrypted PEM file.

    Raises:
        UsageError: the passphrase is shorter than ``MIN_PASSPHRASE_CHARACTERS``.

    """
    text = passphrase.reveal()
    if len(text) < MIN_PASSPHRASE_CHARACTERS:
        # PKCS#8 files stretch a passphrase only a little (PBKDF2, 2,048 rounds).
        raise UsageError(
            f"the passphrase has fewer than {MIN_PASSPHRASE_CHARACTERS} characters",
            hint="let `openssl rand -base64 24` make one",
        )
    encryption = BestAvailableEncryption(text.encode())
    return private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def open_signer(uri: str, public_key: Key, passphrase: Secret | None) -> Signer:
    """Return the signer a URI names, for this public key.

    Raises:
        UsageError: an unknown scheme, or a key that cannot be used; the message names it.

    """
    scheme = uri.partition(":")[0]
    if scheme not in SIGNER_FOR_URI_SCHEME:
        known = ", ".join(sorted(SIGNER_FOR_URI_SCHEME))
        raise UsageError(f"{uri}: unknown kind of key", hint=f"known: {known}")
    _load_library(scheme)
    handler = None if passphrase is None else lambda _: passphrase.reveal()
    try:
        return Signer.from_priv_key_uri(uri, public_key, handler)
    except Error:
        raise
    except Exception as exc:
        raise UsageError(f"{uri}: {exc}") from exc


def _load_library(scheme: str) -> None:
    """Import a key service's library; ``keys.trust.tuf_api`` left it out."""
    signer = SIGNER_FOR_URI_SCHEME[scheme]
    if issubclass(signer, CryptoSigner):
        return
    module = importlib.reload(sys.modules[signer.__module__])
    SIGNER_FOR_URI_SCHEME[scheme] = getattr(module, signer.__name__)
