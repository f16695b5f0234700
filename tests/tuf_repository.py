"""A whole signed repository in memory, for tests: it signs, it is served, it misbehaves on order.

``SignedRepository`` holds the roles as TUF objects. Change one, then ``publish`` it: the version
rises, the role is signed, and its file joins ``files``, which is the tree a static server would
serve. It is a ``MetadataSource`` itself and counts what it is asked for.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from keys.errors import LimitError, MissingError
from keys.model import release
from keys.model.release import Assurance, Content, File, Manifest, Pin, Pointer, Provenance
from keys.trust.tuf_api import (
    CryptoSigner,
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)

VALIDITY = timedelta(days=30)
TOP_LEVEL = ("root", "timestamp", "snapshot", "targets")
DEPTHS = range(1, 9)


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


class SignedRepository:
    """One repository: ``publish(role)`` signs the next version of a role and lists it above."""

    def __init__(self, *, at: datetime | None = None, consistent: bool = True) -> None:
        expires = (at or now()) + VALIDITY
        self.expires = expires
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.list_hashes = False
        self.signers: dict[str, list[CryptoSigner]] = {}
        self.roles: dict[str, Metadata[Any]] = {
            "root": Metadata(Root(expires=expires, consistent_snapshot=consistent)),
            "timestamp": Metadata(Timestamp(expires=expires)),
            "snapshot": Metadata(Snapshot(expires=expires)),
            "targets": Metadata(Targets(expires=expires)),
        }
        for role in TOP_LEVEL:
            self.add_key(role)
        self.publish("root", "targets", "snapshot", "timestamp")

    @property
    def root(self) -> Root:
        signed = self.roles["root"].signed
        assert isinstance(signed, Root)
        return signed

    @property
    def timestamp(self) -> Timestamp:
        signed = self.roles["timestamp"].signed
        assert isinstance(signed, Timestamp)
        return signed

    @property
    def snapshot(self) -> Snapshot:
        signed = self.roles["snapshot"].signed
        assert isinstance(signed, Snapshot)
        return signed

    def targets(self, role: str = "targets") -> Targets:
        signed = self.roles[role].signed
        assert isinstance(signed, Targets)
        return signed

    @property
    def first_root(self) -> bytes:
        return self.files["metadata/1.root.json"]

    def newest(self, role: str) -> bytes:
        """Return the bytes published last for a role."""
        return self.files[f"metadata/{self._file_name(role)}"]

    def add_key(self, role: str, signer: CryptoSigner | None = None) -> CryptoSigner:
        """Let one more key sign a top-level role."""
        signer = signer or CryptoSigner.generate_ed25519()
        self.root.add_key(signer.public_key, role)
        self.signers.setdefault(role, []).append(signer)
        return signer

    def rotate(self, role: str) -> None:
        """Replace the keys of a top-level role by one new key (publish the root afterwards)."""
        for keyid in list(self.root.roles[role].keyids):
            self.root.revoke_key(keyid, role)
        if role != "root":
            self.signers[role] = []
        self.add_key(role)

    def delegate(
        self,
        delegator: str,
        role: str,
        paths: Iterable[str] = ("*",),
        *,
        terminating: bool = False,
        prefixes: list[str] | None = None,
        signer: CryptoSigner | None = None,
    ) -> None:
        """Delegate paths (or hash prefixes) to a role, which is made when it is new."""
        targets = self.targets(delegator)
        if targets.delegations is None:
            targets.delegations = Delegations({}, roles={})
        assert targets.delegations.roles is not None
        targets.delegations.roles[role] = DelegatedRole(
            role, [], 1, terminating, None if prefixes else list(paths), prefixes
        )
        signer = signer or CryptoSigner.generate_ed25519()
        targets.add_key(signer.public_key, role)
        self.signers.setdefault(role, []).append(signer)
        self.roles.setdefault(role, Metadata(Targets(expires=self.expires)))

    def delegate_bins(self, delegator: str, bit_length: int, prefix: str) -> None:
        """Delegate everything to succinct hash bins with one key."""
        signer = CryptoSigner.generate_ed25519()
        bins = SuccinctRoles([], 1, bit_length, prefix)
        targets = self.targets(delegator)
        targets.delegations = Delegations({}, succinct_roles=bins)
        targets.add_key(signer.public_key)
        for role in bins.get_roles():
            self.roles[role] = Metadata(Targets(expires=self.expires))
            self.signers[role] = [signer]

    def add_target(self, role: str, path: str, data: bytes) -> Pin:
        """List a target in a role and lay its bytes where a client looks for them."""
        pin = Pin.of(data)
        self.targets(role).targets[path] = TargetFile(pin.length, {"sha256": pin.sha256}, path)
        place = release.blob_name(path, pin.sha256) if self.root.consistent_snapshot else path
        self.files[f"targets/{place}"] = data
        return pin

    def publish(self, *roles: str) -> None:
        """Sign the next version of each role, in this order, and list it in the role above."""
        for role in roles:
            metadata = self.roles[role]
            if self._is_published(role):
                metadata.signed.version += 1
            self.resign(role)

    def publish_all(self) -> None:
        """Publish everything but the root, in an order that leaves each role listed."""
        delegated = [role for role in self.roles if role not in TOP_LEVEL]
        self.publish(*delegated, "targets", "snapshot", "timestamp")

    def resign(self, role: str) -> None:
        """Sign a role as it stands, its version unchanged."""
        metadata = self.roles[role]
        metadata.signatures.clear()
        for signer in self.signers[role]:
            metadata.sign(signer, append=True)
        data = metadata.to_bytes()
        version = metadata.signed.version
        if role != "timestamp" and (role == "root" or self.root.consistent_snapshot):
            self.files[f"metadata/{version}.{self._file_name(role)}"] = data
        self.files[f"metadata/{self._file_name(role)}"] = data
        self._list(role, version, data)

    def _list(self, role: str, version: int, data: bytes) -> None:
        pin = Pin.of(data) if self.list_hashes else None
        meta = MetaFile(version, pin.length, {"sha256": pin.sha256}) if pin else MetaFile(version)
        if role == "snapshot":
            self.timestamp.snapshot_meta = meta
        elif role not in TOP_LEVEL or role == "targets":
            self.snapshot.meta[f"{role}.json"] = meta

    def _is_published(self, role: str) -> bool:
        return f"metadata/{self._file_name(role)}" in self.files

    @staticmethod
    def _file_name(role: str) -> str:
        return f"{quote(role, safe='')}.json"

    def read(self, name: str, *, max_bytes: int) -> bytes:
        """Serve a metadata file: the promise of ``MetadataSource``."""
        self.requests.append(name)
        data = self.files.get(f"metadata/{name}")
        if data is None:
            raise MissingError(f"{name}: not there")
        if len(data) > max_bytes:
            raise LimitError(f"{name}: more than {max_bytes} bytes")
        return data

    def read_target(self, target: str, pin: Pin, max_bytes: int) -> bytes:
        """Serve a target."""
        self.requests.append(target)
        data = self.files.get(f"targets/{release.blob_name(target, pin.sha256)}")
        if data is None:
            raise MissingError(f"{target}: not there")
        assert len(data) <= max_bytes
        return data

    def write_to(self, folder: Path) -> None:
        """Lay the tree out as a static server serves it."""
        for name, data in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


class ChannelRepository(SignedRepository):
    """A repository with the roles of a mirror: targets, then channels, then one per channel."""

    def __init__(self, *channels: str, at: datetime | None = None) -> None:
        super().__init__(at=at)
        self.delegate("targets", "channels", self._depths("*"), terminating=True)
        self.delegate("channels", "policy", ("policy/*", "policy/*/*"), terminating=True)
        for channel in channels:
            paths = (f"{channel}/releases/*", f"{channel}/tracks/*")
            self.delegate("channels", channel, paths, terminating=True)
        self.publish_all()

    @staticmethod
    def _depths(pattern: str) -> tuple[str, ...]:
        return tuple("/".join([pattern] * depth) for depth in DEPTHS)

    def release(
        self,
        channel: str,
        files: Mapping[str, bytes],
        *,
        sequence: int,
        published: datetime | None = None,
        engine: str = "",
        track: str = "stable",
        content: Content = "definitions",
    ) -> Manifest:
        """Publish a release with these files and point a track at it."""
        listed = tuple(
            File(path, Pin.of(data).sha256, len(data)) for path, data in sorted(files.items())
        )
        for file, data in zip(listed, (files[file.path] for file in listed), strict=True):
            self._lay(release.file_target(channel, file.path), data)
        file_list = release.encode_file_list(listed)
        self._lay(release.file_list_target(channel, sequence), file_list)
        manifest = Manifest(
            format=1,
            channel=channel,
            sequence=sequence,
            release=f"release {sequence}",
            published=published or now(),
            vendor_time=None,
            assurance=Assurance.none,
            engine=engine,
            provenance=Provenance("test"),
            file_list=Pin.of(file_list),
            content=content,
        )
        target = release.manifest_target(channel, sequence)
        self.add_target(channel, target, release.encode(manifest))
        self.point(channel, track, sequence)
        return manifest

    def point(self, channel: str, track: str, sequence: int) -> None:
        """Point a track at a release and publish what that changes."""
        manifest = self.targets(channel).targets[release.manifest_target(channel, sequence)]
        pointer = Pointer(sequence, manifest.hashes["sha256"])
        self.add_target(channel, release.track_target(channel, track), release.encode(pointer))
        self.publish(channel, "snapshot", "timestamp")

    def _lay(self, target: str, data: bytes) -> None:
        self.files[f"targets/{release.blob_name(target, Pin.of(data).sha256)}"] = data
