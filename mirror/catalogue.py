"""What one channel of a repository offers: its releases and the tracks that point at them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from keys.errors import MissingError
from keys.model import rollout
from keys.model.release import (
    MAX_POINTER_BYTES,
    Manifest,
    Pin,
    Pointer,
    decode,
    encode,
    manifest_target,
    track_target,
)
from keys.signing.publisher import Publisher
from mirror.repository import StoredRepository

_RELEASE = re.compile(r"/releases/([1-9][0-9]{0,15})\.json")
_TRACK = re.compile(r"/tracks/([a-z0-9][a-z0-9-]*)\.json")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A channel: manifests by sequence, pointers by track, and the pins of the manifests."""

    channel: str
    pins: Mapping[int, Pin] = field(default_factory=dict)
    releases: Mapping[int, Manifest] = field(default_factory=dict)
    tracks: Mapping[str, Pointer] = field(default_factory=dict)

    @property
    def latest(self) -> Manifest | None:
        """The release with the highest sequence."""
        return self.releases[max(self.releases)] if self.releases else None

    def pointed(self, track: str) -> int | None:
        """Tell the sequence a track points at."""
        pointer = self.tracks.get(track)
        return pointer.sequence if pointer else None

    def with_release(self, manifest: Manifest) -> "Catalogue":
        """Return this catalogue with one more release."""
        number = manifest.sequence
        return replace(
            self,
            pins={**self.pins, number: Pin.of(encode(manifest))},
            releases={**self.releases, number: manifest},
        )

    def with_track(self, track: str, sequence: int) -> "Catalogue":
        """Return this catalogue with a track pointing at one of its releases.

        Raises:
            MissingError: it has no such release.

        """
        if sequence not in self.pins:
            known = ", ".join(str(number) for number in sorted(self.pins)) or "none"
            raise MissingError(
                f"channel {self.channel}: no release {sequence}", hint=f"releases kept: {known}"
            )
        pointer = Pointer(sequence, self.pins[sequence].sha256)
        moved = rollout.moved(self.tracks.get(track), pointer)
        return replace(self, tracks={**self.tracks, track: moved})

    @property
    def pointers(self) -> dict[int, Pointer]:
        """Every release as a track would point at it."""
        return {number: Pointer(number, pin.sha256) for number, pin in self.pins.items()}

    @property
    def needed(self) -> Iterator[int]:
        """The sequences that tracks point at, and hosts are pinned to."""
        for pointer in self.tracks.values():
            yield pointer.sequence
            yield from (to.sequence for to in rollout.pins(pointer).values())

    def keeping(self, sequences: frozenset[int]) -> "Catalogue":
        """Return this catalogue without the other releases."""
        return replace(
            self,
            pins={number: pin for number, pin in self.pins.items() if number in sequences},
            releases={number: m for number, m in self.releases.items() if number in sequences},
        )

    def documents(self) -> dict[str, bytes]:
        """Encode every manifest and pointer, by target."""
        manifests = {
            manifest_target(self.channel, number): encode(manifest)
            for number, manifest in self.releases.items()
        }
        pointers = {
            track_target(self.channel, track): encode(pointer)
            for track, pointer in self.tracks.items()
        }
        return manifests | pointers


async def read_catalogue(
    repository: StoredRepository, channel: str, listed: Mapping[str, Pin]
) -> Catalogue:
    """Read a channel from what its role lists.

    Raises:
        MissingError, DigestError: the store lost or damaged a manifest or a pointer.

    """
    pins: dict[int, Pin] = {}
    releases: dict[int, Manifest] = {}
    tracks: dict[str, Pointer] = {}
    for target, pin in listed.items():
        place = target.removeprefix(channel)
        if found := _RELEASE.fullmatch(place):
            number = int(found[1])
            pins[number] = pin
            releases[number] = await repository.manifest(channel, number, pin)
        elif found := _TRACK.fullmatch(place):
            data = await repository.read(target, pin, max_bytes=MAX_POINTER_BYTES)
            tracks[found[1]] = decode(data, Pointer, target)
    return Catalogue(channel, pins, releases, tracks)


async def read_pointers(
    repository: StoredRepository, channel: str
) -> tuple[dict[str, Pointer], dict[int, Pointer]]:
    """Return where a channel's tracks point, and its releases, as signed now; unverified.

    Raises:
        StateError, StoreError: the repository cannot be read.

    """
    pins = Publisher((await repository.in_force()).metadata, {}).pins(channel)
    catalogue = await read_catalogue(repository, channel, pins)
    return dict(catalogue.tracks), catalogue.pointers
