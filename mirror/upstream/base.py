"""The contract of an upstream: one configured way to pull from a vendor.

``check`` is cheap, ``fetch`` brings candidate bytes into a quarantine folder of its own. Nothing
fetched is trusted until the upstream's own scheme verified it; what is returned has been.
"""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from keys.model.release import Assurance, File, Provenance


@dataclass(frozen=True, slots=True)
class Offer:
    """What an upstream has: ``version`` is compared with the last one pulled."""

    version: str
    address: str  # redacted
    status: str  # what the vendor answered, in a word or a number
    length: int | None = None
    assurance: Assurance = Assurance.none


@dataclass(frozen=True, slots=True)
class Candidate:
    """A verified release that is not published yet; ``files`` lie below ``folder``."""

    release: str
    vendor_time: datetime | None
    assurance: Assurance
    provenance: Provenance
    folder: Path
    files: tuple[File, ...]
    originals: tuple[File, ...] = ()


@dataclass(frozen=True, slots=True)
class Advance:
    """A vendor's own repository, verified up to a timestamp version, to be passed through.

    ``metadata`` and ``blobs`` map names below the repository (``metadata/3.root.json``,
    ``targets/…``) to files in quarantine; what the store has already is not among them.
    ``chosen`` maps each channel to the (sequence, manifest sha256) this site is entitled to.
    """

    timestamp_version: int
    metadata: dict[str, Path]
    blobs: dict[str, Path]
    chosen: dict[str, tuple[int, str]] = field(default_factory=dict)


class Upstream(Protocol):
    """One way to pull; built from its settings, holds no state between pulls."""

    name: str
    kind: str

    async def check(self) -> Offer:
        """Ask what there is, as cheaply as the vendor allows; write nothing.

        Raises:
            CredentialError: the vendor rejected the credential; pulls stop.
            FetchError: the vendor did not answer.

        """
        ...

    async def fetch(self, offer: Offer, quarantine: Path) -> Candidate | Advance:
        """Bring the offered bytes into quarantine and verify them in the vendor's scheme.

        Raises:
            TrustError: the bytes are not what the vendor signed, or changed in between.
            CredentialError, FetchError, LimitError: nothing usable came.

        """
        ...
