"""Founding a repository: offline keys for root and targets, online keys for the rest.

``compose`` makes everything in memory; ``write`` puts it on disk, the repository last, so that an
interrupted ceremony leaves keys but never half a repository.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from keys import files
from keys.credentials import Secret
from keys.errors import UsageError
from keys.signing.delegations import CHANNELS, POLICY, delegate, everything
from keys.signing.keyring import RING_FILE, RingKey, encode_ring
from keys.signing.layout import Layout
from keys.signing.minisign import new_key
from keys.signing.publisher import Changes, Publisher, RoleFile, sign
from keys.signing.signers import ENCRYPTED_FILE, generate, open_signer
from keys.signing.state import ROOT, SNAPSHOT, TARGETS, TIMESTAMP
from keys.trust.tuf_api import (
    Delegations,
    JSONSerializer,
    Role,
    Root,
    Signer,
    Targets,
)

OFFLINE_EXPIRY = timedelta(days=365)
MAX_OFFLINE_KEYS = 16
SEPARATE_ONLINE_KEYS = (CHANNELS, POLICY, "channel", SNAPSHOT, TIMESTAMP)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to found; ``expiry`` may name any role, and ``online`` a key that exists already.

    ``root_threshold`` of ``root_keys`` offline keys sign the root, likewise for targets.
    """

    root_threshold: int = 2
    root_keys: int = 3
    targets_threshold: int = 1
    targets_keys: int = 1
    separate_online_keys: bool = False
    online: RingKey | None = None
    expiry: Mapping[str, timedelta] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Founding:
    """A repository before it is on disk: files by name, metadata in publish order."""

    offline: Mapping[str, bytes]
    online: Mapping[str, bytes]
    metadata: tuple[RoleFile, ...]

    @property
    def root_sha256(self) -> str:
        """The digest by which hosts recognise the first root."""
        return hashlib.sha256(self.metadata[0].data).hexdigest()


def compose(
    plan: Plan, *, offline_passphrase: Secret, online_passphrase: Secret, now: datetime
) -> Founding:
    """Make the keys and sign the first version of every role.

    Raises:
        UsageError: a threshold no set of keys can meet, or a passphrase that is too short.

    """
    offline = _Keys(offline_passphrase)
    roots = offline.make_several(ROOT, plan.root_threshold, plan.root_keys)
    targets = offline.make_several(TARGETS, plan.targets_threshold, plan.targets_keys)
    online = _Keys(online_passphrase)
    online.take_or_make(plan)

    root = _root(plan, roots, targets, online)
    top = _top_targets(online.signer(CHANNELS))
    metadata = {}
    for role, signed, signers in ((ROOT, root, roots), (TARGETS, top, targets)):
        signed.expires = now.replace(microsecond=0) + plan.expiry.get(role, OFFLINE_EXPIRY)
        metadata[role] = sign(signed, signers).to_bytes(JSONSerializer(compact=True))
    first = Publisher(metadata, online.signers, plan.expiry).publish(Changes(), now=now)
    offline_files = (RoleFile(f"1.{role}.json", data) for role, data in metadata.items())
    return Founding(offline.files(), online.files(), (*offline_files, *first))


class _Keys:
    """The keys of one folder as they are made."""

    def __init__(self, passphrase: Secret) -> None:
        self.signers: dict[str, Signer] = {}
        self._passphrase = passphrase
        self._ring: list[RingKey] = []
        self._files: dict[str, bytes] = {}

    def make(self, name: str) -> Signer:
        """Make a key of this name."""
        pem, signer = generate(self._passphrase)
        self._files[f"{name}.pem"] = pem
        self._add(RingKey.of(name, f"{ENCRYPTED_FILE}:{name}.pem", signer.public_key), signer)
        return signer

    def make_several(self, role: str, threshold: int, count: int) -> tuple[Signer, ...]:
        """Make the keys of an offline role."""
        if not 1 <= threshold <= count <= MAX_OFFLINE_KEYS:
            raise UsageError(
                f"{role}: a threshold of {threshold} with {count} keys",
                hint=f"1 <= threshold <= keys <= {MAX_OFFLINE_KEYS}",
            )
        return tuple(self.make(f"{role}-{number}") for number in range(1, count + 1))

    def take_or_make(self, plan: Plan) -> None:
        """Provide the online keys."""
        if plan.online is not None and plan.separate_online_keys:
            raise UsageError("one online key that exists already, or separate new ones; not both")
        if plan.online is not None:
            self._add(plan.online, open_signer(plan.online.uri, plan.online.key, self._passphrase))
            return
        for name in SEPARATE_ONLINE_KEYS if plan.separate_online_keys else ("online",):
            self.make(name)
        self._files |= new_key(self._passphrase)

    def _add(self, entry: RingKey, signer: Signer) -> None:
        self._ring.append(entry)
        self.signers[entry.name] = signer

    def signer(self, role: str) -> Signer:
        """Return the signer of an online role."""
        return self.signers.get(role) or self.signers["online"]

    def files(self) -> dict[str, bytes]:
        """List the folder's files: the ring and each key file."""
        return {**self._files, RING_FILE: encode_ring(self._ring)}


def _root(
    plan: Plan, roots: tuple[Signer, ...], targets: tuple[Signer, ...], online: _Keys
) -> Root:
    signers = {
        ROOT: (roots, plan.root_threshold),
        TARGETS: (targets, plan.targets_threshold),
        SNAPSHOT: ((online.signer(SNAPSHOT),), 1),
        TIMESTAMP: ((online.signer(TIMESTAMP),), 1),
    }
    keys = [signer.public_key for group, _ in signers.values() for signer in group]
    roles = {
        role: Role([signer.public_key.keyid for signer in group], threshold)
        for role, (group, threshold) in signers.items()
    }
    return Root(keys={key.keyid: key for key in keys}, roles=roles, consistent_snapshot=True)


def _top_targets(channels: Signer) -> Targets:
    key = channels.public_key
    role = delegate(CHANNELS, key, everything())
    return Targets(delegations=Delegations({key.keyid: key}, {CHANNELS: role}))


def write(founding: Founding, layout: Layout, *, offline: Path | None = None) -> None:
    """Put a founded repository on disk; ``offline`` is where the offline keys go.

    Raises:
        UsageError: there are keys or a repository already; nothing was changed.

    """
    _refuse_used(layout.repository)
    write_keys(founding, layout, offline=offline)
    layout.repository.parent.mkdir(parents=True, exist_ok=True)
    staged = files.temporary_beside(layout.repository)
    (staged / "targets").mkdir(parents=True)
    (staged / "metadata").mkdir()
    for file in founding.metadata:
        files.create(staged / "metadata" / file.name, file.data)
    files.sync_folder(staged)
    files.move_folder(staged, layout.repository)


def write_keys(founding: Founding, layout: Layout, *, offline: Path | None = None) -> None:
    """Put only the keys on disk, for a repository that lies elsewhere.

    Raises:
        UsageError: there are keys already; nothing was changed.

    """
    offline = offline or layout.offline
    for folder in (offline, layout.online):
        _refuse_used(folder)
    _write_keys(offline, founding.offline)
    _write_keys(layout.online, founding.online)


def _refuse_used(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"{folder}: exists already; nothing was changed",
            hint="choose another folder; an interrupted ceremony leaves keys without a "
            "repository, which may be removed",
        )


def _write_keys(folder: Path, contents: Mapping[str, bytes]) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, data in contents.items():
        files.create(folder / name, data, mode=0o600)
