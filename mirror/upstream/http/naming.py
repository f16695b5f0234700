"""What a fetched release is called and when the vendor made it. Pure."""

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime

from keys.model.release import File, encode
from mirror.upstream.http import versions
from mirror.upstream.http.fetching import Fetched

MAX_LABEL_CHARACTERS = 60
_TOLD = ("version-file", "json-pointer", "dns-txt")  # versions people can read
_OTHER = re.compile(r"[^A-Za-z0-9._+-]+")


def vendor_time(fetched: Sequence[Fetched]) -> datetime | None:
    """Tell when the vendor made it: by his newest signature, or else by his web server."""
    verdicts = (verdict for one in fetched for verdict in one.verified.verdicts)
    signed = [verdict.signed_at for verdict in verdicts if verdict.signed_at is not None]
    changed = [at for one in fetched if (at := versions.modified(one.headers)) is not None]
    return max(signed or changed, default=None)


def release_name(kind: str, version: str, made: datetime | None, files: Sequence[File]) -> str:
    """Name a release by its version or its time, and by its content."""
    content = hashlib.sha256(encode(sorted(files, key=lambda file: file.path))).hexdigest()
    if kind in _TOLD:
        label = _OTHER.sub("-", version)[:MAX_LABEL_CHARACTERS].strip("-")
        return f"{label}-{content[:8]}" if label else content[:16]
    return f"{made:%Y%m%dT%H%M%SZ}-{content[:8]}" if made else content[:16]
