"""Which names an object may have; every store refuses the others alike."""

from keys.errors import NameRefusedError

MAX_NAME_BYTES = 1024
MAX_SEGMENT_BYTES = 255


def check(name: str) -> str:
    """Return an object's name if it is a clean relative path without hidden segments.

    Raises:
        NameRefusedError: empty, absolute, over-long, or with a segment that is empty, begins
            with a dot, or holds a backslash or an unprintable character.

    """
    if "\\" in name or not name.isprintable():
        raise NameRefusedError(f"object {name!r}: a backslash or an unprintable character")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise NameRefusedError(f"object {name[:80]!r}…: longer than {MAX_NAME_BYTES} bytes")
    for segment in name.split("/"):
        if not segment or segment.startswith(".") or len(segment.encode()) > MAX_SEGMENT_BYTES:
            raise NameRefusedError(f"object {name!r}: an empty, hidden or over-long segment")
    return name
