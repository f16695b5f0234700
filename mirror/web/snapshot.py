"""A repository as it is served at one moment: its timestamp, role expiries and blob index."""

import asyncio
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import msgspec

from keys.errors import Error, MissingError, StoreError
from keys.model import release as wire
from keys.model.release import Assurance
from mirror.fleet.entitlement import BlobIndex, ReleaseBlobs
from mirror.storage.base import ReadableStore
from mirror.web.layout import TIMESTAMP

MAX_ROLE_BYTES = 32 << 20
MAX_ROLES = 5000
MAX_ROOTS = 1024

_MANIFEST = re.compile(r"([a-z0-9][a-z0-9-]{0,62})/releases/([0-9]{1,16})\.json")


@dataclass(frozen=True, slots=True)
class Document:
    """Bytes kept in memory and the ETag that is their hash."""

    data: bytes
    etag: str

    @classmethod
    def of(cls, data: bytes) -> "Document":
        """Hash these bytes."""
        return cls(data, f'"{hashlib.sha256(data).hexdigest()}"')


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one timestamp names; replaced whole when another one is published."""

    stored: str  # the store's version of timestamp.json; empty: look again at what was damaged
    timestamp: Document
    version: int
    expires: Mapping[str, datetime]
    index: BlobIndex = field(default_factory=BlobIndex)
    releases: Mapping[str, ReleaseBlobs] = field(default_factory=dict)
    listed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Targets and their sha256, by role; not those of roles that list files."""
    versions: Mapping[str, int] = field(default_factory=dict)
    damaged: Mapping[str, str] = field(default_factory=dict)
    """Channels with a release that cannot be read, and why: nobody knows who may be served it."""

    @property
    def assurance(self) -> Mapping[str, Assurance]:
        """Tell the assurance of the newest release of each channel."""
        ordered = sorted(self.releases.values(), key=lambda one: one.sequence)
        return {one.channel: one.assurance for one in ordered}


class _Hashes(msgspec.Struct):
    hashes: dict[str, str] = {}


class _Version(_Hashes):
    version: int = 0


class _Signed(msgspec.Struct):
    version: int
    expires: datetime
    meta: dict[str, _Version] = {}
    targets: dict[str, _Hashes] = {}


class _Role(msgspec.Struct):
    signed: _Signed


class ReadAnew(Protocol):
    """Reads past what is kept on a disk of our own, and keeps that instead."""

    async def read_anew(self, name: str, *, max_bytes: int) -> bytes:
        """Return an object's bytes as the store has them.

        Raises:
            MissingError, LimitError, StoreError: as ``ReadableStore.read``.

        """
        ...


