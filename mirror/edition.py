"""The next edition of a signed repository: one writer, the state it builds on, one commit."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from keys.errors import ConflictError, LockedError, StateError
from keys.model.release import Manifest, Pin
from keys.signing.publisher import Changes, Publisher
from keys.signing.state import ROOT, TIMESTAMP
from mirror.journal import Entry, Journal
from mirror.repository import InForce, StoredRepository

MAX_ROOT_LIFETIME = timedelta(days=3660)  # a root is signed for ten years at most

Sign = Callable[[Mapping[str, bytes]], Publisher]
"""Open the repository's signer on the metadata in force."""


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants something published, and why."""

    who: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Edition:
    """The state one writer builds on, and the way to commit what follows it."""

    repository: StoredRepository
    in_force: InForce
    publisher: Publisher
    journal: Journal
    by: Order
    now: datetime

    def pins(self, role: str) -> Mapping[str, Pin]:
        """Return what a role lists now."""
        return self.publisher.pins(role)

    def entry(
        self, what: str, *, channel: str = "", track: str = "", sequence: int = 0,
        manifest: Manifest | None = None, roles: tuple[str, ...] = (), name: str = "",
    ) -> Entry:  # fmt: skip
        """Write the line of the publish log."""
        return Entry(
            at=self.now,
            who=self.by.who,
            why=self.by.why,
            what=what,
            timestamp=self.in_force.taken.get(TIMESTAMP, 0) + 1,
            channel=manifest.channel if manifest else channel,
            track=track,
            sequence=manifest.sequence if manifest else sequence,
            release=manifest.release if manifest else "",
            roles=roles,
            name=name,
        )

    async def commit(
        self, entry: Entry, targets: Mapping[str, Mapping[str, Pin]], *, anew: bool = False
    ) -> None:
        """Sign what the roles list from now on; everything listed is in the store already.

        With ``anew`` there is a next timestamp even where nothing changed and nothing is due.

        In a bucket another machine's writer may have come in between: the first one commits, and
        the last one leaves the newest timestamp in place.

        Raises:
            LockedError: this is not the first one; the repository is as the other one left it.

        """
        changes = Changes(targets, self.in_force.taken, anew)
        signed = await asyncio.to_thread(self.publisher.publish, changes, now=self.now)
        await self.journal.append(entry)
        try:
            await self.repository.commit(signed)
        except ConflictError as exc:
            raise LockedError(
                f"repository {self.repository.name}: another writer was first: {exc}",
                hint="nothing was changed; run the command again",
            ) from exc
        await self.repository.repair(await self.repository.in_force())


class Editions:
    """Opens editions of one repository."""

    def __init__(self, repository: StoredRepository, sign: Sign, journal: Journal) -> None:
        self.repository = repository
        self._sign = sign
        self._journal = journal

    @contextlib.asynccontextmanager
    async def editing(
        self, by: Order, *, now: datetime, handing_over: bool = False
    ) -> AsyncIterator[Edition]:
        """Be the only writer, on verified metadata, with the copy of the timestamp repaired.

        Raises:
            LockedError: another writer did not end in time.
            HandedOverError: the repository is signed elsewhere.
            StateError, TrustError: there is no repository, or it is damaged; the root has
                expired, or the clock is years away from it.
            UsageError: the signing keys cannot be opened.

        """
        async with self.repository.writing(moving=handing_over):
            in_force = await self.repository.in_force()
            if not handing_over:  # asked after what it builds on: see ``conclude``
                await self.repository.check_in_charge()
            publisher = await asyncio.to_thread(self._sign, in_force.metadata)
            _check_clock(now, publisher.state.expires(ROOT))
            await self.repository.repair(in_force)
            yield Edition(self.repository, in_force, publisher, self._journal, by, now)

    async def pins(self, role: str) -> Mapping[str, Pin]:
        """Return what a role lists now, without being a writer."""
        return Publisher((await self.repository.in_force()).metadata, {}).pins(role)

    async def renew(self, by: Order, *, now: datetime) -> tuple[str, ...]:
        """Sign anew what is due, repairing an expired repository; return the roles' names."""
        async with self.editing(by, now=now) as edition:
            due = edition.publisher.due(now=now)
            if due:
                await edition.commit(edition.entry("renew", roles=due), {})
        return due

    async def conclude(self, by: Order, *, now: datetime) -> int:
        """Sign the last edition of a repository that is sealed; return its timestamp's version.

        A writer who looked for the seal before it was there builds on an older timestamp than
        this one: of the two, the second to commit is refused by the store.

        Raises:
            LockedError: another writer was first: try again.

        """
        async with self.editing(by, now=now, handing_over=True) as edition:
            entry = edition.entry("handover")
            await edition.commit(entry, {}, anew=True)
        return entry.timestamp


def _check_clock(now: datetime, root_expires: datetime) -> None:
    """Sign nothing that every host would refuse, or that would be believed for decades."""
    told = f"this machine's clock says {now:%Y-%m-%d}, and role root"
    if now >= root_expires:
        raise StateError(
            f"{told} expired on {root_expires:%Y-%m-%d}",
            hint="run `sigkeys renew` with the offline keys; or set the clock",
        )
    if root_expires - now > MAX_ROOT_LIFETIME:
        raise StateError(f"{told} ends on {root_expires:%Y-%m-%d}", hint="set the clock")
