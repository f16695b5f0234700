"""A folder of signing keys: ``signers.json`` lists them, key files lie beside it.

``signers.json`` holds no secret: a name, a URI and the public half of each key. A relative path
in a URI is relative to the folder, so the folder can be moved.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from keys.credentials import Secret
from keys.errors import SettingsError, UsageError
from keys.model.release import Wire, encode
from keys.signing.signers import ENCRYPTED_FILE, open_signer
from keys.trust.tuf_api import Key, Signer, SSlibKey

RING_FILE = "signers.json"
MAX_RING_BYTES = 1 << 20
MAX_PUBLIC_KEY_BYTES = 64 << 10
_FILE_SCHEMES = {ENCRYPTED_FILE, "file2"}


class RingKey(Wire, frozen=True):
    """One key: what it is for, where it is, and its public half."""

    name: str
    uri: str
    keyid: str
    keytype: str
    scheme: str
    public: str

    @classmethod
    def of(cls, name: str, uri: str, key: Key) -> "RingKey":
        """Describe a key."""
        return cls(name, uri, key.keyid, key.keytype, key.scheme, key.keyval["public"])

    @property
    def key(self) -> Key:
        """The public half as TUF knows it."""
        plain = {"keytype": self.keytype, "scheme": self.scheme, "keyval": {"public": self.public}}
        return Key.from_dict(self.keyid, plain)


def existing_key(uri: str | None, public: Path | None) -> RingKey | None:
    """Describe the online key that exists already, by its URI and its public half (PEM).

    Raises:
        UsageError: one without the other, or not a public key TUF knows.

    """
    if uri is None and public is None:
        return None
    if uri is None or public is None:
        raise UsageError(
            "an online key that exists already needs both its URI and its public half",
            hint="name --online-key and --online-public together",
        )
    scheme, _, place = uri.partition(":")
    if scheme in _FILE_SCHEMES:
        uri = f"{scheme}:{Path(place).absolute()}"
    return RingKey.of("online", uri, _read_public(public))


def _read_public(path: Path) -> Key:
    try:
        with path.open("rb") as file:
            pem = file.read(MAX_PUBLIC_KEY_BYTES)
        return SSlibKey.from_crypto(load_pem_public_key(pem))
    except OSError as exc:
        raise UsageError(f"{path}: {exc.strerror or exc}") from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise UsageError(f"{path}: not a PEM public key of a kind TUF knows") from exc


def encode_ring(ring: Iterable[RingKey]) -> bytes:
    """Write a key ring as ``signers.json``."""
    return msgspec.json.format(encode(tuple(ring))) + b"\n"


def read_ring(folder: Path) -> tuple[RingKey, ...]:
    """Read the key ring of a folder; opens no key.

    Raises:
        SettingsError: unreadable or malformed.

    """
    path = folder / RING_FILE
    try:
        with path.open("rb") as file:
            data = file.read(MAX_RING_BYTES + 1)
        return msgspec.json.decode(data[:MAX_RING_BYTES], type=tuple[RingKey, ...])
    except OSError as exc:
        raise SettingsError(f"{path}: {exc.strerror or exc}") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise SettingsError(f"{path}: {exc}") from exc


def open_ring(folder: Path, passphrase: Secret | None) -> Mapping[str, Signer]:
    """Open every key of a folder's ring, by name.

    Raises:
        UsageError: a key cannot be used (wrong passphrase, missing file); the message names it.
        SettingsError: the ring is unreadable.

    """
    return {entry.name: open_entry(folder, entry, passphrase) for entry in read_ring(folder)}


def open_entry(folder: Path, entry: RingKey, passphrase: Secret | None) -> Signer:
    """Open one key of a folder's ring.

    Raises:
        UsageError: as ``open_ring``.

    """
    scheme, _, rest = entry.uri.partition(":")
    uri = f"{scheme}:{folder / rest}" if scheme in _FILE_SCHEMES else entry.uri
    return open_signer(uri, entry.key, passphrase)