class SnapshotReader:
    """Reads one repository's snapshots; what the last one knew is not read again.

    A role that a disk of our own damaged is read anew.
    """

    def __init__(
        self, store: ReadableStore, repository: str, keeper: ReadAnew | None = None
    ) -> None:
        self._store = store
        self._folder = f"r/{repository}"
        self._keeper = keeper

    async def read(self, last: Snapshot | None) -> Snapshot | None:
        """Return the snapshot in force: ``last`` while nothing changed, None while there is none.

        Raises:
            StoreError: the store failed, or holds what is not a repository.

        """
        stat = await self._store.stat(f"{self._folder}/{TIMESTAMP}")
        if stat is None:
            return None
        if last is not None and stat.version == last.stored:
            return last
        timestamp = await self._bytes(TIMESTAMP)
        roles = await self._roles(timestamp)
        releases, damaged = await self._releases(roles, last.releases if last else {})
        index = await asyncio.to_thread(BlobIndex.of, releases.values(), damaged)
        return Snapshot(
            stored="" if damaged else stat.version,
            timestamp=Document.of(timestamp),
            version=roles["timestamp"].version,
            expires={name: role.expires for name, role in roles.items()},
            index=index,
            releases=releases,
            damaged=damaged,
            versions={name: role.version for name, role in roles.items()},
            listed={name: _pins(role) for name, role in roles.items() if not is_files_role(name)},
        )

    async def _roles(self, timestamp: bytes) -> dict[str, _Signed]:
        roles = {"timestamp": _decode(timestamp, TIMESTAMP)}
        snapshot = await self._role("snapshot", roles["timestamp"].meta["snapshot.json"])
        roles["snapshot"] = snapshot
        if len(snapshot.meta) > MAX_ROLES:
            raise StoreError(f"{self._folder}: more than MAX_ROLES={MAX_ROLES} roles")
        for file, meta in snapshot.meta.items():
            name = file.removesuffix(".json")
            roles[name] = await self._role(name, meta)
        roles["root"] = await self._newest_root()
        return roles

    async def _newest_root(self) -> _Signed:
        number = 1
        while number < MAX_ROOTS and await self._store.stat(self._root(number + 1)):
            number += 1
        return await self._role("root", _Version(version=number))

    def _root(self, number: int) -> str:
        return f"{self._folder}/metadata/{number}.root.json"

    async def _role(self, name: str, pinned: _Version) -> _Signed:
        what = f"{self._folder}/metadata/{pinned.version}.{name}.json"
        data = await self._bytes(what.removeprefix(f"{self._folder}/"))
        try:
            return _decode(_checked(data, pinned, what), what)
        except StoreError:
            if self._keeper is None:
                raise
        data = await self._keeper.read_anew(what, max_bytes=MAX_ROLE_BYTES)
        return _decode(_checked(data, pinned, what), what)

    async def _releases(
        self, roles: Mapping[str, _Signed], known: Mapping[str, ReleaseBlobs]
    ) -> tuple[dict[str, ReleaseBlobs], dict[str, str]]:
        """Read the manifests and file lists that are new; what is damaged stops no other."""
        releases: dict[str, ReleaseBlobs] = {}
        damaged: dict[str, str] = {}
        for name, channel in _manifests(roles.values()):
            try:
                releases[name] = known.get(name) or await self._release(name)
            except Error as exc:
                damaged[channel] = str(exc)
        return releases, damaged

    async def _release(self, name: str) -> ReleaseBlobs:
        data = await self._bytes(name, wire.MAX_MANIFEST_BYTES)
        manifest = wire.decode(data, wire.Manifest, f"{self._folder}/{name}")
        target = wire.file_list_target(manifest.channel, manifest.sequence)
        place = "targets/" + wire.blob_name(target, manifest.file_list.sha256)
        files = await asyncio.to_thread(
            wire.decode_file_list, await self._bytes(place, wire.MAX_FILE_LIST_BYTES), place
        )
        blobs = tuple(
            "targets/" + wire.blob_name(wire.file_target(manifest.channel, file.path), file.sha256)
            for file in (*files, *manifest.originals)
        )
        return ReleaseBlobs(
            manifest.published,
            blobs,
            channel=manifest.channel,
            sequence=manifest.sequence,
            redistribution=manifest.redistribution,
            content=manifest.content,
            assurance=manifest.assurance,
        )

    async def _bytes(self, name: str, max_bytes: int = MAX_ROLE_BYTES) -> bytes:
        try:
            return await self._store.read(f"{self._folder}/{name}", max_bytes=max_bytes)
        except MissingError as exc:
            raise StoreError(f"{self._folder}/{name}: named by signed metadata, missing") from exc


def is_files_role(name: str) -> bool:
    """Tell whether a role lists a release's files, for other TUF clients."""
    return name.endswith("-files")


def _pins(role: _Signed) -> dict[str, str]:
    return {target: pinned.hashes.get("sha256", "") for target, pinned in role.targets.items()}


def _manifests(roles: Iterable[_Signed]) -> Iterator[tuple[str, str]]:
    """List the manifests that roles name, by their place, with their channels."""
    for role in roles:
        for target, pinned in role.targets.items():
            if found := _MANIFEST.fullmatch(target):
                sha256 = pinned.hashes.get("sha256", "")
                yield f"targets/{wire.blob_name(target, sha256)}", found[1]


def _checked(data: bytes, pinned: _Hashes, what: str) -> bytes:
    """Return a role's bytes, if they are those that the role above it names."""
    sha256 = pinned.hashes.get("sha256")
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        raise StoreError(f"{what}: damaged")
    return data


def _decode(data: bytes, what: str) -> _Signed:
    try:
        return msgspec.json.decode(data, type=_Role).signed
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise StoreError(f"{what}: not signed metadata: {exc}") from exc
