"""A verified release becomes part of a signed repository: files, list, manifest, roles, timestamp.

Everything a role lists is in the store before the role is; the timestamp comes last. Whatever
happens in between leaves the repository that was there.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from keys.model.names import check_channel, check_unique
from keys.model.release import (
    File,
    Manifest,
    Pin,
    encode_file_list,
    file_list_target,
    file_target,
)
from keys.signing.delegations import POLICY, files_role
from keys.signing.publisher import Changes, Publisher, RoleFile
from keys.signing.state import TIMESTAMP
from mirror.catalogue import Catalogue, read_catalogue
from mirror.journal import Entry, Journal
from mirror.repository import InForce, StoredRepository
from mirror.rollout import STABLE, Entitlement, kept, next_sequence
from mirror.upstream.base import Candidate

Sign = Callable[[Mapping[str, bytes]], Publisher]
"""Open the repository's signer on the metadata in force."""


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants something published, and why."""

    who: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Published:
    """What a publish came to."""

    channel: str
    track: str
    sequence: int
    release: str
    changed: bool
    new_bytes: int = 0
    files: int = 0


@dataclass(frozen=True, slots=True)
class _Edition:
    """The state one publish builds on."""

    in_force: InForce
    publisher: Publisher
    now: datetime


class Publishing:
    """Everything that signs one repository."""

    def __init__(
        self,
        repository: StoredRepository,
        sign: Sign,
        journal: Journal,
        *,
        keep_releases: int,
        entitlements: Callable[[], Iterable[Entitlement]] = tuple,
    ) -> None:
        self._repository = repository
        self._sign = sign
        self._journal = journal
        self._keep = keep_releases
        self._entitlements = entitlements

    async def release(
        self, candidate: Candidate, *, channel: str, track: str, engine: str, by: Order,
        now: datetime, move_track: bool = False,
    ) -> Published:  # fmt: skip
        """Publish a release to a track, unless the channel's latest one has the same files.

        With ``move_track`` the track is then pointed at that one, should it point elsewhere.

        Raises:
            NameRefusedError: the channel or a file has a name that must not be published.
            StoreError, StateError, LockedError: nothing was published.

        """
        check_unique(file.path for file in candidate.files)
        async with self._editing(now) as edition:
            catalogue = await self._catalogue(edition, check_channel(channel))
            latest = catalogue.latest
            if latest and await self._is_same(latest, candidate):
                if move_track and catalogue.pointed(track) != latest.sequence:
                    return await self._point(edition, catalogue, track, latest.sequence, by)
                return _published(latest, track, changed=False)
            new_bytes = await self._add_files(channel, candidate)
            manifest = await self._add_list(catalogue, candidate, engine, now)
            grown = catalogue.with_release(manifest).with_track(track, manifest.sequence)
            entry = _entry("release", edition, by, manifest, track)
            await self._commit(edition, entry, await self._channel_targets(edition, grown))
        return _published(
            manifest, track, changed=True, new_bytes=new_bytes, files=len(candidate.files)
        )

    async def point(
        self, channel: str, track: str, sequence: int, *, by: Order, now: datetime
    ) -> Published:
        """Point a track at a release that is kept, an older one too.

        Raises:
            MissingError: there is no such release.
            StoreError, StateError, LockedError: nothing was published.

        """
        async with self._editing(now) as edition:
            catalogue = await self._catalogue(edition, check_channel(channel))
            if catalogue.pointed(track) == sequence:
                return _published(catalogue.releases[sequence], track, changed=False)
            return await self._point(edition, catalogue, track, sequence, by)

    async def policy(self, documents: Mapping[str, bytes], *, by: Order, now: datetime) -> bool:
        """Set targets of the role ``policy``; tell whether any of them changed."""
        async with self._editing(now) as edition:
            before = edition.publisher.pins(POLICY)
            after = {**before, **{target: Pin.of(data) for target, data in documents.items()}}
            if after == before:
                return False
            for target, data in documents.items():
                await self._repository.add(target, Pin.of(data), data)
            entry = _entry("policy", edition, by)
            await self._commit(edition, entry, {POLICY: after})
        return True

    async def renew(self, *, by: Order, now: datetime) -> tuple[str, ...]:
        """Sign anew what is due, repairing an expired repository; return the roles' names."""
        async with self._editing(now) as edition:
            due = edition.publisher.due(now=now)
            if due:
                await self._commit(edition, _entry("renew", edition, by, roles=due), {})
        return due

    @contextlib.asynccontextmanager
    async def _editing(self, now: datetime) -> AsyncIterator[_Edition]:
        async with self._repository.writing():
            in_force = await self._repository.in_force()
            publisher = await asyncio.to_thread(self._sign, in_force.metadata)
            await self._repository.repair(in_force)
            yield _Edition(in_force, publisher, now)

    async def _catalogue(self, edition: _Edition, channel: str) -> Catalogue:
        return await read_catalogue(self._repository, channel, edition.publisher.pins(channel))

    async def _is_same(self, latest: Manifest, candidate: Candidate) -> bool:
        listed = await self._repository.files(latest)
        return _content(listed) == _content(candidate.files)

    async def _add_files(self, channel: str, candidate: Candidate) -> int:
        """Put the files into the store; return the bytes that were new."""
        new_bytes = 0
        for file in (*candidate.files, *candidate.originals):
            target = file_target(channel, file.path)
            if await self._repository.add(target, file.pin, candidate.folder / file.path):
                new_bytes += file.length
        return new_bytes

    async def _add_list(
        self, catalogue: Catalogue, candidate: Candidate, engine: str, now: datetime
    ) -> Manifest:
        """Put the file list into the store and write the manifest that pins it."""
        sequence = next_sequence(catalogue.releases)
        data = encode_file_list(candidate.files)
        pin = Pin.of(data)
        await self._repository.add(file_list_target(catalogue.channel, sequence), pin, data)
        return Manifest(
            format=1,
            channel=catalogue.channel,
            sequence=sequence,
            release=candidate.release,
            published=now.replace(microsecond=0),
            vendor_time=candidate.vendor_time,
            assurance=candidate.assurance,
            engine=engine,
            provenance=candidate.provenance,
            file_list=pin,
            originals=candidate.originals,
        )

    async def _point(
        self, edition: _Edition, catalogue: Catalogue, track: str, sequence: int, by: Order
    ) -> Published:
        moved = catalogue.with_track(track, sequence)
        manifest = moved.releases[sequence]
        entry = _entry("point", edition, by, manifest, track)
        await self._commit(edition, entry, await self._channel_targets(edition, moved))
        return _published(manifest, track, changed=True)

    async def _channel_targets(
        self, edition: _Edition, catalogue: Catalogue
    ) -> dict[str, Mapping[str, Pin]]:
        """Put manifests and pointers into the store; return what the channel's roles list."""
        documents = self._trimmed(catalogue).documents()
        pins = {target: Pin.of(data) for target, data in documents.items()}
        known = edition.publisher.pins(catalogue.channel)
        for target, pin in pins.items():
            if known.get(target) != pin:
                await self._repository.add(target, pin, documents[target])
        return {
            catalogue.channel: pins,
            files_role(catalogue.channel): await self._stable_files(catalogue),
        }

    def _trimmed(self, catalogue: Catalogue) -> Catalogue:
        published = {number: manifest.published for number, manifest in catalogue.releases.items()}
        pointed = (pointer.sequence for pointer in catalogue.tracks.values())
        return catalogue.keeping(kept(published, pointed, self._entitlements(), keep=self._keep))

    async def _stable_files(self, catalogue: Catalogue) -> dict[str, Pin]:
        """List stable's files, for TUF clients that know nothing of manifests."""
        sequence = catalogue.pointed(STABLE)
        if sequence is None:
            return {}
        files = await self._repository.files(catalogue.releases[sequence])
        return {file_target(catalogue.channel, file.path): file.pin for file in files}

    async def _commit(
        self, edition: _Edition, entry: Entry, targets: Mapping[str, Mapping[str, Pin]]
    ) -> tuple[RoleFile, ...]:
        changes = Changes(targets, edition.in_force.taken)
        signed = await asyncio.to_thread(edition.publisher.publish, changes, now=edition.now)
        await self._journal.append(entry)
        await self._repository.commit(signed)
        return signed


def _content(files: Iterable[File]) -> dict[str, Pin]:
    return {file.path: file.pin for file in files}


def _entry(
    what: str, edition: _Edition, by: Order, manifest: Manifest | None = None, track: str = "",
    roles: tuple[str, ...] = (),
) -> Entry:  # fmt: skip
    return Entry(
        at=edition.now,
        who=by.who,
        why=by.why,
        what=what,
        timestamp=edition.in_force.taken.get(TIMESTAMP, 0) + 1,
        channel=manifest.channel if manifest else "",
        track=track,
        sequence=manifest.sequence if manifest else 0,
        release=manifest.release if manifest else "",
        roles=roles,
    )


def _published(
    manifest: Manifest, track: str, *, changed: bool, new_bytes: int = 0, files: int = 0
) -> Published:
    return Published(
        manifest.channel, track, manifest.sequence, manifest.release, changed, new_bytes, files
    )
