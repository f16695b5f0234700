"""Root and targets signed anew by their offline keys, all at once or one holder at a time.

A draft that lacks signatures travels from holder to holder. What is signed is never anything but
the metadata in force with a later expiry: a draft that says more is refused.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeAlias

from keys.errors import TrustError, UsageError
from keys.signing.publisher import sign
from keys.signing.state import ROOT, TARGETS, State
from keys.trust.tuf_api import DeserializationError, JSONSerializer, Metadata, Root, Signer, Targets

OFFLINE_ROLES = (ROOT, TARGETS)
Draft: TypeAlias = Metadata[Any]


def draft_renewal(state: State, role: str, *, version: int, expires: datetime) -> Draft:
    """Return the next version of an offline role; nobody has signed it yet."""
    signed = state.root if role == ROOT else state.targets(role)
    copy = type(signed).from_dict(signed.to_dict())
    copy.version = version
    copy.expires = expires.replace(microsecond=0)
    return Metadata(copy)


def read_draft(data: bytes, state: State, role: str, *, version: int, latest: datetime) -> Draft:
    """Take up a draft that other holders signed.

    Raises:
        TrustError: malformed, or anything but the version in force with another expiry, at
            most the ``latest`` this holder would grant.

    """
    try:
        draft: Draft = Metadata.from_bytes(data)
    except DeserializationError as exc:
        raise TrustError(f"draft of {role}: not TUF metadata: {exc}") from exc
    expected = draft_renewal(state, role, version=version, expires=draft.signed.expires)
    if not isinstance(draft.signed, Root | Targets) or draft.signed != expected.signed:
        raise TrustError(
            f"draft of {role}: says something else than version {version} renewed",
            hint="remove it and draft anew; find out who changed it",
        )
    if draft.signed.expires > latest:
        raise TrustError(
            f"draft of {role}: would expire on {draft.signed.expires:%Y-%m-%d}, later than asked",
            hint="name as many days as the holder who drafted it, or remove it and draft anew",
        )
    return draft


def countersign(draft: Draft, state: State, role: str, signers: Iterable[Signer]) -> int:
    """Add the signatures of these keys; return how many are missing still.

    Raises:
        UsageError: none of the keys may sign the role.
        FetchError: a key service did not sign.

    """
    authorised = state.delegator(role).get_delegated_role(role)
    ours = [signer for signer in signers if signer.public_key.keyid in authorised.keyids]
    if not ours:
        raise UsageError(
            f"{role}: none of the keys at hand may sign it",
            hint=f"it is signed by {authorised.threshold} of {', '.join(authorised.keyids)}",
        )
    draft.signatures |= sign(draft.signed, ours).signatures
    verified = state.delegator(role).get_verification_result(
        role, draft.signed_bytes, draft.signatures
    )
    return max(0, authorised.threshold - len(verified.signed))


def encode_metadata(metadata: Draft) -> bytes:
    """Write metadata as it is published."""
    return metadata.to_bytes(JSONSerializer(compact=True))
