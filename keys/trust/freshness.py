"""Has anything changed? Answered with two requests and without loading the TUF library.

A run may stop here only when the mirror has no newer root, serves the very timestamp this host
settled on, and no role in use has expired: a mirror that is frozen is then still noticed.
"""

import hashlib
from datetime import datetime
from pathlib import Path

from keys.errors import MissingError
from keys.trust.clock import Clock
from keys.trust.limits import MetadataLimits
from keys.trust.source import MetadataSource


def unchanged(
    metadata_folder: Path,
    clock_file: Path,
    source: MetadataSource,
    *,
    now: datetime,
    limits: MetadataLimits = MetadataLimits(),  # noqa: B008 - frozen
) -> bool:
    """Tell whether the last settled run still holds; False whenever that is not certain.

    Raises:
        StateError: the clock file cannot be used.
        FetchError, LimitError: the mirror did not answer as it should.

    """
    known = Clock(clock_file).known()
    if not known.settled or known.reference(now).time >= known.earliest_expiry:
        return False
    if _digest(metadata_folder / "timestamp.json") != known.settled:
        return False
    try:
        source.read(f"{known.root_version + 1}.root.json", max_bytes=limits.max_root_bytes)
    except MissingError:
        return _digest_served(source, limits) == known.settled
    return False


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _digest_served(source: MetadataSource, limits: MetadataLimits) -> str:
    try:
        served = source.read("timestamp.json", max_bytes=limits.max_timestamp_bytes)
    except MissingError:
        return ""
    return hashlib.sha256(served).hexdigest()
