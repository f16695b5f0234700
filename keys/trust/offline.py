"""The trusted copy verified on its own: authentic, though perhaps old or half updated.

A run that was cut between two files leaves a snapshot older than the timestamp lists. Such a role
is still signed by a key in force: it is a gap to report, not a forgery. Expiry is the caller's
question.
"""

from keys.errors import TrustError
from keys.trust import roles
from keys.trust.copy import TrustedCopy
from keys.trust.tuf_api import MetaFile, Root, Signed, Snapshot, Targets, Timestamp


class Offline:
    """Reads roles of the trusted copy; ``gaps`` lists what is older than its listing."""

    def __init__(self, name: str, copy: TrustedCopy) -> None:
        self.gaps: list[str] = []
        self._name = name
        self._copy = copy

    def timestamp(self, root: Root) -> Timestamp:
        """Return the trusted timestamp."""
        data = self._copy.required(Timestamp.type)
        return roles.timestamp(data, root, self._what("timestamp.json"))

    def snapshot(self, root: Root, timestamp: Timestamp) -> Snapshot:
        """Return the trusted snapshot."""
        what = self._what("snapshot.json")
        data = self._copy.required(Snapshot.type)
        snapshot = roles.snapshot(data, root, what)
        self._compare(snapshot, data, timestamp.snapshot_meta, what)
        return snapshot

    def targets(self, snapshot: Snapshot, role: str, delegator: Root | Targets) -> Targets:
        """Return a trusted targets role, believed by this delegator."""
        what = self._what(roles.file_name(role))
        data = self._copy.required(role)
        targets = roles.targets(data, delegator, role, what)
        self._compare(targets, data, roles.listed_role(snapshot, role, what), what)
        return targets

    def _compare(self, signed: Signed, data: bytes, listed: MetaFile, what: str) -> None:
        if signed.version > listed.version:
            raise TrustError(f"{what}: is newer than the role above it lists")
        if signed.version < listed.version:
            self.gaps.append(f"{what}: is version {signed.version}, {listed.version} is listed")
        else:
            roles.check_listed(data, listed, what)

    def _what(self, name: str) -> str:
        return f"repository {self._name}: trusted {name}"
