"""A measured row: as one line of a table, and as one line of JSON."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

Better = Literal["lower", "higher"]
HEADINGS = ("row", "measured", "floor", "goal", "unit", "")
DIGITS = 3


class Row(msgspec.Struct, frozen=True):
    """One figure. ``floor`` is the least that is accepted, ``goal`` what is aimed at."""

    name: str
    measured: float
    floor: float | None
    goal: float | None
    better: Better
    unit: str

    @property
    def verdict(self) -> str:
        """Tell in a word how the figure stands to floor and goal."""
        if self.floor is not None and not self._reaches(self.floor):
            return "MISSED"
        if self.goal is None:
            return ""
        return "goal met" if self._reaches(self.goal) else "goal missed"

    def _reaches(self, mark: float) -> bool:
        return self.measured <= mark if self.better == "lower" else self.measured >= mark


@dataclass(frozen=True, slots=True)
class Measured:
    """A row, and the figures it was made of, in words."""

    row: Row
    detail: str


def lower(
    name: str, measured: float, unit: str, *, floor: float | None = None, goal: float | None = None
) -> Row:
    """Make a row of which less is better."""
    return Row(name, float(f"{measured:.{DIGITS}g}"), floor, goal, "lower", unit)


def count(
    name: str, measured: int, unit: str, *, floor: int | None = None, goal: int | None = None
) -> Row:
    """Make a row that is an exact count, of which less is better."""
    return Row(name, measured, floor, goal, "lower", unit)


@dataclass(frozen=True, slots=True)
class Samples:
    """Seconds that we took and that a public reference took, in the same run."""

    ours: Sequence[float]
    theirs: Sequence[float]
    reference: str


def against(
    name: str,
    samples: Samples,
    statistic: Callable[[Sequence[float]], float],
    *,
    floor: float | None = None,
    goal: float | None = None,
) -> Measured:
    """Make a row of a ratio to a reference, between the minima or the medians."""
    ours, theirs = statistic(samples.ours), statistic(samples.theirs)
    kind = f"{statistic.__name__} of {len(samples.ours)}"
    row = lower(name, ours / theirs, f"x {samples.reference} ({kind})", floor=floor, goal=goal)
    return Measured(row, f"{kind}: {ours:.3f} s; {samples.reference}: {theirs:.3f} s")


def seconds(name: str, taken: Sequence[float], *, floor: float, goal: float) -> Row:
    """Make a row of a median of wall times."""
    unit = f"s (median of {len(taken)})"
    return lower(name, statistics.median(taken), unit, floor=floor, goal=goal)


def table(rows: Sequence[Row]) -> str:
    """Lay rows out in columns."""
    lines = [HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cells(row: Row) -> tuple[str, ...]:
    sign = "≤ " if row.better == "lower" else "≥ "
    floor, goal = ("" if mark is None else f"{sign}{mark:g}" for mark in (row.floor, row.goal))
    return row.name, f"{row.measured:g}", floor, goal, row.unit, row.verdict


def to_json(rows: Sequence[Row]) -> bytes:
    """Write rows as lines of JSON."""
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def from_json(lines: bytes) -> list[Row]:
    """Read rows back."""
    return [msgspec.json.decode(line, type=Row) for line in lines.splitlines()]
