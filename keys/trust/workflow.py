"""The client workflow of the TUF specification, section 5: one pass over one repository.

Each step takes the trusted roles above it and returns the next one, fetched where the copy on
disk is not the listed one, verified, and kept. An expired copy is still good enough to notice a
rollback, and never keeps the next root from being fetched.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from keys.errors import DigestError, ExpiredError, FetchError, MissingError, TrustError
from keys.trust import roles
from keys.trust.clock import Reference
from keys.trust.copy import TrustedCopy
from keys.trust.limits import MetadataLimits
from keys.trust.source import MetadataSource
from keys.trust.tuf_api import MetaFile, Root, Snapshot, Targets, Timestamp

S = TypeVar("S", Timestamp, Snapshot, Targets)


@dataclass(frozen=True, slots=True)
class Held(Generic[S]):
    """A role of the trusted copy: its bytes, and what they say."""

    data: bytes
    signed: S


class Workflow:
    """One pass: the trusted copy, a source, a reference time."""

    def __init__(
        self,
        name: str,
        copy: TrustedCopy,
        source: MetadataSource,
        reference: Reference,
        limits: MetadataLimits,
    ) -> None:
        self.changed = False
        self._name = name
        self._copy = copy
        self._source = source
        self._reference = reference
        self._limits = limits

    def root(self) -> Root:
        """Follow the chain of roots to its end (5.3)."""
        root = self._copy.root()
        for _ in range(self._limits.max_root_rotations):
            name = f"{root.version + 1}.root.json"
            try:
                data = self._source.read(name, max_bytes=self._limits.max_root_bytes)
            except MissingError:
                break
            root = roles.next_root(data, root, self._what(name))
            self._copy.keep_root(root.version, data)
            self.changed = True
        roles.check_fresh(root, self._reference, self._what("root.json"))
        return root

    def timestamp(self, root: Root) -> Timestamp:
        """Take the newest timestamp (5.4); one of an equal version changes nothing."""
        what = self._what("timestamp.json")
        held = self._held(Timestamp.type, lambda data: roles.timestamp(data, root, what))
        data = self._fetch("timestamp.json", self._limits.max_timestamp_bytes)
        offered = roles.timestamp(data, root, what)
        if held and offered.version == held.signed.version:
            roles.check_fresh(held.signed, self._reference, what)
            return held.signed
        if held:
            roles.check_timestamp_follows(offered, held.signed, what)
        roles.check_fresh(offered, self._reference, what)
        self._keep(Timestamp.type, data)
        return offered

    def snapshot(self, root: Root, timestamp: Timestamp) -> Snapshot:
        """Take the snapshot that the timestamp lists (5.5)."""
        what = self._what("snapshot.json")
        held = self._held(Snapshot.type, lambda data: roles.snapshot(data, root, what))
        listed = timestamp.snapshot_meta
        if held and self._is_listed(held, listed, what):
            return held.signed
        limit = listed.length or self._limits.max_snapshot_bytes
        data = self._fetch(self._versioned(root, listed.version, Snapshot.type), limit)
        roles.check_listed(data, listed, what)
        offered = roles.snapshot(data, root, what)
        roles.check_version(offered, listed, what)
        if held:
            roles.check_snapshot_follows(offered, held.signed, what)
        roles.check_fresh(offered, self._reference, what)
        self._keep(Snapshot.type, data)
        return offered

    def targets(
        self, root: Root, snapshot: Snapshot, role: str, delegator: Root | Targets
    ) -> Targets:
        """Take a targets role as the snapshot lists it, believed by this delegator (5.6)."""
        what = self._what(roles.file_name(role))
        held = self._held(role, lambda data: roles.targets(data, delegator, role, what))
        listed = roles.listed_role(snapshot, role, what)
        if held and self._is_listed(held, listed, what):
            return held.signed
        limit = listed.length or self._limits.max_targets_bytes
        data = self._fetch(self._versioned(root, listed.version, role), limit)
        roles.check_listed(data, listed, what)
        offered = roles.targets(data, delegator, role, what)
        roles.check_version(offered, listed, what)
        roles.check_fresh(offered, self._reference, what)
        self._keep(role, data)
        return offered

    def _held(self, role: str, accept: Callable[[bytes], S]) -> Held[S] | None:
        """Return the trusted copy's role if its keys are still the ones in force (5.3.11)."""
        data = self._copy.read(role)
        if data is None:
            return None
        try:
            return Held(data, accept(data))
        except TrustError:
            return None

    def _is_listed(self, held: Held[S], listed: MetaFile, what: str) -> bool:
        if held.signed.version != listed.version:
            return False
        try:
            roles.check_listed(held.data, listed, what)
            roles.check_fresh(held.signed, self._reference, what)
        except (DigestError, ExpiredError):
            return False
        return True

    def _fetch(self, name: str, max_bytes: int) -> bytes:
        try:
            return self._source.read(name, max_bytes=max_bytes)
        except MissingError as exc:
            raise FetchError(
                f"{self._what(name)}: the mirror does not have it",
                hint="the mirror is incomplete or in the middle of a change; try again",
            ) from exc

    def _keep(self, role: str, data: bytes) -> None:
        self._copy.keep(role, data)
        self.changed = True

    @staticmethod
    def _versioned(root: Root, version: int, role: str) -> str:
        name = roles.file_name(role)
        return f"{version}.{name}" if root.consistent_snapshot else name

    def _what(self, name: str) -> str:
        return f"repository {self._name}: {name}"
