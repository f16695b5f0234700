"""The signed state of a repository as its signer sees it: every role, verified.

A signer never builds on bytes it did not verify: whoever can write to the store could otherwise
have his own targets signed at the next renewal. Expired metadata is accepted here, since
renewing it is the cure.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from keys.errors import DigestError, SignatureError, StateError, TrustError
from keys.signing.delegations import CHANNELS, POLICY
from keys.trust.tuf_api import (
    DelegatedRole,
    DeserializationError,
    JSONSerializer,
    Metadata,
    MetaFile,
    RepositoryError,
    Root,
    Signed,
    Snapshot,
    Targets,
    Timestamp,
    UnsignedMetadataError,
)

ROOT, TARGETS, SNAPSHOT, TIMESTAMP = "root", "targets", "snapshot", "timestamp"
_KINDS: dict[str, type[Signed]] = {ROOT: Root, SNAPSHOT: Snapshot, TIMESTAMP: Timestamp}
_VERSIONED = re.compile(r"([1-9][0-9]{0,15})\.([a-z0-9][a-z0-9-]*)\.json")

S = TypeVar("S", bound=Signed)


def versions_taken(names: Iterable[str]) -> dict[str, int]:
    """Tell the highest version of each role among the names of a metadata folder."""
    taken: dict[str, int] = {}
    for name in names:
        if match := _VERSIONED.fullmatch(name):
            version, role = int(match[1]), match[2]
            taken[role] = max(version, taken.get(role, 0))
    return taken


def wanted(metadata: Mapping[str, bytes], taken: Mapping[str, int]) -> dict[str, str]:
    """Tell which files (role to name) complete what was read so far; empty when complete.

    The newest timestamp decides which snapshot and roles are in force; root and targets are
    the newest there are, since a ceremony writes them without the online keys.
    """
    versions = {role: taken[role] for role in (ROOT, TARGETS, TIMESTAMP) if role in taken}
    if TIMESTAMP in metadata:
        versions[SNAPSHOT] = decode(metadata[TIMESTAMP], TIMESTAMP, Timestamp).snapshot_meta.version
    if SNAPSHOT in metadata:
        listed = decode(metadata[SNAPSHOT], SNAPSHOT, Snapshot).meta
        roles = {name.removesuffix(".json"): meta.version for name, meta in listed.items()}
        versions = {**roles, **versions}
    return {
        role: f"{version}.{role}.json" for role, version in versions.items() if role not in metadata
    }


def decode(data: bytes, role: str, kind: type[S]) -> S:
    """Decode the signed part of one role's metadata, unverified.

    Raises:
        TrustError: malformed, or metadata of another kind.

    """
    return _of_kind(_parse(data, role), role, kind)


def _parse(data: bytes, role: str) -> Metadata[Any]:
    try:
        return Metadata.from_bytes(data)
    except DeserializationError as exc:
        raise TrustError(f"{role}: not TUF metadata: {exc}") from exc


def _of_kind(metadata: Metadata[Any], role: str, kind: type[S]) -> S:
    signed = metadata.signed
    if not isinstance(signed, kind):
        raise TrustError(f"{role}: holds metadata of kind {signed.type}")
    return signed


def _delegated(targets: Targets) -> Mapping[str, DelegatedRole]:
    return (targets.delegations and targets.delegations.roles) or {}


@dataclass(frozen=True)
class State:
    """Every role of a repository, decoded and verified against its delegator."""

    metadata: Mapping[str, Metadata[Any]]
    data: Mapping[str, bytes]

    @classmethod
    def verified(cls, data: Mapping[str, bytes]) -> "State":
        """Take the metadata in force, by role; only root and targets before the first publish.

        Raises:
            TrustError: a role is malformed or not signed as its delegator demands.
            StateError: a role is missing, or not of the version the snapshot lists.

        """
        state = cls({role: _parse(bytes_, role) for role, bytes_ in data.items()}, dict(data))
        state._check_complete()
        for role, parsed in state.metadata.items():
            state._verify(role, parsed)
        return state

    def _check_complete(self) -> None:
        present = set(self.metadata)
        listed = self._listed() if present - {ROOT, TARGETS} else {}
        if missing := sorted(({ROOT, TARGETS} | set(listed)) - present):
            raise StateError(f"{missing[0]}: its metadata is missing from the repository")
        for role, entry in listed.items():
            self._check_listed(role, entry)

    def _check_listed(self, role: str, entry: MetaFile) -> None:
        found = self.version(role)
        if role == TARGETS and found > entry.version:
            return
        if found != entry.version:
            raise StateError(f"{role}: version {found}; the snapshot lists {entry.version}")
        try:
            entry.verify_length_and_hashes(self.data[role])
        except RepositoryError as exc:
            raise DigestError(f"{role}: not the bytes the snapshot lists: {exc}") from exc

    def _listed(self) -> dict[str, MetaFile]:
        """Return what timestamp and snapshot list."""
        for role in (TIMESTAMP, SNAPSHOT):
            if role not in self:
                raise StateError(f"{role}: its metadata is missing from the repository")
        meta = {"snapshot.json": self.timestamp.snapshot_meta, **self.snapshot.meta}
        return {name.removesuffix(".json"): entry for name, entry in meta.items()}

    def _verify(self, role: str, metadata: Metadata[Any]) -> None:
        _of_kind(metadata, role, _KINDS.get(role, Targets))
        try:
            self.delegator(role).verify_delegate(role, metadata.signed_bytes, metadata.signatures)
        except UnsignedMetadataError as exc:
            raise SignatureError(f"{role}: {exc}") from exc

    def amended(self, role: str, metadata: Metadata[Any]) -> "State":
        """Return this state with one role signed anew.

        Raises:
            SignatureError: not signed as its delegator demands.

        """
        self._verify(role, metadata)
        data = metadata.to_bytes(JSONSerializer(compact=True))
        return State({**self.metadata, role: metadata}, {**self.data, role: data})

    def delegator(self, role: str) -> Root | Targets:
        """Return the metadata that says who may sign a role.

        Raises:
            StateError: nobody delegates this role.

        """
        if role in self.root.roles:
            return self.root
        for name in (TARGETS, CHANNELS):
            if name in self and role in _delegated(self.targets(name)):
                return self.targets(name)
        raise StateError(f"{role}: delegated by no role of this repository")

    def delegation(self, role: str) -> DelegatedRole:
        """Return how a targets role is delegated: its paths, keys and threshold.

        Raises:
            StateError: nobody delegates this role.

        """
        delegator = self.delegator(role)
        if not isinstance(delegator, Targets):
            raise StateError(f"{role}: not a delegated role")
        return _delegated(delegator)[role]

    def delegated(self) -> tuple[str, ...]:
        """List the delegated roles below ``channels`` and beside it, ``channels`` left out."""
        names = {
            role
            for name in (TARGETS, CHANNELS)
            if name in self
            for role in _delegated(self.targets(name))
        }
        return tuple(sorted(names - {CHANNELS}))

    def channels(self) -> tuple[str, ...]:
        """List the channels this repository delegates."""
        return tuple(
            role for role in self.delegated() if role != POLICY and not role.endswith("-files")
        )

    def is_behind(self) -> bool:
        """Tell whether a ceremony signed targets that the snapshot does not list yet."""
        return self.snapshot.meta["targets.json"].version < self.version(TARGETS)

    def __contains__(self, role: str) -> bool:
        return role in self.metadata

    def __iter__(self) -> Iterator[str]:
        return iter(self.metadata)

    def version(self, role: str) -> int:
        """Tell a role's version; 0 when it was never signed."""
        return self._signed(role).version if role in self else 0

    def expires(self, role: str) -> datetime:
        """Tell when a role expires."""
        return self._signed(role).expires

    def _signed(self, role: str) -> Signed:
        signed: Signed = self.metadata[role].signed
        return signed

    @property
    def root(self) -> Root:
        """The root role."""
        return _of_kind(self.metadata[ROOT], ROOT, Root)

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot role."""
        return _of_kind(self.metadata[SNAPSHOT], SNAPSHOT, Snapshot)

    @property
    def timestamp(self) -> Timestamp:
        """The timestamp role."""
        return _of_kind(self.metadata[TIMESTAMP], TIMESTAMP, Timestamp)

    def targets(self, role: str = TARGETS) -> Targets:
        """Return the top-level targets role, or a delegated one."""
        return _of_kind(self.metadata[role], role, Targets)
