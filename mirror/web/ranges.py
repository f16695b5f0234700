"""Which bytes a request asks for (RFC 9110 §14), one range at most (pure)."""

import re

_SINGLE = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*")


def wanted(header: str, length: int) -> range | None:
    """Return the offsets asked for; empty when none exists, None when the header does not count.

    Several ranges, another unit and malformed ranges do not count: the whole object is sent.
    """
    match = _SINGLE.fullmatch(header)
    if match is None or match.group(0).strip() == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        return range(max(0, length - int(last)), length) if last else None
    if last and int(last) < int(first):
        return None
    stop = min(int(last) + 1, length) if last else length
    return range(int(first), stop)


def content_range(offsets: range, length: int) -> str:
    """Write the ``Content-Range`` of an answer; empty offsets are an unsatisfied range."""
    if not offsets:
        return f"bytes */{length}"
    return f"bytes {offsets.start}-{offsets.stop - 1}/{length}"
