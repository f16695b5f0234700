"""Does a release shrink too much to be published unseen? A decision, nothing else."""

from collections.abc import Iterable
from typing import Annotated

import msgspec

from keys.errors import Error
from keys.model.release import File, Wire

Total = Annotated[int, msgspec.Meta(ge=0)]


class Size(Wire, frozen=True):
    """How much a release holds; ``signatures`` is None where the vendor does not count them."""

    length: Total
    signatures: Total | None = None

    @classmethod
    def of(cls, files: Iterable[File], signatures: int | None) -> "Size":
        """Add up a release's files."""
        return cls(sum(file.length for file in files), signatures)


class Shrink(Wire, frozen=True):
    """A release that is smaller than ``below_percent`` of the one before."""

    before: Size
    after: Size
    below_percent: int

    @property
    def percent(self) -> int:
        """What is left, in bytes or in signatures, whichever shrank more; rounded down."""
        return min(_shares(self.before, self.after))

    def __str__(self) -> str:
        """Say it to an operator."""
        counts = ""
        if self.before.signatures is not None and self.after.signatures is not None:
            counts = f", {self.before.signatures} -> {self.after.signatures} signatures"
        return (
            f"shrinks to {self.percent} % ({self.before.length} -> {self.after.length} bytes"
            f"{counts}); below {self.below_percent} % a release is held"
        )


class ShrunkError(Error):
    """A release was not published because it shrinks too much."""

    default_hint = "look at its files; --allow-shrink publishes them all the same"

    def __init__(self, shrink: Shrink, what: str) -> None:
        super().__init__(f"{what} {shrink}")
        self.shrink = shrink


def shrink_of(before: Size, after: Size, *, below_percent: int) -> Shrink | None:
    """Tell how a release shrinks, if bytes or signatures fall below a share of those before.

    What was empty, or is not counted on both sides, cannot shrink.
    """
    shrink = Shrink(before, after, below_percent)
    return shrink if shrink.percent < below_percent else None


def _shares(before: Size, after: Size) -> Iterable[int]:
    """List what is left of each measure, in percent, at least of the bytes."""
    yield _share(before.length, after.length)
    if before.signatures is not None and after.signatures is not None:
        yield _share(before.signatures, after.signatures)


def _share(before: int, after: int) -> int:
    return after * 100 // before if before else 100
