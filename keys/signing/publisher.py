"""The next version of each online role, signed. State in, files out: no I/O, no clock.

Publish order: channel roles, ``policy``, ``channels``, then ``snapshot``, and ``timestamp`` last.
Nothing is signed anew unless it changed or is due. A role is due when a quarter of its validity
has passed; an expired repository is repaired the same way.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from keys.errors import FetchError, UsageError
from keys.model.names import check_channel
from keys.model.release import Pin
from keys.signing import delegations
from keys.signing.delegations import CHANNELS, POLICY
from keys.signing.state import ROOT, SNAPSHOT, TIMESTAMP, State
from keys.trust.tuf_api import (
    Delegations,
    Key,
    Metadata,
    MetaFile,
    Signed,
    Signer,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
    UnsignedMetadataError,
)

DEFAULT_EXPIRY: Mapping[str, timedelta] = {
    CHANNELS: timedelta(days=30),
    SNAPSHOT: timedelta(days=7),
    TIMESTAMP: timedelta(days=3),
}
_DUE_AFTER = 0.25  # of the validity


@dataclass(frozen=True, slots=True)
class RoleFile:
    """One metadata file to write: its name below ``metadata/`` and its bytes."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be published.

    ``targets`` maps a role (``<channel>``, ``<channel>-files``, ``policy``) to all its targets;
    a role not named keeps its own. A channel named for the first time is added, with both roles.
    ``taken`` are version numbers that lie in the store already, in force or not
    (``state.versions_taken``): they are never used again. ``anew`` asks for a next timestamp even
    where nothing changed and nothing is due.
    """

    targets: Mapping[str, Mapping[str, Pin]] = field(default_factory=dict)
    taken: Mapping[str, int] = field(default_factory=dict)
    anew: bool = False


class Publisher:
    """Signs the online roles of one repository, from one state of it."""

    def __init__(
        self,
        metadata: Mapping[str, bytes],
        signers: Mapping[str, Signer],
        expiry: Mapping[str, timedelta] = DEFAULT_EXPIRY,
    ) -> None:
        """Take the metadata in force by role, the signers by name, and validity by role.

        A signer named ``online`` serves every role that has none of its own; ``channel`` serves
        the channel roles. Roles without an own validity share that of ``channels``.

        Raises:
            TrustError: metadata that its delegator does not vouch for.
            StateError: a role is missing, or not of the version the snapshot lists.

        """
        self.state = State.verified(metadata)
        self._signers = signers
        self._expiry = {**DEFAULT_EXPIRY, **expiry}

    def publish(self, changes: Changes, *, now: datetime) -> tuple[RoleFile, ...]:
        """Return the files to write, in order; none when nothing changed and nothing is due.

        Raises:
            NameRefusedError: a new channel with a name that may not be one.
            UsageError: the keys at hand may not sign a role, or a role may not list a target.
            FetchError: a key service did not sign.

        """
        due = self.due(now=now)
        added = self._added(changes)
        edition = _Edition(self.state, self._signers, self._expiry, changes.taken, now)
        if added or CHANNELS in due:
            edition.sign(CHANNELS, Targets(delegations=self._delegations(added)))
        for role in (*self.state.delegated(), *added):
            pins = changes.targets.get(role, self.pins(role))
            if role in added or role in due or pins != self.pins(role):
                edition.sign(role, self._targets(role, pins, edition.state))
        if edition.files or SNAPSHOT in due:
            edition.sign(SNAPSHOT, Snapshot(meta=edition.listing()))
        if edition.files or changes.anew or TIMESTAMP in due:
            edition.sign(TIMESTAMP, Timestamp(snapshot_meta=edition.entry(SNAPSHOT)))
            edition.files.append(RoleFile("timestamp.json", edition.state.data[TIMESTAMP]))
        return tuple(edition.files)

    def due(self, *, now: datetime) -> tuple[str, ...]:
        """List the roles to sign anew although nothing changed, in publish order."""
        roles = (*self.state.delegated(), CHANNELS, SNAPSHOT, TIMESTAMP)
        return tuple(role for role in roles if self._is_due(role, now))

    def _is_due(self, role: str, now: datetime) -> bool:
        if role not in self.state or now >= self.renew_at(role):
            return True
        return role == SNAPSHOT and self.state.is_behind()

    def renew_at(self, role: str) -> datetime:
        """Tell when a role becomes due."""
        validity = self._expiry.get(role, self._expiry[CHANNELS])
        return self.state.expires(role) - validity * (1 - _DUE_AFTER)

    def pins(self, role: str) -> Mapping[str, Pin]:
        """Return the targets a role lists now; none when it does not exist."""
        if role not in self.state:
            return {}
        targets = self.state.targets(role).targets
        return {path: Pin(file.hashes["sha256"], file.length) for path, file in targets.items()}

    def _added(self, changes: Changes) -> tuple[str, ...]:
        """List the roles that are to be delegated for the first time."""
        known = {*self.state.delegated(), POLICY}
        channels = {role.removesuffix("-files") for role in changes.targets if role not in known}
        roles = [] if POLICY in self.state else [POLICY]
        for channel in sorted(channels):
            roles += [check_channel(channel), delegations.files_role(channel)]
        return tuple(role for role in roles if role not in self.state)

    def _delegations(self, added: tuple[str, ...]) -> Delegations:
        present = self.state.targets(CHANNELS).delegations if CHANNELS in self.state else None
        return delegations.extend(present, ((role, self._key(role)) for role in added))

    def _key(self, role: str) -> Key:
        """Choose the key of a new role: its own, the channels' shared one, or the online key."""
        channel = role.removesuffix("-files")
        names = (POLICY, "online") if role == POLICY else (channel, "channel", "online")
        for name in names:
            if name in self._signers:
                return self._signers[name].public_key
        raise UsageError(f"no key for the role {role}", hint=f"name one of: {', '.join(names)}")

    def _targets(self, role: str, pins: Mapping[str, Pin], state: State) -> Targets:
        delegated = state.delegation(role)
        for path in pins:
            if not delegated.is_delegated_path(path):
                raise UsageError(f"the role {role} may not list the target {path!r}")
        files = {
            path: TargetFile(pin.length, {"sha256": pin.sha256}, path) for path, pin in pins.items()
        }
        return Targets(targets=files)


