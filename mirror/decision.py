"""What an operator decides on a release that is held: publish it, or drop it."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

import msgspec

from keys.errors import MissingError, UsageError
from mirror.destination import Destination
from mirror.edition import Order
from mirror.hold import Dropped, Hold
from mirror.holds import Holds
from mirror.pulls import PullState, Result


def choose(holds: tuple[Hold, ...], name: str) -> Hold:
    """Find what is held by ``CHANNEL``, or by ``UPSTREAM/CHANNEL`` where two share the channel.

    Raises:
        MissingError: nothing is held there.
        UsageError: more than one is.

    """
    named = {f"{hold.upstream}/{hold.channel}": hold for hold in holds}
    found = [hold for path, hold in named.items() if name in {hold.channel, path}]
    if not found:
        known = ", ".join(named) or "nothing"
        raise MissingError(f"channel {name!r}: nothing is held", hint=f"held: {known}")
    if len(found) > 1:
        known = ", ".join(f"{hold.upstream}/{hold.channel}" for hold in found)
        raise UsageError(f"channel {name!r}: held for more than one upstream", hint=known)
    return found[0]


@dataclass(frozen=True, slots=True)
class Decision:
    """An operator's word on what is held of one channel; ``by`` says who and why.

    While it is carried out nobody pulls from the upstream. Cut short, it is given again: what was
    done already is found done.
    """

    holds: Holds
    state: PullState
    by: Order
    now: datetime

    async def release(self, hold: Hold, to: Destination) -> Result:
        """Publish exactly what is held.

        Raises:
            MissingError: something else is held by now.
            LockedError: a pull of the upstream is under way.
            Error: as of ``Destination.release``.

        """
        with self.state.alone():
            self._expect(hold)
            result = await to.release(hold, by=self.by, now=self.now)
            self._remember(hold, result)
            await asyncio.to_thread(self.holds.forget, hold.upstream, hold.channel)
        return result

    async def drop(self, hold: Hold) -> None:
        """Remove what is held; the same version is not brought again.

        Raises:
            MissingError, LockedError: as of ``release``.

        """
        with self.state.alone():
            self._expect(hold)
            dropped = Dropped(self.now, self.by.who, self.by.why)
            await asyncio.to_thread(self.holds.drop, hold, dropped)

    def _expect(self, hold: Hold) -> None:
        """Make sure that what the operator saw is still what is held."""
        if self.holds.find(hold.upstream, hold.channel) != hold:
            raise MissingError(
                f"channel {hold.channel}: release {hold.release} is no longer held",
                hint="look again: sigmirror hold list",
            )

    def _remember(self, hold: Hold, result: Result) -> None:
        """Let the next pull know that it has this version already."""
        before = self.state.read()
        version = before.version if hold.pointer else hold.version
        self.state.write(
            msgspec.structs.replace(
                before, version=version, release=result.release, last_change=self.now
            )
        )
