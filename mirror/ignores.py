"""What this site has its hosts ignore: one signed list, changed by an order, logged."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from keys.model.ignore import IGNORE_TARGET, MAX_IGNORE_BYTES, Ignored, IgnoreList
from keys.model.release import decode, encode
from mirror.edition import Order
from mirror.policy import Policies


@dataclass(frozen=True, slots=True)
class Ignores:
    """The ignore list of the site's own repository."""

    policies: Policies

    async def read(self) -> IgnoreList:
        """Return the list in force, ended entries included.

        Raises:
            StateError, StoreError, TrustError: it cannot be read.

        """
        return _parsed(await self.policies.document(IGNORE_TARGET, max_bytes=MAX_IGNORE_BYTES))

    async def add(self, entry: Ignored, *, by: Order) -> bool:
        """Publish a list with this signature; tell whether anything changed.

        Raises:
            LimitError: there are too many.
            Error: nothing was published.

        """
        return await self._change(
            "ignore", lambda known: known.adding(entry), entry.channel, entry.name,
            by=by, now=entry.added,
        )  # fmt: skip

    async def remove(self, channel: str, name: str, *, by: Order, now: datetime) -> bool:
        """Publish a list without this signature.

        Raises:
            UsageError: it is not on the list.
            Error: nothing was published.

        """
        return await self._change(
            "unignore", lambda known: known.removing(channel, name, at=now), channel, name,
            by=by, now=now,
        )  # fmt: skip

    async def _change(
        self, what: str, change: Callable[[IgnoreList], IgnoreList], channel: str, name: str, *,
        by: Order, now: datetime,
    ) -> bool:  # fmt: skip
        return await self.policies.rewrite(
            IGNORE_TARGET,
            lambda data: encode(change(_parsed(data))),
            lambda edition: edition.entry(what, channel=channel, name=name),
            by=by, now=now, max_bytes=MAX_IGNORE_BYTES,
        )  # fmt: skip


def _parsed(data: bytes | None) -> IgnoreList:
    return IgnoreList() if data is None else decode(data, IgnoreList, IGNORE_TARGET)
