"""What is known of blobs by the releases that name them: published when, for whom (pure).

A licence gates blobs, never metadata: manifests, pointers, policies and file lists are the same
bytes for everybody. It covers the blobs of releases published up to its last day.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from keys.model.release import Assurance, Content, Redistribution
from keys.model.standing import LicenceState
from mirror.fleet.sharing import strictest


@dataclass(frozen=True, slots=True)
class ReleaseBlobs:
    """One release: when it was published, for whom, how sure, and the blobs it needs."""

    published: datetime
    blobs: tuple[str, ...]
    channel: str = ""
    sequence: int = 0
    redistribution: Redistribution = "public"
    assurance: Assurance = Assurance.none
    content: Content = "definitions"


@dataclass(frozen=True, slots=True)
class BlobIndex:
    """When each blob was first named by a release, and what the newest one says of it.

    ``restricted`` holds what is said of blobs that are not public; ``channels`` the strictest
    word of any release of a channel; ``contents`` what a channel's newest release is.
    """

    earliest: Mapping[str, datetime] = field(default_factory=dict)
    restricted: Mapping[str, Redistribution] = field(default_factory=dict)
    channels: Mapping[str, Redistribution] = field(default_factory=dict)
    contents: Mapping[str, Content] = field(default_factory=dict)

    @classmethod
    def of(cls, releases: Iterable[ReleaseBlobs], damaged: Iterable[str] = ()) -> "BlobIndex":
        """Index these releases; channels with a damaged one are as strict as can be."""
        earliest: dict[str, datetime] = {}
        newest: dict[str, Redistribution] = {}
        channels: dict[str, Redistribution] = dict.fromkeys(damaged, "none")
        contents: dict[str, Content] = {}
        for release in sorted(releases, key=lambda one: (one.published, one.sequence)):
            word = release.redistribution
            channels[release.channel] = strictest((word, channels.get(release.channel, word)))
            contents[release.channel] = release.content
            for blob in release.blobs:
                earliest.setdefault(blob, release.published)
                newest[blob] = word
        restricted = {blob: word for blob, word in newest.items() if word != "public"}
        return cls(earliest, restricted, channels, contents)

    def __contains__(self, blob: str) -> bool:
        return blob in self.earliest

    def allows(self, blob: str, standing: LicenceState | None) -> bool:
        """Tell whether a licence that stands so covers a blob; without a licence none is."""
        published = self.earliest.get(blob)
        return published is not None and standing is not None and standing.covers(published)

    def redistribution(self, blob: str, channel: str) -> Redistribution:
        """Tell who may be served a blob; one that no release names is as strict as its channel."""
        if blob in self.earliest:
            return self.restricted.get(blob, "public")
        return self.channels.get(channel, "public")
