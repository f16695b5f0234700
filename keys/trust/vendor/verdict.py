"""What a vendor's signature or checksum says of bytes that passed it."""

from dataclasses import dataclass
from datetime import datetime

from keys.model.release import Assurance

_WEAKEST_LAST = tuple(Assurance)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Bytes passed one check; what did not pass raises a TrustError instead.

    ``signer`` is a key's fingerprint, a certificate's subject or the name of a built-in key.
    ``version`` and ``signatures`` are the vendor's own, covered by the check, where he states them;
    so is ``comment``, his own words.
    """

    scheme: str  # cvd, cld, cdiff, clamsign, openpgp, minisign, sha512, sha256, md5, size
    assurance: Assurance
    signer: str = ""
    version: str = ""
    signatures: int | None = None
    signed_at: datetime | None = None
    comment: str = ""


def strongest(verdicts: tuple[Verdict, ...]) -> Assurance:
    """Return the assurance of one file that passed all of these; ``none`` without any."""
    found = (verdict.assurance for verdict in verdicts)
    return min(found, key=_WEAKEST_LAST.index, default=Assurance.none)


def weakest(files: tuple[Assurance, ...]) -> Assurance:
    """Return the assurance of a release: that of its least assured file."""
    return max(files, key=_WEAKEST_LAST.index, default=Assurance.none)
