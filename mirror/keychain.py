"""The keys a mirror signs with, opened as its settings say; nothing of them is kept."""

from collections.abc import Callable, Mapping
from pathlib import Path

from keys.credentials import Secret, passphrase
from keys.signing.keyring import open_ring
from keys.signing.minisign import SidecarSigner, open_sidecar_signer
from keys.trust.tuf_api import Signer
from mirror.settings import Settings

PASSPHRASE_VARIABLE = "SIGMIRROR_PASSPHRASE"  # noqa: S105 - the name of a variable

Ring = Callable[[Settings], Mapping[str, Signer]]
"""Open the online keys by name; UsageError when one cannot be used."""

SidecarKey = Callable[[Settings], SidecarSigner | None]
"""Open the key that signs plain files, where there is one; UsageError when it cannot be used."""


def online_keys(settings: Settings) -> Path:
    """Tell the folder of the online keys."""
    keys = settings.signing.keys
    return (Path(keys) if keys else settings.folder / "keys") / "online"


def open_online_ring(settings: Settings) -> Mapping[str, Signer]:
    """Open the online keys with the passphrase the settings name.

    Raises:
        UsageError: no passphrase, or a key cannot be used.

    """
    return open_ring(online_keys(settings), _passphrase(settings))


def open_sidecar_key(settings: Settings) -> SidecarSigner | None:
    """Open the key that signs plain files; None where the site has none.

    Raises:
        UsageError: no passphrase, or the key cannot be used.

    """
    return open_sidecar_signer(online_keys(settings), _passphrase(settings))


def _passphrase(settings: Settings) -> Secret:
    name = settings.signing.passphrase_file
    return passphrase(Path(name) if name else None, PASSPHRASE_VARIABLE)
