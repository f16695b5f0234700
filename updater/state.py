"""What one engine of this host has: its generations, and the step a crash may have interrupted.

``state.json`` is written before each step. What is in force is told by the link ``current``, never
by this file: the link moves in one rename, and the next run compares the two.
"""

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from keys import files
from keys.errors import StateError
from keys.model.ignore import Ignored
from keys.model.release import Assurance, Instant, Manifest, Sequence, Sha256, Wire, encode

MAX_STATE_BYTES = 4 << 20

T = TypeVar("T")


class Proved(Enum):
    """How far it is known that the engine runs a generation."""

    proven = "proven"
    probed = "probed"
    unproven = "unproven"
    failed = "failed"


class Step(Enum):
    """What was being done when the state was last written."""

    stage = "stage"  # the target's folder is being made or tested; `current` is untouched
    swap = "swap"  # `current` moves to the target, the engine reloads and is proven
    back = "back"  # `current` moves back to the origin


class Release(Wire, frozen=True):
    """A release as this host remembers it."""

    sequence: Sequence
    manifest_sha256: Sha256
    release: str = ""
    published: Instant | None = None
    assurance: Assurance = Assurance.none

    @classmethod
    def of(cls, manifest: Manifest, manifest_sha256: str) -> "Release":
        """Remember what a manifest says."""
        return cls(
            sequence=manifest.sequence,
            manifest_sha256=manifest_sha256,
            release=manifest.release,
            published=manifest.published,
            assurance=manifest.assurance,
        )


class MarkerRecord(Wire, frozen=True):
    """What is needed to look for a marker again; its definition lies in the generation."""

    name: str
    sample: bytes
    file_name: str
    decoy_name: str = ""  # of a definition that is ignored with the others, if any are
    decoy_sample: bytes = b""
    sha256: str = ""  # of its file; "" where an older version of the updater made it


class Generation(Wire, frozen=True):
    """One folder an engine can read: a release of each channel, the overlay, a marker."""

    number: int
    name: str  # of its folder: <number>-<8 hex digits>
    created: Instant
    releases: dict[str, Release]  # by channel, as the settings write it
    overlay: str = ""  # fingerprint of the host's own definitions
    ignored: Mapping[str, tuple[str, ...]] = msgspec.field(
        default_factory=dict
    )  # signatures, by channel as the settings write it
    idle: tuple[str, ...] = ()  # those of them that the engine has no definition of
    marker: MarkerRecord | None = None
    signatures: int = 0
    proof: Proved = Proved.unproven
    proof_at: Instant | None = None

    def equals(self, other: "Generation") -> bool:
        """Tell whether both hold the same definitions; each has a marker of its own."""
        same = (self.overlay, self.ignored) == (other.overlay, other.ignored)
        return same and digests(self.releases) == digests(other.releases)


class Journal(Wire, frozen=True):
    """The change under way: from the folder ``origin`` ("" if there is none) to ``target``."""

    step: Step
    target: str
    origin: str


class EngineState(Wire, frozen=True):
    """Everything remembered about one engine; every change gives a new value."""

    format: Literal[1] = 1
    last_number: int = 0
    generations: tuple[Generation, ...] = ()
    previous: str = ""  # the folder that was in force before the present one
    journal: Journal | None = None
    settled: str = ""  # fingerprint of what the last run without trouble was offered
    ignores: tuple[Ignored, ...] = ()  # what the site last said of this engine's channels

    def find(self, name: str) -> Generation | None:
        """Return the generation with this folder name."""
        return next((found for found in self.generations if found.name == name), None)

    def older(self, generation: Generation) -> tuple[Generation, ...]:
        """List the older ones that were in force and are not the same, the newest first."""
        before = (k for k in reversed(self.generations) if k.number < generation.number)
        return tuple(k for k in before if k.proof_at is not None and not k.equals(generation))

    def keeping(self, generation: Generation) -> "EngineState":
        """Add a generation, or replace the one of the same name."""
        others = (kept for kept in self.generations if kept.name != generation.name)
        ordered = sorted((*others, generation), key=lambda kept: kept.number)
        last = max(self.last_number, generation.number)
        return msgspec.structs.replace(self, generations=tuple(ordered), last_number=last)

    def without(self, names: frozenset[str]) -> "EngineState":
        """Forget generations."""
        left = tuple(kept for kept in self.generations if kept.name not in names)
        return msgspec.structs.replace(self, generations=left)

    def at(self, step: Step, *, target: str, origin: str) -> "EngineState":
        """Note the step that is about to be done."""
        return msgspec.structs.replace(self, journal=Journal(step, target, origin), settled="")

    def done(self, *, previous: str | None = None) -> "EngineState":
        """Note that no change is under way."""
        before = self.previous if previous is None else previous
        return msgspec.structs.replace(self, journal=None, previous=before)

    def settle(self, fingerprint: str) -> "EngineState":
        """Note what the run that found nothing more to do was offered."""
        return msgspec.structs.replace(self, settled=fingerprint)


class StateFile:
    """``state.json`` of one engine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> EngineState:
        """Read the state; an engine nothing was installed for has an empty one.

        Raises:
            StateError: unreadable or damaged; nothing was changed.

        """
        return read(self._path, EngineState, EngineState())

    def save(self, state: EngineState) -> EngineState:
        """Make a state durable and return it."""
        write(self._path, state)
        return state


def read(path: Path, kind: type[T], default: T) -> T:
    """Read one of the updater's own files, ``default`` where there is none.

    Raises:
        StateError: unreadable, larger than ``MAX_STATE_BYTES``, or damaged.

    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_STATE_BYTES + 1)
    except FileNotFoundError:
        return default
    except OSError as exc:
        raise StateError(f"{path}: {exc.strerror or exc}") from exc
    if len(data) > MAX_STATE_BYTES:
        raise StateError(f"{path}: larger than MAX_STATE_BYTES={MAX_STATE_BYTES}")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise StateError(
            f"{path}: damaged: {exc}",
            hint="the engine goes on with what `current` points at; move this file away and the "
            "next run installs a fresh generation beside it",
        ) from exc


def write(path: Path, value: object) -> None:
    """Replace one of the updater's own files.

    Raises:
        StateError: the disk is full or the folder cannot be written.

    """
    try:
        files.write(path, encode(value))
    except OSError as exc:
        raise StateError(f"{path}: {exc.strerror or exc}") from exc


def digests(releases: Mapping[str, Release]) -> dict[str, str]:
    """Reduce releases to what identifies them: channel to manifest sha256."""
    return {channel: release.manifest_sha256 for channel, release in releases.items()}
