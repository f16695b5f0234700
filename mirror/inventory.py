"""What a repository in force consists of, verified from its first root down to every manifest."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator
from dataclasses import dataclass, replace

from keys.errors import DigestError, StateError
from keys.model.fragment import FRAGMENT_TARGET
from keys.model.ignore import IGNORE_TARGET
from keys.model.release import (
    LICENCE_STATUS_TARGET,
    LicenceStatus,
    Manifest,
    Pin,
    decode,
    encode,
    file_list_target,
)
from keys.signing.publisher import Publisher, RoleFile
from keys.signing.state import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, State
from keys.trust import roles
from keys.trust.tuf_api import RepositoryError, Root
from mirror.repository import InForce, StoredRepository

_LAST = (SNAPSHOT, ROOT, TIMESTAMP)


@dataclass(frozen=True, slots=True)
class Inventory:
    """Role files in the order in which they are written, the timestamp last; blobs by target."""

    repository: str
    state: State
    files: tuple[RoleFile, ...]
    blobs: frozenset[tuple[str, Pin]]
    manifests: tuple[Manifest, ...]

    @property
    def version(self) -> int:
        """The version of the timestamp in force."""
        return self.state.version(TIMESTAMP)

    @property
    def first_root(self) -> RoleFile:
        """The root by which hosts recognise the repository."""
        return next(file for file in self.files if file.name == f"1.{ROOT}.json")

    @property
    def channels(self) -> set[str]:
        """The channels that anything was ever published in."""
        return {manifest.channel for manifest in self.manifests}

    def without(self, channels: Collection[str]) -> "Inventory":
        """Leave out channels' files; what leads to them stays, as for a visitor of a mirror."""
        gone = tuple(one for one in self.manifests if one.channel in channels)
        lists = {(file_list_target(one.channel, one.sequence), one.file_list) for one in gone}
        files = tuple(f"{channel}/files/" for channel in channels)
        blobs = (one for one in self.blobs if one in lists or not one[0].startswith(files))
        manifests = tuple(one for one in self.manifests if one not in gone)
        return replace(self, blobs=frozenset(blobs), manifests=manifests)


def told_to_all(inventory: Inventory) -> Iterator[str]:
    """Say what a site's own documents tell whoever reads its repository."""
    nothing = len(encode(LicenceStatus(())))
    words = {
        FRAGMENT_TARGET: "names of hosts, and the settings that are set for them",
        IGNORE_TARGET: "which signatures hosts ignore",
        LICENCE_STATUS_TARGET: "names and dates of licences",
    }
    for target, pin in sorted(inventory.blobs, key=lambda one: one[0]):
        if target in words and not (target == LICENCE_STATUS_TARGET and pin.length <= nothing):
            yield f"{words[target]} ({target})"


async def read_inventory(repository: StoredRepository) -> Inventory:
    """Read what is in force; all of it is verified, down to the manifests.

    Raises:
        Error: as of ``read_roles``.

    """
    state, files = await read_roles(repository)
    blobs, manifests = await _leaves(repository, state)
    return Inventory(repository.name, state, files, frozenset(blobs), tuple(manifests))


async def read_roles(repository: StoredRepository) -> tuple[State, tuple[RoleFile, ...]]:
    """Read every role in force, and every root: verified, in the order of ``Inventory.files``.

    Expired metadata is taken as it is: a repository that nobody signed for a while is moved, too.

    Raises:
        StateError: there is no repository, or it was never published.
        TrustError: something is not what its keys vouch for.
        StoreError: something is missing.

    """
    in_force = await repository.in_force()
    state = await asyncio.to_thread(State.verified, in_force.metadata)
    if TIMESTAMP not in state:
        raise StateError(f"repository {repository.name}: was never published")
    files = [
        *(_in_force(state, role) for role in sorted(set(state) - set(_LAST))),
        *[file async for file in _listed_targets(repository, state)],
        _in_force(state, SNAPSHOT),
        *[file async for file in _roots(repository, in_force)],
        _in_force(state, TIMESTAMP),
    ]
    return state, tuple(files)


def _in_force(state: State, role: str) -> RoleFile:
    return RoleFile(f"{state.version(role)}.{role}.json", state.data[role])


async def _listed_targets(repository: StoredRepository, state: State) -> AsyncIterator[RoleFile]:
    """Read the targets that clients load, where a ceremony has signed newer ones meanwhile."""
    if state.is_behind():
        listed = state.snapshot.meta[f"{TARGETS}.json"]
        name = f"{listed.version}.{TARGETS}.json"
        data = await repository.role(name)
        try:
            listed.verify_length_and_hashes(data)
        except RepositoryError as exc:
            raise DigestError(f"{name}: not the bytes the snapshot lists: {exc}") from exc
        yield RoleFile(name, data)


async def _roots(repository: StoredRepository, in_force: InForce) -> AsyncIterator[RoleFile]:
    """Read every root there ever was; each is vouched for by the one before."""
    trusted: Root | None = None
    for version in range(1, in_force.taken[ROOT] + 1):
        name = f"{version}.{ROOT}.json"
        data = await repository.role(name)
        what = f"repository {repository.name}: {name}"
        if trusted is None:
            metadata = roles.parse(data, Root, what)
            trusted = roles.verify(metadata, metadata.signed, ROOT, what)
        else:
            trusted = roles.next_root(data, trusted, what)
        yield RoleFile(name, data)


async def _leaves(
    repository: StoredRepository, state: State
) -> tuple[set[tuple[str, Pin]], list[Manifest]]:
    """Follow what roles list down to the files of every release."""
    publisher = Publisher(state.data, {})
    blobs: set[tuple[str, Pin]] = set()
    manifests: list[Manifest] = []
    for role in state.delegated():
        for target, pin in publisher.pins(role).items():
            blobs.add((target, pin))
            if target.startswith(f"{role}/releases/"):
                data = await repository.read(target, pin, max_bytes=pin.length)
                manifests.append(decode(data, Manifest, target))
                blobs.update(await repository.contents(manifests[-1]))
    return blobs, manifests
