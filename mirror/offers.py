"""What native layouts serve: which release of which channel, and which databases it holds (pure).

A name is served from the first channel, in the settings' order, whose release holds it.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from keys.model.release import Assurance, File, Manifest
from mirror.feeds import UpstreamSettings
from mirror.settings import SITE

_DATABASE = re.compile(r"[a-z0-9][a-z0-9_]{0,62}\.cvd")

Ranking = tuple[tuple[str, str], ...]
"""Pairs of a repository and a channel, or an empty word for all of its channels."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One channel: the release that ``stable`` points at here, and all that are kept.

    ``since`` is when what is pointed at was last signed in this store, or arrived there: nothing
    changed after it. ``problem`` says why a channel that exists cannot be served.
    """

    repository: str
    channel: str
    pointed: Manifest | None = None
    releases: Mapping[int, Manifest] = field(default_factory=lambda: MappingProxyType({}))
    since: datetime | None = None
    problem: str = ""
    withdrawn: frozenset[int] = frozenset()

    @property
    def name(self) -> str:
        """Its channel as people write it."""
        return f"{self.repository}/{self.channel}"

    def newest(self, covers: Callable[[datetime], bool] | None = None) -> Manifest | None:
        """Return the pointed release, or the newest one before it that is covered.

        One that was withdrawn stands in for nothing.
        """
        if self.pointed is None or covers is None or covers(self.pointed.published):
            return self.pointed
        last, left = self.pointed.sequence, self.releases.keys() - self.withdrawn
        older = (self.releases[number] for number in sorted(left, reverse=True))
        return next((m for m in older if m.sequence < last and covers(m.published)), None)


def ranking(upstreams: Iterable[UpstreamSettings]) -> Ranking:
    """Tell the order of channels that the settings give."""
    return tuple(
        (upstream.name, "") if upstream.kind == "tuf" else (SITE, upstream.channel)
        for upstream in upstreams
    )


def rank(repository: str, channel: str, order: Ranking) -> tuple[int, bool, str, str]:
    """Return a channel's place in the settings' order; unnamed ones come last, by name."""
    named = {(repository, channel), (repository, "")}
    place = next((at for at, one in enumerate(order) if one in named), len(order))
    return place, repository != SITE, repository, channel


def ranked(offers: Iterable[Offer], order: Ranking) -> tuple[Offer, ...]:
    """Sort channels as the settings name them."""
    return tuple(sorted(offers, key=lambda offer: rank(offer.repository, offer.channel, order)))


def originals(manifest: Manifest) -> Mapping[str, File]:
    """Return the vendor's own containers of a release, if it was the vendor who signed them."""
    if manifest.assurance is not Assurance.signed:
        return {}
    return {file.path: file for file in manifest.originals}


def databases(manifest: Manifest | None) -> tuple[str, ...]:
    """List the whole ClamAV databases among a release's originals."""
    names = originals(manifest) if manifest else ()
    return tuple(sorted(name for name in names if _DATABASE.fullmatch(name)))


def clashes(holders: Iterable[tuple[str, Sequence[str]]]) -> Iterator[str]:
    """Tell of databases that several channels hold; ``holders`` are in the settings' order."""
    first: dict[str, str] = {}
    for place, names in holders:
        for name in names:
            if first.setdefault(name, place) != place:
                yield f"/clamav/{name}: in {first[name]} and in {place}; the first is served"
