"""Which releases an engine should read: keep, install, ordered rollback, wait. No I/O, no clock.

Three rules hold whatever a mirror offers: a quarantined combination is never chosen; a channel
never goes back by itself, only when its track points lower; nothing beyond the track is taken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum
from zoneinfo import ZoneInfo

from keys.errors import FetchError
from updater.quarantine import Quarantine
from updater.state import Generation, Release, digests


class Action(Enum):
    """What to do with one engine."""

    keep = "keep"
    install = "install"
    rollback = "rollback"  # at least one channel goes back because its track says so
    wait = "wait"  # nothing is installed and nothing is offered


@dataclass(frozen=True, slots=True)
class Entitlement:
    """The last day a licence covers, in its own time zone."""

    ends_on: date
    tz: str

    @classmethod
    def parse(cls, ends_on: str, tz: str) -> "Entitlement":
        """Read the two from what a mirror said.

        Raises:
            FetchError: not a date, or not a known time zone.

        """
        try:
            return cls(date.fromisoformat(ends_on), ZoneInfo(tz).key)
        except (ValueError, KeyError, OSError) as exc:
            raise FetchError(f"licence end {ends_on!r} in zone {tz!r}: {exc}") from exc

    def covers(self, release: Release) -> bool:
        """Tell whether a release was published on or before the last day."""
        if release.published is None:
            return False
        return release.published.astimezone(ZoneInfo(self.tz)).date() <= self.ends_on


@dataclass(frozen=True, slots=True)
class Offer:
    """What a track offers of one channel.

    ``earlier`` are older releases that may stand in for a pointed one this host cannot have.
    """

    channel: str
    pointed: Release
    earlier: tuple[Release, ...] = ()
    entitlement: Entitlement | None = None
    withdrawn: frozenset[int] = frozenset()  # sequences that stand in for nothing

    def entitled(self) -> tuple[Release, ...]:
        """List the releases up to the track's that the licence covers, newest first."""
        below = (r for r in self.earlier if r.sequence < self.pointed.sequence)
        ordered = (self.pointed, *sorted(below, key=lambda r: r.sequence, reverse=True))
        return tuple(r for r in ordered if self.entitlement is None or self.entitlement.covers(r))


@dataclass(frozen=True, slots=True)
class Have:
    """What one engine has now."""

    releases: Mapping[str, Release]
    overlay: str
    quarantine: Quarantine
    engine_version: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What one engine should read, and what was held back, in words."""

    action: Action
    releases: Mapping[str, Release]
    held: tuple[str, ...] = ()


def plan(have: Have, channels: Sequence[str], offers: Sequence[Offer], overlay: str) -> Plan:
    """Choose a release of each channel, in the order the settings name them.

    A channel without an offer keeps what it has. ``overlay`` is the fingerprint of the host's own
    definitions: another one makes a new generation of the same releases.
    """
    offered = {offer.channel: offer for offer in offers}
    chosen = {c: have.releases[c] for c in channels if c in have.releases}
    held: list[str] = []
    for channel in channels:
        if channel in offered:
            held += _choose(have, offered[channel], chosen)
    return Plan(_action(have, chosen, overlay), chosen, tuple(held))


def _choose(have: Have, offer: Offer, chosen: dict[str, Release]) -> list[str]:
    """Put the best allowed release of a channel among the chosen; say why a better one is held."""
    installed = have.releases.get(offer.channel)
    held = []
    for release in _candidates(offer, installed):
        entry = have.quarantine.blocking({**chosen, offer.channel: release}, have.engine_version)
        if entry is None:
            chosen[offer.channel] = release
            break
        held.append(f"{offer.channel} release {release.sequence} is in quarantine ({entry.reason})")
    return held[:1]


def _candidates(offer: Offer, installed: Release | None) -> tuple[Release, ...]:
    """List what a channel may move to, best first; it may also stay where it is."""
    entitled = offer.entitled()
    if installed is None:
        return entitled
    if offer.pointed.sequence < installed.sequence:
        return tuple(release for release in entitled if release == offer.pointed)
    return tuple(release for release in entitled if release.sequence >= installed.sequence)


def _action(have: Have, chosen: Mapping[str, Release], overlay: str) -> Action:
    if not chosen:
        return Action.wait
    if any(
        channel in have.releases and release.sequence < have.releases[channel].sequence
        for channel, release in chosen.items()
    ):
        return Action.rollback
    if digests(chosen) != digests(have.releases) or overlay != have.overlay:
        return Action.install
    return Action.keep


def existing(
    generations: Sequence[Generation], releases: Mapping[str, Release], overlay: str
) -> Generation | None:
    """Return the newest kept generation that already is this combination."""
    wanted = digests(releases)
    alike = (g for g in generations if digests(g.releases) == wanted and g.overlay == overlay)
    return max(alike, key=lambda g: g.number, default=None)
