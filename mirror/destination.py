"""Where releases go: to their track, or on hold when they shrink too much."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from keys.errors import MissingError
from keys.model.release import Pointer, manifest_target
from keys.signing.publisher import Publisher
from mirror.cascade import pass_through
from mirror.edition import Order
from mirror.feeds import UpstreamSettings
from mirror.hold import Hold, new_hold
from mirror.holds import Holds
from mirror.intake import Label
from mirror.policy import Policies
from mirror.publish import Published, Publishing
from mirror.pulls import Result
from mirror.repository import StoredRepository
from mirror.rollout import first_track
from mirror.shrink import Shrink, ShrunkError, Size, shrink_of
from mirror.upstream.base import Advance, Candidate


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the releases of one upstream go; ``cascaded`` is the repository it passes through."""

    settings: UpstreamSettings
    publishing: Publishing
    policies: Policies
    holds: Holds
    cascaded: StoredRepository
    canary: Sequence[str] = ()

    async def publish(
        self, candidate: Candidate, *, version: str, by: Order, now: datetime
    ) -> Result:
        """Publish a release, or hold it; what was held before gives way.

        Raises:
            Error: as of ``Publishing.release``.

        """
        settings = self.settings
        publishing = self.publishing.holding(settings.hold_below_percent)
        try:
            published = await self._release(publishing, candidate, settings.channel, by, now)
        except ShrunkError as exc:
            hold = new_hold(
                settings.name, settings.channel, version, candidate.release, exc.shrink, now
            )
            known = await asyncio.to_thread(self.holds.known, hold, candidate)
            if known is None:
                await asyncio.to_thread(self.holds.put, hold, candidate, who=by.who)
            met = known or hold
            return Result(settings.name, met.outcome, met.release, detail=str(met))
        await asyncio.to_thread(self.holds.forget, settings.name, settings.channel)
        return self._told(published)

    async def release(self, hold: Hold, *, by: Order, now: datetime) -> Result:
        """Publish exactly what is held.

        Raises:
            DigestError, MissingError: it is not what was held, or no longer there.
            Error: as of ``Publishing.release``.

        """
        if hold.pointer:
            return await self._choose_held(hold.channel, hold.pointer, by, now)
        candidate = await asyncio.to_thread(self.holds.candidate, hold)
        return self._told(
            await self._release(self.publishing, candidate, hold.channel, by, now, move_track=True)
        )

    async def _release(
        self, publishing: Publishing, candidate: Candidate, channel: str, by: Order, now: datetime,
        *, move_track: bool = False,
    ) -> Published:  # fmt: skip
        settings = self.settings
        return await publishing.release(
            candidate,
            channel=channel,
            track=first_track(channel, self.canary),
            label=Label(settings.engine, settings.content, settings.shared_with),
            by=by,
            now=now,
            move_track=move_track,
        )

    def _told(self, published: Published) -> Result:
        return Result(
            self.settings.name,
            "published" if published.changed else "unchanged",
            release=published.release,
            track=published.track,
            sequence=published.sequence,
            new_bytes=published.new_bytes,
        )

    # -- repositories that pass through -------------------------------------------------------

    async def pass_through(self, advance: Advance, *, by: Order, now: datetime) -> Result:
        """Serve what the vendor signed; point the site's choice at what does not shrink.

        Raises:
            Error: as of ``mirror.cascade.pass_through`` and ``Policies.choose``.

        """
        new_bytes = await pass_through(self.cascaded, advance)
        taken, held = {}, []
        for channel, pointer in sorted(advance.chosen.items()):
            if hold := await self._held(channel, pointer, by, now):
                held += [] if hold.dropped else [str(hold)]
            else:
                taken[channel] = pointer
        changed = await self._choose(taken, by, now)
        for channel in taken:
            await asyncio.to_thread(self.holds.forget, self.settings.name, channel)
        return Result(
            self.settings.name,
            "published" if changed else "held" if held else "unchanged",
            release=", ".join(f"{channel} {one.sequence}" for channel, one in taken.items()),
            track=self._track(next(iter(taken))) if taken else "",
            sequence=next(iter(taken.values())).sequence if len(taken) == 1 else 0,
            detail="; ".join((*held, *advance.notes)),
            new_bytes=new_bytes,
        )

    async def _held(self, channel: str, pointer: Pointer, by: Order, now: datetime) -> Hold | None:
        """Return what keeps a channel from moving to a release, if anything does."""
        below, version = self.settings.hold_below_percent, str(pointer.sequence)
        known = await asyncio.to_thread(self.holds.find, self.settings.name, channel)
        if known and known.pointer == pointer and known.settles(version, below_percent=below):
            return known
        chosen = await self.policies.chosen(self.cascaded.name, channel)
        last = chosen.get(self._track(channel))
        if last is None or last == pointer:
            return None
        shrink = await self._shrink(channel, last, pointer)
        if shrink is None:
            return None
        name = self.settings.name
        hold = new_hold(name, channel, version, version, shrink, now, pointer=pointer)
        return await asyncio.to_thread(self.holds.put, hold, who=by.who)

    async def _shrink(self, channel: str, last: Pointer, pointer: Pointer) -> Shrink | None:
        """Compare two releases; one that is no longer in the store is not compared."""
        try:
            before = await self._size(channel, last)
        except MissingError:
            return None
        below = self.settings.hold_below_percent
        return shrink_of(before, await self._size(channel, pointer), below_percent=below)

    async def _size(self, channel: str, pointer: Pointer) -> Size:
        manifest = await self.cascaded.pointed(channel, pointer)
        return Size.of(await self.cascaded.files(manifest), manifest.signatures)

    async def _choose_held(
        self, channel: str, pointer: Pointer, by: Order, now: datetime
    ) -> Result:
        target = manifest_target(channel, pointer.sequence)
        offered = Publisher((await self.cascaded.in_force()).metadata, {}).pins(channel)
        if target not in offered or offered[target].sha256 != pointer.manifest_sha256:
            raise MissingError(
                f"channel {channel}: the vendor no longer offers release {pointer.sequence}",
                hint="drop the hold",
            )
        changed = await self._choose({channel: pointer}, by, now)
        return Result(
            self.settings.name,
            "published" if changed else "unchanged",
            release=f"{channel} {pointer.sequence}",
            track=self._track(channel),
            sequence=pointer.sequence,
        )

    async def _choose(self, chosen: dict[str, Pointer], by: Order, now: datetime) -> bool:
        return bool(chosen) and await self.policies.choose(
            self.cascaded.name, chosen, track=self._track, by=by, now=now
        )

    def _track(self, channel: str) -> str:
        """Name the track of a cascaded channel, written ``NAME`` or ``REPOSITORY/NAME``."""
        written = {channel, f"{self.cascaded.name}/{channel}"} & set(self.canary)
        return first_track(channel, {channel} if written else ())
