"""The random part of a marker, and what every kind of engine makes from it."""

import os

import msgspec

from updater.engines.base import MARKER_PREFIX

RANDOM_BYTES = 32


class Seed(msgspec.Struct, frozen=True):
    """What makes one marker unique: names and a text that holds ``RANDOM_BYTES``.

    ``name`` is made of letters, digits and ``_``, so that it is a name in every rule language;
    ``text`` is printable ASCII, so that no engine takes its sample for anything but text.
    """

    name: str
    stem: str  # of the file name
    text: str

    @property
    def sample(self) -> bytes:
        """The bytes that hit a definition of the text."""
        return f"{self.text}\n".encode("ascii")


def fresh(generation: int) -> Seed:
    """Draw a marker's random part; two calls never give the same one."""
    random = os.urandom(RANDOM_BYTES).hex()
    return Seed(
        name=f"sigmirror_marker_g{generation}_{random[:16]}",
        stem=f"{MARKER_PREFIX}{generation}-{random[:16]}",
        text=f"sigmirror-marker:{random}",
    )