class _Edition:
    """One publish: the state as it grows, and the files in the order they are signed."""

    def __init__(
        self,
        state: State,
        signers: Mapping[str, Signer],
        expiry: Mapping[str, timedelta],
        taken: Mapping[str, int],
        now: datetime,
    ) -> None:
        self.state = state
        self.files: list[RoleFile] = []
        self._signers = signers
        self._expiry = expiry
        self._taken = taken
        self._now = now.replace(microsecond=0)

    def sign(self, role: str, signed: Signed) -> None:
        """Sign the next version of a role."""
        signed.version = max(self.state.version(role), self._taken.get(role, 0)) + 1
        signed.expires = self._now + self._expiry.get(role, self._expiry[CHANNELS])
        self.state = self.state.amended(role, self._signed(role, signed))
        self.files.append(RoleFile(f"{signed.version}.{role}.json", self.state.data[role]))

    def _signed(self, role: str, signed: Signed) -> Metadata[Any]:
        delegator = self.state.delegator(role)
        authorised = delegator.get_delegated_role(role)
        signers = {
            signer.public_key.keyid: signer
            for signer in self._signers.values()
            if signer.public_key.keyid in authorised.keyids
        }
        if len(signers) < authorised.threshold:
            raise UsageError(
                f"the role {role} needs {authorised.threshold} of the keys "
                f"{', '.join(authorised.keyids)}; {len(signers)} at hand",
                hint="the online key folder must hold the keys the repository was made with",
            )
        return sign(signed, signers.values())

    def listing(self) -> dict[str, MetaFile]:
        """Pin every targets role, for the snapshot."""
        roles = (role for role in self.state if role not in {ROOT, SNAPSHOT, TIMESTAMP})
        return {f"{role}.json": self.entry(role) for role in roles}

    def entry(self, role: str) -> MetaFile:
        """Pin one role: version, length and sha256."""
        return MetaFile.from_data(self.state.version(role), self.state.data[role], ["sha256"])


def sign(signed: Signed, signers: Iterable[Signer]) -> Metadata[Any]:
    """Sign metadata with every signer.

    Raises:
        FetchError: a signer failed.

    """
    metadata: Metadata[Any] = Metadata(signed)
    for signer in signers:
        try:
            metadata.sign(signer, append=True)
        except UnsignedMetadataError as exc:
            raise FetchError(f"{signed.type}: the key {signer.public_key.keyid}: {exc}") from exc
    return metadata
