"""Which of the wanted releases an engine takes, found by testing combinations. No I/O of its own.

All together first; when they fail, one channel after the other on top of what is installed. What
fails is blamed as closely as tests allow: one release, two that fail only together, or all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from keys.errors import EngineError
from updater.state import Release, digests

Combination = Mapping[str, Release]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Releases the engine does not take together; the last one is held back."""

    releases: Combination
    reason: str

    def __str__(self) -> str:
        named = " with ".join(f"{c} release {r.sequence}" for c, r in self.releases.items())
        return f"{named}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the engine takes, and what it refused."""

    accepted: Combination
    refusals: tuple[Refusal, ...] = ()


class Trial:
    """Tests combinations, each at most once; ``test`` raises ``EngineError`` for a refused one."""

    def __init__(self, test: Callable[[Combination], None]) -> None:
        self._test = test
        self._known: dict[frozenset[tuple[str, str]], str] = {}

    def run(self, installed: Combination, wanted: Combination) -> Outcome:
        """Find the largest part of ``wanted`` that passes, on top of what is installed."""
        if not self._refused(wanted):
            return Outcome(wanted)
        accepted = {c: installed[c] for c in wanted if c in installed}
        refusals = []
        for channel in wanted:
            if accepted.get(channel) == wanted[channel]:
                continue
            tried = {c: r for c, r in wanted.items() if c in accepted or c == channel}
            tried |= accepted | {channel: wanted[channel]}
            if self._refused(tried):
                refusals.append(self._blame(channel, tried))
            else:
                accepted = tried
        return Outcome(accepted, tuple(refusals))

    def _blame(self, channel: str, tried: Combination) -> Refusal:
        """Name the fewest releases that fail together; ``channel`` is one of them."""
        alone = {channel: tried[channel]}
        if reason := self._refused(alone):
            return Refusal(alone, reason)
        for other in tried:
            pair = {other: tried[other], **alone}
            if other != channel and (reason := self._refused(pair)):
                return Refusal(pair, reason)
        return Refusal({**tried}, self._refused(tried))

    def _refused(self, combination: Combination) -> str:
        """Return why the engine refuses a combination, "" when it takes it."""
        key = frozenset(digests(combination).items())
        if key not in self._known:
            try:
                self._test(combination)
            except EngineError as exc:
                self._known[key] = str(exc)
            else:
                self._known[key] = ""
        return self._known[key]
