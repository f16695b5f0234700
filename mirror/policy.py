"""The site's own choices, signed: which release of a cascaded repository a track offers."""

from collections.abc import Callable, Mapping
from datetime import datetime

from keys.model import rollout
from keys.model.release import (
    MAX_POINTER_BYTES,
    Pin,
    Pointer,
    Policy,
    decode,
    encode,
    policy_target,
)
from keys.signing.delegations import POLICY
from mirror.edition import Edition, Editions, Order
from mirror.journal import Entry
from mirror.repository import StoredRepository

Retrack = Callable[[Mapping[str, Pointer]], Mapping[str, Pointer]]
"""Take a channel's tracks; return them as they shall be."""

Track = Callable[[str], str]
"""Name the track that a channel's new release goes to."""

Rewrite = Callable[[bytes | None], bytes]
"""Take a document, None where there is none yet; return it as it shall be."""

Line = Callable[[Edition], Entry]


class Policies:
    """Publishes targets of the role ``policy``."""

    def __init__(self, editions: Editions) -> None:
        self._editions = editions

    async def choose(
        self, repository: str, chosen: Mapping[str, Pointer], *, track: Track, by: Order,
        now: datetime,
    ) -> bool:  # fmt: skip
        """Point tracks at releases of a cascaded repository; tell whether anything changed.

        Each channel's track is the one that ``track`` names; its other tracks stay.
        """
        async with self._editions.editing(by, now=now) as edition:
            documents = {}
            for channel, pointer in chosen.items():
                target = policy_target(repository, channel)
                pins = edition.pins(POLICY)
                tracks = await read_choice(edition.repository, pins, repository, channel)
                moving = tracks.get(track(channel))
                if rollout.held(moving) or pointer.sequence in rollout.withdrawn(moving):
                    continue
                after = {**tracks, track(channel): rollout.moved(moving, pointer)}
                documents[target] = encode(Policy(after))
            return await _set(edition, documents)

    async def retrack(
        self, repository: str, channel: str, what: str, change: Retrack, *, by: Order,
        now: datetime,
    ) -> bool:  # fmt: skip
        """Let a cascaded channel's tracks be what ``change`` makes of them; tell if they differ.

        Raises:
            Error: what ``change`` raises; nothing was published.

        """
        async with self._editions.editing(by, now=now) as edition:
            pins = edition.pins(POLICY)
            tracks = await read_choice(edition.repository, pins, repository, channel)
            document = encode(Policy(dict(change(tracks))))
            entry = edition.entry(what, channel=f"{repository}/{channel}")
            return await _set(edition, {policy_target(repository, channel): document}, entry)

    async def chosen(self, repository: str, channel: str) -> Mapping[str, Pointer]:
        """Tell where the site points a cascaded channel's tracks now."""
        pins = await self._editions.pins(POLICY)
        return await read_choice(self._editions.repository, pins, repository, channel)

    async def document(self, target: str, *, max_bytes: int) -> bytes | None:
        """Return a document of the site's, or None where it has none."""
        pin = (await self._editions.pins(POLICY)).get(target)
        if pin is None:
            return None
        return await self._editions.repository.read(target, pin, max_bytes=max_bytes)

    async def rewrite(
        self, target: str, change: Rewrite, line: Line, *, by: Order, now: datetime, max_bytes: int
    ) -> bool:
        """Let a document be what ``change`` makes of it, as the only writer; tell if it differs.

        ``line`` writes the publish log's.

        Raises:
            Error: what ``change`` raises; nothing was published.

        """
        async with self._editions.editing(by, now=now) as edition:
            pin = edition.pins(POLICY).get(target)
            known = await edition.repository.read(target, pin, max_bytes=max_bytes) if pin else None
            return await _set(edition, {target: change(known)}, line(edition))

    async def put(self, documents: Mapping[str, bytes], *, by: Order, now: datetime) -> bool:
        """Set targets, the others stay; tell whether any of them changed."""
        async with self._editions.editing(by, now=now) as edition:
            return await _set(edition, documents)


async def read_choice(
    site: StoredRepository, pins: Mapping[str, Pin], repository: str, channel: str
) -> Mapping[str, Pointer]:
    """Tell where the site points a cascaded channel's tracks; ``pins`` are those of its policy."""
    target = policy_target(repository, channel)
    pin = pins.get(target)
    if pin is None:
        return {}
    data = await site.read(target, pin, max_bytes=MAX_POINTER_BYTES)
    return decode(data, Policy, target).tracks


async def _set(
    edition: Edition, documents: Mapping[str, bytes], entry: Entry | None = None
) -> bool:
    before = edition.pins(POLICY)
    after = {**before, **{target: Pin.of(data) for target, data in documents.items()}}
    if after == before:
        return False
    for target, data in documents.items():
        await edition.repository.add(target, Pin.of(data), data)
    await edition.commit(entry or edition.entry("policy"), {POLICY: after})
    return True
