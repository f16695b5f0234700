"""What one engine is to ignore now: the site's list as it was last heard, the time, the settings.

The list is kept with the engine's state, so that what ends does so also while no mirror answers.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from keys.model.report import IgnoredTold
from keys.trust.clock import Clock
from updater import ignoring
from updater.channels import SITE, ChannelName
from updater.engines.base import Engine
from updater.ignoring import Conditions, Names
from updater.place import Place
from updater.state import EngineState, Generation

if TYPE_CHECKING:  # loads the TUF library, which a run that finds nothing new does without
    from updater.catalogue import Catalogue


class EngineIgnores(msgspec.Struct, frozen=True):
    """What one engine ignores of the site's list."""

    place: Place
    engine: Engine
    channels: Mapping[str, ChannelName]
    allowed: bool
    now: datetime

    def hear(self, catalogue: "Catalogue") -> None:
        """Keep what the site says now; where it cannot be asked, what it said last stays.

        Raises:
            TrustError, FetchError: as ``Catalogue.ignores``; what was said last stays.

        """
        found = catalogue.ignores()
        if found is None:
            return
        ignores = found.of(channel.full for channel in self.channels.values())
        state = self.place.state.load()
        if ignores != state.ignores:
            self.place.state.save(msgspec.structs.replace(state, ignores=ignores))

    def wanted(self, state: EngineState) -> Names:
        """Name what is to be ignored now."""
        if not (self.allowed and self.engine.ignores):
            return {}
        return ignoring.wanted(state.ignores, self.channels, at=self._time)

    def standings(self, generation: Generation | None) -> tuple[IgnoredTold, ...]:
        """Say how everything that the site has its hosts ignore stands here."""
        state = self.place.state.load()
        names = ignoring.fingerprint(self.wanted(state))
        held = any(e.holds and e.ignoring == names for e in self.place.quarantine.load().entries)
        return ignoring.standings(
            state.ignores, self.channels,
            generation.ignored if generation else {},
            generation.idle if generation else (),
            Conditions(self.allowed, self.engine.ignores, held), at=self._time,
        )  # fmt: skip

    @property
    def _time(self) -> datetime:
        """The later of this host's clock and the newest time that the site has signed."""
        clock = Clock(self.place.host.trust(SITE) / "clock.json")
        return clock.known().reference(self.now).time
