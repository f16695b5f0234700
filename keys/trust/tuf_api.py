"""TUF's metadata classes and signer interface, without the cloud libraries behind them.

``securesystemslib.signer`` imports every key service's library that happens to be installed,
which doubles the start-up time of a program that only verifies. Import TUF through this module;
``keys.signing.signers`` loads the one library a key needs.
"""

import contextlib
import sys
from collections.abc import Iterator

_CLOUD_LIBRARIES = ("azure", "boto3", "botocore", "google.cloud", "hvac", "pkcs11")


@contextlib.contextmanager
def _left_out() -> Iterator[None]:
    """Make the cloud libraries look absent; those already loaded stay as they are."""
    hidden = [name for name in _CLOUD_LIBRARIES if name not in sys.modules]
    # None is what the import system documents for "not there"; mypy knows modules only.
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


with _left_out():
    from securesystemslib.exceptions import StorageError, UnverifiedSignatureError
    from securesystemslib.signer import (
        SIGNER_FOR_URI_SCHEME,
        CryptoSigner,
        Key,
        SecretsHandler,
        Signature,
        Signer,
        SSlibKey,
    )
    from tuf.api.exceptions import (
        DownloadError,
        LengthOrHashMismatchError,
        RepositoryError,
        UnsignedMetadataError,
    )
    from tuf.api.metadata import (
        DelegatedRole,
        Delegations,
        Metadata,
        MetaFile,
        Role,
        Root,
        Signed,
        Snapshot,
        SuccinctRoles,
        TargetFile,
        Targets,
        Timestamp,
    )
    from tuf.api.serialization import DeserializationError, SerializationError
    from tuf.api.serialization.json import JSONSerializer

__all__ = [
    "SIGNER_FOR_URI_SCHEME",
    "CryptoSigner",
    "DelegatedRole",
    "Delegations",
    "DeserializationError",
    "DownloadError",
    "JSONSerializer",
    "Key",
    "LengthOrHashMismatchError",
    "MetaFile",
    "Metadata",
    "RepositoryError",
    "Role",
    "Root",
    "SSlibKey",
    "SecretsHandler",
    "SerializationError",
    "Signature",
    "Signed",
    "Signer",
    "Snapshot",
    "StorageError",
    "SuccinctRoles",
    "TargetFile",
    "Targets",
    "Timestamp",
    "UnsignedMetadataError",
    "UnverifiedSignatureError",
]
