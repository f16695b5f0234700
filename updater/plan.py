"""Which releases an engine should read: keep, install, ordered rollback, wait. No I/O, no clock.

Three rules hold whatever a mirror offers: a quarantined combination is never chosen; a channel
never goes back by itself, only when its track points lower; nothing beyond the track is taken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from types import MappingProxyType
from zoneinfo import ZoneInfo

from keys.errors import FetchError
from updater import ignoring
from updater.ignoring import Names
from updater.quarantine import Entry, Quarantine
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
    ignored: Names = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """What one engine should read, and what was held back, in words."""

    action: Action
    releases: Mapping[str, Release]
    held: tuple[str, ...] = ()
    ignored: Names = field(default_factory=dict)


def plan(
    have: Have, channels: Sequence[str], offers: Sequence[Offer], overlay: str,
    ignored: Names = MappingProxyType({}),
) -> Plan:  # fmt: skip
    """Choose a release of each channel, in the order the settings name them.

    A channel without an offer keeps what it has. ``overlay`` is the fingerprint of the host's own
    definitions, ``ignored`` what the site has it ignore: another one of either makes a new
    generation of the same releases.
    """
    offered = {offer.channel: offer for offer in offers}
    chosen = {c: have.releases[c] for c in channels if c in have.releases}
    held: list[str] = []
    for channel in channels:
        if channel in offered:
            held += _choose(have, offered[channel], chosen)
    ignored, reasons = _ignored(have, chosen, ignored)
    return Plan(_action(have, chosen, overlay, ignored), chosen, (*held, *reasons), ignored)


def _ignored(have: Have, chosen: Mapping[str, Release], wanted: Names) -> tuple[Names, list[str]]:
    """Choose what is ignored: what is wanted, or as much of it as never failed with these releases.

    Where nothing at all is to be ignored any more, and that has failed, it stays as it is.
    """
    entry = _against(have, chosen, wanted)
    if entry is None or not (wanted or have.ignored):
        return wanted, []
    what = f"ignoring {ignoring.words(wanted)}"
    if not wanted:
        what = f"the end of ignoring {ignoring.words(have.ignored)}"
    held = [f"{what} is in quarantine ({entry.reason})"]
    for less in (ignoring.common(wanted, have.ignored), {}):
        if _against(have, chosen, less) is None:
            return less, held
    return have.ignored, held


def _against(have: Have, chosen: Mapping[str, Release], ignored: Names) -> Entry | None:
    names = ignoring.fingerprint(ignored)
    return have.quarantine.blocking(chosen, have.engine_version, names)


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


def _action(have: Have, chosen: Mapping[str, Release], overlay: str, ignored: Names) -> Action:
    if not chosen:
        return Action.wait
    if any(
        channel in have.releases and release.sequence < have.releases[channel].sequence
        for channel, release in chosen.items()
    ):
        return Action.rollback
    if digests(chosen) != digests(have.releases) or overlay != have.overlay:
        return Action.install
    if ignoring.fingerprint(ignored) != ignoring.fingerprint(have.ignored):
        return Action.install
    return Action.keep


def existing(
    generations: Sequence[Generation], releases: Mapping[str, Release], overlay: str,
    ignored: Names = MappingProxyType({}),
) -> Generation | None:  # fmt: skip
    """Return the newest kept generation that already is this combination."""
    wanted = (digests(releases), overlay, ignoring.fingerprint(ignored))
    alike = (
        g
        for g in generations
        if (digests(g.releases), g.overlay, ignoring.fingerprint(g.ignored)) == wanted
    )
    return max(alike, key=lambda g: g.number, default=None)
