"""A verified release becomes part of a signed repository: files, list, manifest, roles, timestamp.

Everything a role lists is in the store before the role is; the timestamp comes last. Whatever
happens in between leaves the repository that was there.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from keys.model import rollout
from keys.model.names import check_channel, check_unique
from keys.model.release import (
    Manifest,
    Pin,
    Pointer,
    file_target,
)
from keys.signing.delegations import files_role
from keys.signing.minisign import SidecarSigner
from mirror.catalogue import Catalogue, read_catalogue, read_pointers
from mirror.edition import Edition, Editions, Order
from mirror.intake import NO_LABEL, Label, add_files, add_list, is_same
from mirror.orders import first_moved
from mirror.rollout import STABLE, Entitlement, kept
from mirror.shrink import ShrunkError, Size, shrink_of
from mirror.sidecars import add_sidecars
from mirror.upstream.base import Candidate


@dataclass(frozen=True, slots=True)
class Published:
    """What a publish came to; ``held`` is why no track moved, where one is held."""

    channel: str
    track: str
    sequence: int
    release: str
    changed: bool
    new_bytes: int = 0
    files: int = 0
    held: str = ""


Retrack = Callable[[Mapping[str, Pointer], Mapping[int, Pointer]], Mapping[str, Pointer]]
"""Take a channel's tracks and its releases; return the tracks as they shall be."""


