"""The commands of a cdiff's script, read whole before any is followed.

One command a line (process_line in libclamav_rust/src/cdiff.rs); ``#`` begins a comment:

    OPEN member            what follows is about this member
    ADD line               append a line
    DEL n prefix           remove line n, which begins so
    XCHG n prefix line     replace line n, which begins so
    CLOSE                  do it: removals and replacements first, then what is appended
    MOVE from to n prefix m prefix     append lines n to m of one member to another, remove them
    UNLINK member          remove a member

Lines count from 1, as they are before the first change. A prefix ends at its first blank. What
ClamAV would follow only by luck is refused: two changes of one line, a member left open, a name
with path parts, a move that ends where it begins.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from keys.errors import FormatError

_NAME = re.compile(rb"[A-Za-z0-9_][A-Za-z0-9._]{0,98}")
_NUMBER = re.compile(rb"[1-9][0-9]{0,9}")
_COMMENT = b"#"


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one line: replaced by ``line``, or removed where that is None."""

    number: int
    prefix: bytes
    line: bytes | None


@dataclass(frozen=True, slots=True)
class Edit:
    """One member changed: ``changes`` in the order of the lines, then ``added`` appended."""

    member: str
    changes: tuple[Change, ...]
    added: bytes


@dataclass(frozen=True, slots=True)
class Move:
    """Lines of ``source``, both ends included, moved to the end of ``target``."""

    source: str
    target: str
    first: Change
    last: Change


@dataclass(frozen=True, slots=True)
class Unlink:
    """One member removed."""

    member: str


Step = Edit | Move | Unlink


def parse_script(script: bytes, name: str) -> tuple[Step, ...]:
    """Read a script; ``name`` is the cdiff's, for messages.

    Raises:
        FormatError: malformed; the message names the line.

    """
    if script and not script.endswith(b"\n"):
        raise FormatError(f"{name}: its script ends within a line")
    reading = _Reading()
    for number, line in enumerate(script.split(b"\n")[:-1], start=1):
        if not line.startswith(_COMMENT):
            try:
                reading.take(line)
            except _MalformedError as exc:
                raise FormatError(f"{name}: line {number} of its script: {exc}") from None
    if reading.member:
        raise FormatError(f"{name}: its script leaves {reading.member} open")
    return tuple(reading.steps)


class _MalformedError(Exception):
    pass


@dataclass(slots=True)
class _Reading:
    """How far a script was read."""

    steps: list[Step] = field(default_factory=list)
    member: str = ""
    changes: dict[int, Change] = field(default_factory=dict)
    added: list[bytes] = field(default_factory=list)

    def take(self, line: bytes) -> None:
        word, blank, rest = line.partition(b" ")
        commands: dict[bytes, Callable[[bytes], None]] = {
            b"OPEN": self._open,
            b"ADD": self._add,
            b"DEL": self._delete,
            b"XCHG": self._exchange,
            b"CLOSE": self._close,
            b"MOVE": self._move,
            b"UNLINK": self._unlink,
        }
        command = commands.get(word)
        if not command or not (blank or word == b"CLOSE"):
            raise _MalformedError(f"not a command: {line[:40]!r}")
        if (word in {b"OPEN", b"MOVE", b"UNLINK"}) == bool(self.member):
            raise _MalformedError(f"{self.member or 'no member'} is open")
        command(rest)

    def _open(self, rest: bytes) -> None:
        self.member = _member(rest)

    def _add(self, rest: bytes) -> None:
        self.added.append(rest + b"\n")

    def _delete(self, rest: bytes) -> None:
        number, prefix, *_ = _fields(rest, 2)
        self._change(Change(_number(number), prefix, None))

    def _exchange(self, rest: bytes) -> None:
        number, prefix, line = _fields(rest, 3, last_whole=True)
        self._change(Change(_number(number), prefix, line))

    def _change(self, change: Change) -> None:
        if change.number in self.changes:
            raise _MalformedError(f"line {change.number} of {self.member} is changed twice")
        self.changes[change.number] = change

    def _close(self, _rest: bytes) -> None:
        changes = tuple(sorted(self.changes.values(), key=lambda change: change.number))
        self.steps.append(Edit(self.member, changes, b"".join(self.added)))
        self.member, self.changes, self.added = "", {}, []

    def _move(self, rest: bytes) -> None:
        source, target, start, start_prefix, end, end_prefix, *_ = _fields(rest, 6)
        first = Change(_number(start), start_prefix, None)
        last = Change(_number(end), end_prefix, None)
        move = Move(_member(source), _member(target), first, last)
        if move.source == move.target or first.number >= last.number:
            raise _MalformedError("a move onto itself, or of no lines")
        self.steps.append(move)

    def _unlink(self, rest: bytes) -> None:
        self.steps.append(Unlink(_member(rest.partition(b" ")[0])))


def _fields(rest: bytes, count: int, *, last_whole: bool = False) -> list[bytes]:
    fields = rest.split(b" ", count - 1) if last_whole else rest.split(b" ")
    if len(fields) < count:
        raise _MalformedError(f"{count} fields are needed: {rest[:40]!r}")
    return fields


def _member(name: bytes) -> str:
    if not _NAME.fullmatch(name):
        raise _MalformedError(f"not a plain file name: {name[:40]!r}")
    return name.decode("ascii")


def _number(text: bytes) -> int:
    if not _NUMBER.fullmatch(text):
        raise _MalformedError(f"not a line number: {text[:40]!r}")
    return int(text)
