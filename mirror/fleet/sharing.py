"""Who may be served a release's blobs: what its manifest and the site's settings say (pure).

Metadata, manifests and file lists are for every visitor, whatever is said of the blobs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import get_args

from keys.model.release import Manifest, Redistribution
from mirror.feeds import UpstreamSettings
from mirror.fleet.doors import Visitor
from mirror.settings import SITE

_STRICTEST_LAST: tuple[Redistribution, ...] = get_args(Redistribution)


def strictest(words: Iterable[Redistribution]) -> Redistribution:
    """Return the strictest word of several; ``public`` where nothing is said."""
    return max(words, key=_STRICTEST_LAST.index, default="public")


def admits(word: Redistribution, visitor: Visitor) -> bool:
    """Tell whether a visitor, let in already, may be served what this is said of."""
    if word == "public" or visitor.is_here:
        return True
    return word == "licensed-hosts" and bool(visitor.name)


@dataclass(frozen=True, slots=True)
class Sharing:
    """What the site's settings say now: of each repository it passes on, of its own channels."""

    repositories: Mapping[str, Redistribution] = field(default_factory=dict)
    channels: Mapping[str, Redistribution] = field(default_factory=dict)

    @classmethod
    def of(cls, upstreams: Iterable[UpstreamSettings]) -> "Sharing":
        """Collect what is said of each upstream; of several for one channel the strictest."""
        repositories: dict[str, Redistribution] = {}
        channels: dict[str, Redistribution] = {}
        for upstream in upstreams:
            if upstream.kind == "tuf":
                repositories[upstream.name] = upstream.shared_with
            else:
                known = channels.get(upstream.channel, "public")
                channels[upstream.channel] = strictest((known, upstream.shared_with))
        return cls(repositories, channels)

    def word(self, repository: str, channel: str) -> Redistribution:
        """Tell what the settings say of a channel.

        A repository whose upstream is gone from them is for licensed hosts. A channel of the
        site's own that no upstream fills is published by hand: its manifests alone count.
        """
        if repository == SITE:
            return self.channels.get(channel, "public")
        return self.repositories.get(repository, "licensed-hosts")

    def gated(self, repository: str, manifests: Iterable[Manifest]) -> tuple[str, ...]:
        """Name the channels of a repository that are not for everybody, any release of them."""
        said = {(one.channel, one.redistribution) for one in manifests}
        found = {channel for channel, word in said if word != "public"}
        found |= {channel for channel, _ in said if self.word(repository, channel) != "public"}
        return tuple(sorted(found))
