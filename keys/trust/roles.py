"""Role files: bytes in, a verified role out, or an error that names the file and the reason.

Pure: no clock, no disk, no network. The checks are those of the TUF specification 1.0, sections
5.3 to 5.7; each function cites its own.
"""

import json
from typing import Any, TypeVar
from urllib.parse import quote

from keys.errors import (
    DigestError,
    ExpiredError,
    NameRefusedError,
    RollbackError,
    SignatureError,
    TrustError,
)
from keys.model.instant import utc
from keys.trust.clock import Reference
from keys.trust.tuf_api import (
    DeserializationError,
    LengthOrHashMismatchError,
    Metadata,
    MetaFile,
    Root,
    SerializationError,
    Signed,
    Snapshot,
    Targets,
    Timestamp,
)

MAX_FILE_NAME = 200

S = TypeVar("S", Root, Timestamp, Snapshot, Targets)


def file_name(role: str) -> str:
    """Name the file of a role, the same in a URL and on disk.

    Raises:
        NameRefusedError: longer than a file system takes.

    """
    name = quote(role, safe="") + ".json"
    if len(name) > MAX_FILE_NAME:
        raise NameRefusedError(f"role {role[:40]!r}…: a name longer than {MAX_FILE_NAME} bytes")
    return name


def parse(data: bytes, kind: type[S], what: str) -> Metadata[S]:
    """Read a role file of this kind; its signatures are not checked yet.

    Raises:
        TrustError: not TUF metadata, or of another role.

    """
    try:
        metadata: Metadata[Any] = Metadata.from_bytes(data)
    except DeserializationError as exc:
        raise TrustError(f"{what}: {_misfit(data)}: {exc.__cause__ or exc}") from exc
    if not isinstance(metadata.signed, kind):
        raise TrustError(f"{what}: holds the role {metadata.signed.type}, not {kind.type}")
    if type(metadata.signed.version) is not int:
        raise TrustError(f"{what}: its version is not a whole number")
    return metadata


def _misfit(data: bytes) -> str:
    """Say what kind of bytes these are, for a person."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return "not JSON, so not TUF metadata"
    if isinstance(value, dict) and "payloadType" in value:
        return "a DSSE envelope; only TUF's own signature wrapper is understood"
    return "not TUF metadata this version understands"


def verify(metadata: Metadata[S], delegator: Root | Targets, role: str, what: str) -> S:
    """Return the signed role if enough of its delegator's keys signed it.

    Keys count by their value: one key listed under two ids is one key.

    Raises:
        SignatureError: fewer valid signatures than the threshold.
        TrustError: the delegator does not delegate to this role.

    """
    try:
        result = delegator.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
    except (ValueError, SerializationError) as exc:
        raise TrustError(f"{what}: {exc}") from exc
    signed = {json.dumps(key.to_dict()["keyval"]) for key in result.signed.values()}
    if len(signed) < result.threshold:
        raise SignatureError(
            f"{what}: signed by {len(signed)} of the {result.threshold} keys it needs"
        )
    return metadata.signed


def next_root(data: bytes, trusted: Root, what: str) -> Root:
    """Accept the root that follows the trusted one (5.3.4, 5.3.5).

    Raises:
        SignatureError: not signed by the threshold of the old root, or of itself.
        RollbackError: not the version that follows.
        TrustError: not a root.

    """
    metadata = parse(data, Root, what)
    verify(metadata, trusted, Root.type, f"{what} (by the keys of root {trusted.version})")
    root = verify(metadata, metadata.signed, Root.type, f"{what} (by its own keys)")
    if root.version != trusted.version + 1:
        raise RollbackError(f"{what}: is version {root.version}, not {trusted.version + 1}")
    return root


def timestamp(data: bytes, root: Root, what: str) -> Timestamp:
    """Accept a timestamp by its signatures alone (5.4.2)."""
    return verify(parse(data, Timestamp, what), root, Timestamp.type, what)


def check_timestamp_follows(offered: Timestamp, trusted: Timestamp, what: str) -> None:
    """Refuse a timestamp that goes back, or that leads back to an older snapshot (5.4.3).

    Raises:
        RollbackError: naming both versions.

    """
    _check_not_older(offered.version, trusted.version, what)
    _check_not_older(
        offered.snapshot_meta.version, trusted.snapshot_meta.version, f"{what}: its snapshot"
    )


def snapshot(data: bytes, root: Root, what: str) -> Snapshot:
    """Accept a snapshot by its signatures alone (5.5.3)."""
    return verify(parse(data, Snapshot, what), root, Snapshot.type, what)


def check_snapshot_follows(offered: Snapshot, trusted: Snapshot, what: str) -> None:
    """Refuse a snapshot that drops a role or goes back in one (5.5.5).

    Raises:
        RollbackError: naming the role.

    """
    for name, meta in trusted.meta.items():
        if name not in offered.meta:
            raise RollbackError(f"{what}: lists {name} no longer")
        _check_not_older(offered.meta[name].version, meta.version, f"{what}: its {name}")


def _check_not_older(offered: int, trusted: int, what: str) -> None:
    if offered < trusted:
        raise RollbackError(f"{what}: is version {offered}, but {trusted} was trusted before")


def targets(data: bytes, delegator: Root | Targets, role: str, what: str) -> Targets:
    """Accept a targets role by the signatures of its present delegator (5.6.3)."""
    return verify(parse(data, Targets, what), delegator, role, what)


def check_listed(data: bytes, listed: MetaFile, what: str) -> None:
    """Check a file's bytes against what the role above lists (5.5.2, 5.6.2).

    Raises:
        DigestError: length or a digest differs.

    """
    try:
        listed.verify_length_and_hashes(data)
    except LengthOrHashMismatchError as exc:
        raise DigestError(f"{what}: {exc}") from exc


def check_version(offered: Signed, listed: MetaFile, what: str) -> None:
    """Check a role's version against what the role above lists (5.5.4, 5.6.4).

    Raises:
        RollbackError: another version than the listed one.

    """
    if offered.version != listed.version:
        raise RollbackError(f"{what}: is version {offered.version}, not {listed.version}")


def check_fresh(signed: Signed, reference: Reference, what: str) -> None:
    """Refuse a role past its expiry (5.3.10, 5.4.4, 5.5.6, 5.6.5).

    Raises:
        ExpiredError: naming its expiry, the reference time and where that comes from.

    """
    if reference.time >= signed.expires:
        raise ExpiredError(
            f"{what}: expired at {utc(signed.expires)}; {reference}",
            hint="set this host's clock if it is wrong; else the mirror has stopped re-signing, "
            "or someone replays old metadata",
        )


def listed_role(snapshot_: Snapshot, role: str, what: str) -> MetaFile:
    """Find what a snapshot lists for a targets role.

    Raises:
        TrustError: it lists nothing.

    """
    meta = snapshot_.meta.get(f"{role}.json")
    if meta is None:
        raise TrustError(f"{what}: the snapshot does not list the role {role!r}")
    return meta
