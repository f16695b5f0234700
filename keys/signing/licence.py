"""Issuing ``.lic`` files: the issuer's key pair, and a record signed with it."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keys import files
from keys.credentials import Secret
from keys.errors import UsageError
from keys.model.licence import Licence, encode_licence
from keys.signing.signers import ENCRYPTED_FILE, generate, open_signer
from keys.trust.licence import CONTEXT, Envelope, Issuers, armour
from keys.trust.tuf_api import SIGNER_FOR_URI_SCHEME, Signer

PUBLIC_SUFFIX = ".pub"


def public_half(key: Path) -> Path:
    """Tell where the public half of a key file lies."""
    return key.with_name(key.name + PUBLIC_SUFFIX)


def new_issuer(key: Path, passphrase: Secret) -> str:
    """Make an issuer's key pair, ``key`` encrypted and ``key.pub`` beside it; return its key id.

    Raises:
        UsageError: there is a file of either name, or the passphrase is too short.

    """
    pem, signer = generate(passphrase)
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signer.public_key.keyval["public"]))
    encoded = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    try:
        files.create(key, pem, mode=0o600)
        files.create(public_half(key), encoded)
    except FileExistsError as exc:
        raise UsageError(
            f"{key}: exists already, or its public half does; nothing was overwritten",
            hint="choose another name; licences of a lost key must be issued anew",
        ) from exc
    except OSError as exc:
        raise UsageError(f"{key}: {exc.strerror or exc}") from exc
    return signer.public_key.keyid


def open_issuer(key: str, public: Path | None, passphrase: Secret | None) -> Signer:
    """Open an issuer's key: a file ``new_issuer`` made, or a signer URI with its public half.

    Raises:
        UsageError: the key cannot be used.
        SettingsError: the public half is unreadable.

    """
    is_uri = key.partition(":")[0] in SIGNER_FOR_URI_SCHEME
    if is_uri and public is None:
        raise UsageError(f"{key}: needs its public half", hint="name the file with --public")
    issuers = Issuers.read(public or public_half(Path(key)))
    if len(issuers.keys) != 1:
        raise UsageError(f"{public}: holds more than one key")
    uri = key if is_uri else f"{ENCRYPTED_FILE}:{key}"
    return open_signer(uri, next(iter(issuers.keys.values())), passphrase)


def issue(licence: Licence, issuer: Signer) -> bytes:
    """Return the text of a signed ``.lic`` file."""
    payload = encode_licence(licence)
    signature = issuer.sign(CONTEXT + payload)
    return armour(Envelope(signature.keyid, payload, bytes.fromhex(signature.signature)))