class Publishing:
    """Publishes releases and moves tracks."""

    def __init__(
        self,
        editions: Editions,
        *,
        keep_releases: int,
        entitlements: Callable[[], Iterable[Entitlement]] = tuple,
        sidecars: Callable[[], SidecarSigner | None] = lambda: None,
        hold_below_percent: int = 0,
    ) -> None:
        self._editions = editions
        self._keep = keep_releases
        self._entitlements = entitlements
        self._sidecars = sidecars
        self._hold_below_percent = hold_below_percent

    def holding(self, below_percent: int) -> "Publishing":
        """Return one that publishes no release that shrinks below this share of the last one."""
        return Publishing(
            self._editions,
            keep_releases=self._keep,
            entitlements=self._entitlements,
            sidecars=self._sidecars,
            hold_below_percent=below_percent,
        )

    async def release(
        self, candidate: Candidate, *, channel: str, track: str, by: Order, now: datetime,
        label: Label = NO_LABEL, move_track: bool = False,
    ) -> Published:  # fmt: skip
        """Publish a release to a track, unless the latest one has the same files and terms.

        With ``move_track`` the track is then pointed at that one, should it point elsewhere.

        Raises:
            NameRefusedError: the channel or a file has a name that must not be published.
            ShrunkError: it shrinks below ``hold_below_percent`` of what the track offers.
            StoreError, StateError, LockedError: nothing was published.

        """
        check_unique(file.path for file in candidate.files)
        async with self._editions.editing(by, now=now) as edition:
            catalogue = await _read(edition, channel)
            latest = catalogue.latest
            if latest and await is_same(edition, latest, candidate, label):
                if move_track and catalogue.pointed(track) != latest.sequence:
                    return await self._point(edition, catalogue, track, latest.sequence)
                return _published(latest, track, changed=False)
            await self._check_size(edition, catalogue, track, candidate)
            new_bytes = await add_files(edition, channel, candidate)
            manifest = await self._manifest(edition, catalogue, candidate, label)
            grown = catalogue.with_release(manifest)
            if reason := rollout.held(catalogue.tracks.get(track)):
                track = ""
            else:
                grown = grown.with_track(track, manifest.sequence)
            entry = edition.entry("release", track=track, manifest=manifest)
            await edition.commit(entry, await self._targets(edition, grown))
        return _published(
            manifest, track, changed=True, new_bytes=new_bytes, files=len(candidate.files),
            held=reason,
        )  # fmt: skip

    async def _manifest(
        self, edition: Edition, catalogue: Catalogue, candidate: Candidate, label: Label
    ) -> Manifest:
        """Put the file list, and the files' signatures, into the store; write what pins them."""
        manifest = await add_list(edition, catalogue, candidate, label)
        signer = await asyncio.to_thread(self._sidecars)
        if signer is None:
            return manifest
        pin = await add_sidecars(
            edition.repository, candidate, signer,
            channel=manifest.channel, sequence=manifest.sequence,
            last=catalogue.latest, now=edition.now,
        )  # fmt: skip
        return msgspec.structs.replace(manifest, sidecars=pin)

    async def _check_size(
        self, edition: Edition, catalogue: Catalogue, track: str, candidate: Candidate
    ) -> None:
        """Compare with what the track offers, or with the latest release."""
        last = catalogue.releases.get(catalogue.pointed(track) or 0) or catalogue.latest
        if last is None:
            return
        before = Size.of(await edition.repository.files(last), last.signatures)
        after = Size.of(candidate.files, candidate.signatures)
        if shrink := shrink_of(before, after, below_percent=self._hold_below_percent):
            what = f"release {candidate.release} of channel {catalogue.channel}"
            raise ShrunkError(shrink, what)

    async def point(
        self, channel: str, track: str, sequence: int, *, by: Order, now: datetime
    ) -> Published:
        """Point a track at a release that is kept, an older one too.

        Raises:
            MissingError: there is no such release.
            StoreError, StateError, LockedError: nothing was published.

        """
        async with self._editions.editing(by, now=now) as edition:
            catalogue = await _read(edition, channel)
            if catalogue.pointed(track) == sequence:
                return _published(catalogue.releases[sequence], track, changed=False)
            return await self._point(edition, catalogue, track, sequence)

    async def pointers(self, channel: str) -> tuple[dict[str, Pointer], dict[int, Pointer]]:
        """Return where a channel's tracks point, and its releases by sequence.

        Raises:
            StateError, StoreError: the repository cannot be read.

        """
        return await read_pointers(self._editions.repository, check_channel(channel))

    async def retrack(
        self, channel: str, what: str, change: Retrack, *, by: Order, now: datetime
    ) -> bool:
        """Let a channel's tracks be what ``change`` makes of them; tell whether they differ.

        Raises:
            Error: what ``change`` raises; nothing was published.

        """
        async with self._editions.editing(by, now=now) as edition:
            catalogue = await _read(edition, channel)
            tracks = change(catalogue.tracks, catalogue.pointers)
            if tracks == catalogue.tracks:
                return False
            told = first_moved(catalogue.tracks, tracks)
            entry = edition.entry(what, channel=channel, track=told[0], sequence=told[1])
            changed = replace(catalogue, tracks=tracks)
            await edition.commit(entry, await self._targets(edition, changed))
        return True

    async def _point(
        self, edition: Edition, catalogue: Catalogue, track: str, sequence: int
    ) -> Published:
        moved = catalogue.with_track(track, sequence)
        manifest = moved.releases[sequence]
        entry = edition.entry("point", track=track, manifest=manifest)
        await edition.commit(entry, await self._targets(edition, moved))
        return _published(manifest, track, changed=True)

    async def _targets(
        self, edition: Edition, catalogue: Catalogue
    ) -> dict[str, Mapping[str, Pin]]:
        """Put manifests and pointers into the store; return what the channel's roles list."""
        documents = self._trimmed(catalogue).documents()
        pins = {target: Pin.of(data) for target, data in documents.items()}
        known = edition.pins(catalogue.channel)
        for target, pin in pins.items():
            if known.get(target) != pin:
                await edition.repository.add(target, pin, documents[target])
        files = await _stable_files(edition, catalogue)
        return {catalogue.channel: pins, files_role(catalogue.channel): files}

    def _trimmed(self, catalogue: Catalogue) -> Catalogue:
        published = {number: manifest.published for number, manifest in catalogue.releases.items()}
        needed = kept(published, catalogue.needed, self._entitlements(), keep=self._keep)
        return catalogue.keeping(needed)


async def _read(edition: Edition, channel: str) -> Catalogue:
    listed = edition.pins(check_channel(channel))
    return await read_catalogue(edition.repository, channel, listed)


async def _stable_files(edition: Edition, catalogue: Catalogue) -> dict[str, Pin]:
    """List stable's files, for TUF clients that know nothing of manifests."""
    sequence = catalogue.pointed(STABLE)
    if sequence is None:
        return {}
    files = await edition.repository.files(catalogue.releases[sequence])
    return {file_target(catalogue.channel, file.path): file.pin for file in files}


def _published(
    manifest: Manifest, track: str, *, changed: bool, new_bytes: int = 0, files: int = 0,
    held: str = "",
) -> Published:  # fmt: skip
    return Published(
        manifest.channel, track, manifest.sequence, manifest.release, changed, new_bytes, files,
        held,
    )  # fmt: skip
