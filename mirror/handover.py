"""A mirror's repositories handed over to another store, so that no version is ever signed twice.

The destination is sealed and everything copied there while the mirror goes on; then the source is
sealed, the last edition signed there, and the rest copied. The seal of the destination goes last:
at no time may both sign.
"""

from collections.abc import Sequence
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


async def hand_over(
    transfer: Transfer, editions: Editions, names: Sequence[str], *, here: str, to: str,
    by: Order, now: datetime,
) -> list[Copied]:  # fmt: skip
    """Copy, seal, conclude, copy the rest; a second run goes on where one was cut.

    Raises:
        UsageError: it was handed over to somebody else.
        Error: as of ``Transfer.copy`` and ``Editions.conclude``.

    """
    sealed = await StoredRepository(transfer.source, SITE).handover()
    if sealed is not None and sealed.to != to:
        raise UsageError(
            f"repository {SITE}: is handed over to {sealed.to} already",
            hint="copy from there; or end that handover with `sigmirror unseal`",
        )
    if not (sealed and sealed.timestamp):
        for name in names:
            await transfer.compare(name)
        for name in names:
            await _close(StoredRepository(transfer.target, name), Handover(now, by.who, here))
    before = [] if sealed else [await transfer.copy(name) for name in names]
    seal = sealed or Handover(now, by.who, to, by.why)
    for name in names:
        await _seal(StoredRepository(transfer.source, name), seal)
    if not seal.timestamp:
        last = await _conclude(editions, by, now=now)
        seal = msgspec.structs.replace(seal, timestamp=last)
        await _seal(StoredRepository(transfer.source, SITE), seal)
    copied = [await transfer.copy(name) for name in names]
    for name in names:
        await StoredRepository(transfer.target, name).unseal()
    return [_together(*pair) for pair in zip(before, copied, strict=True)] if before else copied


async def _close(there: StoredRepository, seal: Handover) -> None:
    """Let nobody sign at the destination until it has everything."""
    if await there.handover() is None:
        await _seal(there, seal)


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


async def _conclude(editions: Editions, by: Order, *, now: datetime) -> int:
    for _ in range(ATTEMPTS - 1):
        try:
            return await editions.conclude(by, now=now)
        except LockedError:
            continue
    return await editions.conclude(by, now=now)


async def take_back(
    here: Sequence[StoredRepository], there: Sequence[StoredRepository], *, by: Order, now: datetime
) -> None:
    """End a handover that was not completed; the destination, if it holds anything, is sealed.

    Raises:
        UsageError: nothing was handed over; or the destination has taken over.

    """
    seals = [await one.handover() for one in here]
    sealed = next((seal for seal in seals if seal), None)
    if sealed is None:
        raise UsageError("nothing is handed over here")
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
