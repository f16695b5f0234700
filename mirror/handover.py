"""A mirror's repositories handed over to another store, so that no version is ever signed twice.

The destination is sealed and everything copied there while the mirror goes on; then the source is
sealed, the last edition signed there, and the rest copied. The seal of the destination goes last:
at no time may both sign.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from keys.errors import LockedError, StateError, UsageError
from keys.model.handover import Handover
from keys.signing.state import TIMESTAMP, decode
from keys.trust.tuf_api import Timestamp
from mirror.edition import Editions, Order
from mirror.repository import StoredRepository
from mirror.settings import SITE
from mirror.transfer import Copied, Transfer

ATTEMPTS = 10  # writers who were at work already may come first


@dataclass(frozen=True, slots=True)
class Handing:
    """Who hands over what: ``here`` and ``to`` name the places to whoever finds a seal.

    ``bring`` brings what else the new mirror needs, before it may sign; it may block.
    """

    transfer: Transfer
    editions: Editions
    names: Sequence[str]
    here: str
    to: str
    bring: Callable[[], None] = lambda: None

    async def over(self, by: Order, *, now: datetime) -> list[Copied]:
        """Copy, seal, conclude, copy the rest; a second run goes on where one was cut.

        Raises:
            UsageError: it was handed over to somebody else.
            Error: as of ``Transfer.copy`` and ``Editions.conclude``.

        """
        sealed = await self._sealed()
        before: list[Copied] = []
        if not (sealed and sealed.timestamp):
            await self._close(Handover(now, by.who, self.here))
            before = [] if sealed else await self._copy()
            await self._conclude(sealed or Handover(now, by.who, self.to, by.why), by, now)
        copied = await self._copy()
        await self._open()
        return [_together(*pair) for pair in zip(before, copied, strict=True)] if before else copied

    async def _sealed(self) -> Handover | None:
        sealed = await self._source(SITE).handover()
        if sealed is not None and sealed.to != self.to:
            raise UsageError(
                f"repository {SITE}: is handed over to {sealed.to} already",
                hint="copy from there; or end that handover with `sigmirror unseal`",
            )
        return sealed

    async def _close(self, seal: Handover) -> None:
        """Let nobody sign at the destination until it has everything."""
        for name in self.names:
            await self.transfer.compare(name)
        for name in self.names:
            if await self._target(name).handover() is None:
                await _seal(self._target(name), seal)

    async def _copy(self) -> list[Copied]:
        return [await self.transfer.copy(name) for name in self.names]

    async def _conclude(self, seal: Handover, by: Order, now: datetime) -> None:
        """Seal the source, and sign its last edition."""
        for name in self.names:
            await _seal(self._source(name), seal)
        last = await _concluded(self.editions, by, now=now)
        await _seal(self._source(SITE), msgspec.structs.replace(seal, timestamp=last))

    async def _open(self) -> None:
        """Let the destination sign, once it has everything."""
        if await self._target(SITE).handover():
            await asyncio.to_thread(self.bring)
        for name in self.names:
            await self._target(name).unseal()

    def _source(self, name: str) -> StoredRepository:
        return StoredRepository(self.transfer.source, name)

    def _target(self, name: str) -> StoredRepository:
        return StoredRepository(self.transfer.target, name)


async def _seal(repository: StoredRepository, seal: Handover) -> None:
    """Seal a repository once the writer who is at work on this machine has ended."""
    async with repository.writing(moving=True):
        await repository.seal(seal)


def _together(first: Copied, then: Copied) -> Copied:
    return msgspec.structs.replace(
        then,
        objects=first.objects + then.objects,
        bytes=first.bytes + then.bytes,
        kept=first.kept,
    )


async def _concluded(editions: Editions, by: Order, *, now: datetime) -> int:
    for _ in range(ATTEMPTS - 1):
        try:
            return await editions.conclude(by, now=now)
        except LockedError:
            continue
    return await editions.conclude(by, now=now)


async def take_back(
    here: Sequence[StoredRepository], there: Sequence[StoredRepository], to: str = "", *,
    by: Order, now: datetime,
) -> None:  # fmt: skip
    """End a handover that was not completed; the destination, if it holds anything, is sealed.

    Without ``to``, which names the destination, nobody looks whether that has taken over.

    Raises:
        UsageError: nothing was handed over; or to another place; or the destination has taken over.

    """
    seals = [await one.handover() for one in here]
    sealed = next((seal for seal in seals if seal), None)
    if sealed is None:
        raise UsageError("nothing is handed over here")
    if to and sealed.to != to:
        raise UsageError(
            f"handed over to {sealed.to}, and not to {to}: who signs there is not known",
            hint="name that place; or --lost, where it is gone for good",
        )
    for other in there:
        version, taken = await _version(other), await other.handover() is None
        if taken and sealed.timestamp and version >= sealed.timestamp:
            raise UsageError(
                f"repository {other.name}: {sealed.to} has taken over, with version {version}",
                hint="stop the mirror there, and hand it back: `sigmirror copy --handover`, from "
                "there to here",
            )
        if taken and version:
            await other.seal(Handover(now, by.who, "where it came from", by.why, version))
    for one in here:
        await one.unseal()


async def _version(repository: StoredRepository) -> int:
    """Tell the version of a repository's timestamp; 0 where there is none."""
    try:
        metadata = (await repository.in_force()).metadata
    except StateError:
        return 0
    found = metadata.get(TIMESTAMP)
    return decode(found, TIMESTAMP, Timestamp).version if found else 0
