"""One channel's tracks, of the site's own repository or a cascaded one: moved by an order, signed.

An order is a pure change of pointers (``mirror.orders``); here it is read, applied and published.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from keys.model.release import Pointer
from mirror.catalogue import read_pointers
from mirror.edition import Order
from mirror.policy import Policies
from mirror.publish import Publishing, Retrack
from mirror.repository import StoredRepository


@dataclass(frozen=True, slots=True)
class Tracks:
    """The tracks of one channel; ``cascaded`` is its repository, None for the site's own."""

    channel: str
    publishing: Publishing
    policies: Policies
    cascaded: StoredRepository | None = None

    @property
    def written(self) -> str:
        """The channel as operators write it."""
        return f"{self.cascaded.name}/{self.channel}" if self.cascaded else self.channel

    async def read(self) -> tuple[Mapping[str, Pointer], Mapping[int, Pointer]]:
        """Return where the tracks point, and all releases by sequence.

        Raises:
            StateError, StoreError: the repository cannot be read.

        """
        if self.cascaded is None:
            return await self.publishing.pointers(self.channel)
        _, releases = await read_pointers(self.cascaded, self.channel)
        return await self.policies.chosen(self.cascaded.name, self.channel), releases

    async def change(self, what: str, change: Retrack, *, by: Order, now: datetime) -> bool:
        """Carry out an order as the only writer; tell whether anything changed.

        ``what`` is its name in the publish log.

        Raises:
            Error: the order cannot be carried out; nothing was published.

        """
        if self.cascaded is None:
            return await self.publishing.retrack(self.channel, what, change, by=by, now=now)
        _, releases = await read_pointers(self.cascaded, self.channel)
        return await self.policies.retrack(
            self.cascaded.name, self.channel, what,
            lambda tracks: change(tracks, releases), by=by, now=now,
        )  # fmt: skip
