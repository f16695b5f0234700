"""The contract of an upstream: one configured way to pull from a vendor.

``check`` is cheap, ``fetch`` brings candidate bytes into a quarantine folder of its own. Nothing
fetched is trusted until the upstream's own scheme verified it; what is returned has been.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from keys.credentials import Credential
from keys.errors import LicenceEndedError
from keys.model.release import Assurance, File, Pin, Pointer, Provenance
from mirror.feeds import UpstreamSettings
from mirror.upstream.transcript import Transcript


@dataclass(frozen=True, slots=True)
class Offer:
    """What an upstream has.

    ``version`` is empty when there is nothing to pull now. ``unchanged`` says whether the last
    pull still holds; None leaves that to comparing ``version`` with the one pulled last.
    ``note`` says what was not as it should be on the way.
    """

    version: str
    address: str  # redacted
    status: str  # what the vendor answered, in a word or a number
    length: int | None = None
    assurance: Assurance = Assurance.none
    unchanged: bool | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A verified release that is not published yet; all its files lie below ``folder``.

    ``originals`` are the vendor's own bytes where ``files`` are not; no path is in both.
    ``signatures`` counts the definitions, where the vendor's format says how many there are.
    """

    release: str
    vendor_time: datetime | None
    assurance: Assurance
    provenance: Provenance
    folder: Path
    files: tuple[File, ...]
    originals: tuple[File, ...] = ()
    signatures: int | None = None


@dataclass(frozen=True, slots=True)
class Advance:
    """A vendor's own repository, verified up to a timestamp version, to be passed through.

    ``metadata`` maps role files (``3.root.json``), in the order they are published, to files in
    quarantine, the timestamp last and once; ``blobs`` maps targets to their pins and files. What
    the store has already is not among the blobs. ``chosen`` maps each channel to the release this
    site takes; ``ended`` says why that is not the vendor's newest, when a licence is the reason;
    ``notes`` tell what else was left out.
    """

    timestamp_version: int
    metadata: Mapping[str, Path]
    blobs: Mapping[str, tuple[Pin, Path]]
    chosen: Mapping[str, Pointer]
    ended: LicenceEndedError | None = None
    notes: tuple[str, ...] = ()


def ignore_bytes(_count: int) -> None:
    """Take no notice of progress."""


@dataclass(frozen=True, slots=True)
class Pull:
    """The circumstances of one pull.

    ``definitions`` is False when the site's licence has ended: then only metadata is brought.
    ``on_bytes`` hears of bytes as they come, from any thread.
    """

    now: datetime
    definitions: bool = True
    on_bytes: Callable[[int], None] = ignore_bytes


@dataclass(frozen=True, slots=True)
class Feed:
    """What an adapter of someone else's feed is built from.

    ``credential`` is the licence's, or the upstream's own user name and password. ``last`` is the
    version of the last pull. ``folder`` is the adapter's own memory; it may be lost at any time.
    """

    settings: UpstreamSettings
    credential: Credential | None
    last: str
    folder: Path


class Held(Protocol):
    """What the store has of the repository an upstream passes through."""

    async def holds(self, target: str, pin: Pin) -> bool:
        """Tell whether a target's bytes are there."""
        ...

    async def read(self, target: str, pin: Pin, *, max_bytes: int) -> bytes:
        """Return a target's bytes."""
        ...


class Upstream(Protocol):
    """One way to pull; built from its settings, holds no state between pulls."""

    name: str
    kind: str
    passes_through: bool  # True: `fetch` brings an Advance, else a Candidate
    remote: bool  # True: asks someone else's server, so its interval and cool-downs count
    lacks: tuple[str, ...]  # what this way to pull cannot do, for the status
    transcript: Transcript

    async def check(self, *, now: datetime) -> Offer:
        """Ask what there is, as cheaply as the vendor allows; write nothing.

        Raises:
            CredentialError: the vendor rejected the credential; pulls stop.
            BusyError: the vendor wants us to stay away for some seconds; that is remembered.
            FetchError: the vendor did not answer.

        """
        ...

    async def fetch(self, quarantine: Path, pull: Pull) -> Candidate | Advance:
        """Bring what there is into an empty quarantine folder, verified in the vendor's scheme.

        Raises:
            TrustError: the bytes are not what the vendor signed, or changed in between.
            CredentialError, FetchError, LimitError: nothing usable came.

        """
        ...

    async def settle(self) -> None:
        """Note that what was fetched is published: the next ``check`` may say ``unchanged``."""
        ...
