"""A cdiff's script followed in a folder with an unpacked database, one line in memory at a time."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from keys import files
from keys.errors import DigestError, FormatError, LimitError
from keys.trust.vendor.cdiff import Cdiff
from keys.trust.vendor.script import Change, Edit, Move, Step, Unlink

MAX_LINE_BYTES = 4 << 20


def apply_cdiff(cdiff: Cdiff, folder: Path, name: str) -> None:
    """Change the members in a folder to those of the next version; ``name`` is for messages.

    After an error the folder is neither the old version nor the new one: the caller discards it.

    Raises:
        DigestError: a line or a member is not what the script says: another version, or damage.
        FormatError, LimitError: a member that is not made of lines, or beyond ``MAX_LINE_BYTES``.

    """
    for step in cdiff.steps:
        try:
            _follow(step, folder, name)
        except FileNotFoundError as exc:
            missing = Path(exc.filename).name
            raise DigestError(f"{name}: there is no {missing} to change") from exc


def _follow(step: Step, folder: Path, name: str) -> None:
    match step:
        case Edit():
            _edit(step, folder / step.member, name)
        case Move():
            _move(step, folder / step.source, folder / step.target, name)
        case Unlink():
            (folder / step.member).unlink()


def _edit(step: Edit, path: Path, name: str) -> None:
    if step.changes:
        with path.open("rb") as old, files.replacing(path) as new:
            lines = _Lines(old, f"{name}: {path.name}")
            new.writelines(_changed(lines, step.changes))
            lines.copy_rest(new)
    if step.added:
        with path.open("ab") as file:
            file.write(step.added)


def _changed(lines: "_Lines", changes: tuple[Change, ...]) -> Iterator[bytes]:
    """Yield the lines up to the last that changes, changed."""
    for change in changes:
        yield from lines.before(change)
        lines.expect(change)
        if change.line is not None:
            yield change.line + b"\n"


def _move(step: Move, source: Path, target: Path, name: str) -> None:
    if not target.is_file():
        raise FileNotFoundError(None, None, str(target))
    with source.open("rb") as old, files.replacing(source) as kept, target.open("ab") as moved:
        lines = _Lines(old, f"{name}: {source.name}")
        kept.writelines(lines.before(step.first))
        moved.write(lines.expect(step.first))
        moved.writelines(lines.before(step.last))
        moved.write(lines.expect(step.last))
        lines.copy_rest(kept)


class _Lines:
    """The lines of a member, read in order."""

    def __init__(self, file: BinaryIO, what: str) -> None:
        self._file = file
        self._what = what
        self._number = 0

    def before(self, change: Change) -> Iterator[bytes]:
        """Yield the lines that stand before one that changes."""
        while self._number < change.number - 1:
            yield self._next()

    def expect(self, change: Change) -> bytes:
        """Read a line that must begin as the script says."""
        line = self._next()
        if not line.removesuffix(b"\n").startswith(change.prefix):
            raise DigestError(
                f"{self._what}: line {change.number} is {line[:40]!r}, not {change.prefix[:40]!r}…"
            )
        return line

    def _next(self) -> bytes:
        line = self._file.readline(MAX_LINE_BYTES + 1)
        self._number += 1
        if not line:
            raise DigestError(f"{self._what}: has no line {self._number}")
        if len(line) > MAX_LINE_BYTES:
            raise LimitError(f"{self._what}: a line exceeds MAX_LINE_BYTES={MAX_LINE_BYTES}")
        if not line.endswith(b"\n"):
            raise FormatError(f"{self._what}: its last line has no end")
        return line

    def copy_rest(self, target: BinaryIO) -> None:
        """Copy the lines that are left."""
        if os.fstat(self._file.fileno()).st_size > self._file.tell():
            shutil.copyfileobj(self._file, target, 1 << 20)
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":
                raise FormatError(f"{self._what}: its last line has no end")
