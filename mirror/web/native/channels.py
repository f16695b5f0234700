"""Channels as they are offered here, read from documents that signed metadata pins.

A channel whose documents are damaged is told of, and keeps no other from being read.
"""

import hashlib
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime
from typing import TypeVar

from keys.errors import Error, MissingError, StoreError
from keys.model import release as wire
from keys.model import rollout
from keys.model.release import Manifest, Pointer, Policy
from mirror.offers import Offer
from mirror.rollout import STABLE
from mirror.settings import SITE
from mirror.web.hot import HotRepository
from mirror.web.layout import Kind, Place
from mirror.web.snapshot import Snapshot

_RELEASE = re.compile(r"([a-z0-9][a-z0-9-]{0,62})/releases/([1-9][0-9]{0,15})\.json")

T = TypeVar("T")


class ChannelReader:
    """Reads every channel of some repositories."""

    def __init__(self, repositories: Mapping[str, HotRepository]) -> None:
        self._repositories = repositories

    async def offers(self) -> AsyncIterator[Offer]:
        """Read them all, as the repositories are now."""
        for repository in self._repositories.values():
            for channel in _channels(repository.snapshot):
                try:
                    yield await self._offer(repository, channel)
                except Error as exc:
                    problem = f"repository {repository.name}: channel {channel}: {exc}"
                    yield Offer(repository.name, channel, problem=problem)

    async def _offer(self, repository: HotRepository, channel: str) -> Offer:
        assert repository.snapshot is not None  # noqa: S101 - it has channels
        listed = repository.snapshot.listed.get(channel, {})
        releases = {}
        for target, sha256 in listed.items():
            found = _RELEASE.fullmatch(target)
            if found and found[1] == channel:
                number = int(found[2])
                releases[number] = await _manifest(repository, channel, number, sha256)
        pointer = await self._pointer(repository, channel, listed)
        if pointer is None:
            return Offer(repository.name, channel, None, releases)
        sequence, sha256 = pointer.sequence, pointer.manifest_sha256
        pointed = await _manifest(repository, channel, sequence, sha256)
        return Offer(
            repository.name,
            channel,
            pointed,
            {**releases, sequence: pointed},
            since=await self._since(repository, channel),
            withdrawn=rollout.withdrawn(pointer),
        )

    async def _since(self, repository: HotRepository, channel: str) -> datetime | None:
        """Tell after which time nothing changed that decides what a channel offers."""
        times = [await repository.signed_at(channel)]
        site = self._repositories.get(SITE)
        if site and site is not repository:
            times.append(await site.signed_at("policy"))
        return max((time for time in times if time), default=None)

    async def _pointer(
        self, repository: HotRepository, channel: str, listed: Mapping[str, str]
    ) -> Pointer | None:
        """Tell the release in force: the site's choice, where it made one, else the vendor's."""
        site = self._repositories.get(SITE)
        if site and site.snapshot and repository is not site:
            chosen = wire.policy_target(repository.name, channel)
            if sha256 := site.snapshot.listed.get("policy", {}).get(chosen):
                policy = await _decoded(site, chosen, sha256, Policy)
                return policy.tracks.get(STABLE)
        target = wire.track_target(channel, STABLE)
        if sha256 := listed.get(target):
            return await _decoded(repository, target, sha256, Pointer)
        return None


def _channels(snapshot: Snapshot | None) -> Iterator[str]:
    """List the channels of a repository: the roles that list releases of their own name."""
    for role, listed in snapshot.listed.items() if snapshot else ():
        if any(target.startswith(f"{role}/releases/") for target in listed):
            yield role


async def _manifest(
    repository: HotRepository, channel: str, sequence: int, sha256: str
) -> Manifest:
    target = wire.manifest_target(channel, sequence)
    manifest = await _decoded(repository, target, sha256, Manifest)
    if (manifest.channel, manifest.sequence) != (channel, sequence):
        raise StoreError(f"{target}: is of {manifest.channel} release {manifest.sequence}")
    return manifest


async def _decoded(repository: HotRepository, target: str, sha256: str, kind: type[T]) -> T:
    return wire.decode(
        await pinned(repository, target, sha256, wire.MAX_MANIFEST_BYTES), kind, target
    )


async def pinned(repository: HotRepository, target: str, sha256: str, max_bytes: int) -> bytes:
    """Return a document's bytes.

    Raises:
        StoreError: missing or damaged.

    """
    place = Place(
        repository.name, f"targets/{wire.blob_name(target, sha256)}", Kind.document, sha256
    )
    try:
        data = await repository.read(place, max_bytes=max_bytes)
    except MissingError as exc:
        raise StoreError(f"{target}: named by signed metadata, missing") from exc
    if hashlib.sha256(data).hexdigest() != sha256:
        raise StoreError(f"{target}: damaged in the store")
    return data
