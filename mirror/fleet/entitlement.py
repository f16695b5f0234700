"""Which blobs a licence covers: those of releases published up to its last day (pure).

A licence gates blobs, never metadata: manifests, pointers, policies and file lists are the same
bytes for everybody.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from keys.model.standing import LicenceState


@dataclass(frozen=True, slots=True)
class ReleaseBlobs:
    """One release: when it was published and the names of the blobs it needs."""

    published: datetime
    blobs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BlobIndex:
    """When each blob was first named by a release."""

    earliest: Mapping[str, datetime] = field(default_factory=dict)

    @classmethod
    def of(cls, releases: Iterable[ReleaseBlobs]) -> "BlobIndex":
        """Index these releases."""
        earliest: dict[str, datetime] = {}
        for release in sorted(releases, key=lambda release: release.published):
            for blob in release.blobs:
                earliest.setdefault(blob, release.published)
        return cls(earliest)

    def __contains__(self, blob: str) -> bool:
        return blob in self.earliest

    def allows(self, blob: str, standing: LicenceState | None) -> bool:
        """Tell whether a licence that stands so covers a blob; without a licence none is."""
        published = self.earliest.get(blob)
        return published is not None and standing is not None and standing.covers(published)
