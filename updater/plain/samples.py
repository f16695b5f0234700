"""Bytes that a definition must find, made from the definition itself: pure.

Of most definitions no such bytes can be made: a digest tells nothing of its file. What can be are
plain byte sequences for files of any type, and the digests of the test file that every vendor has.
"""

import functools
import hashlib
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

MAX_SAMPLES = 3  # of one file: the last ones, which came last
MAX_SAMPLE_BYTES = 64 << 10
MIN_SEQUENCE_BYTES = 8
MAX_LINES_TRIED = 20_000
DIGESTS = frozenset({".hdb", ".hsb"})
FORMS = DIGESTS | {".ndb", ".ldb"}
_BEFORE = b"sigupdate asks whether this is found: "
_NAME = re.compile(rb"[!-9<-~]{1,200}")
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2})+")
_ANY_FILE = re.compile(rb"(?:Engine:[0-9]+-255,)?Target:0")
_ALL = re.compile(rb"0(?:&[0-9]+)*")
_RULE = re.compile(
    rb"""rule\s+(?P<name>\w{1,128})[^{}]{0,200}\{[^{}]{0,20000}?
        strings:\s*\$\w*\s*=\s*"(?P<text>[ !#-\[\]-~]{8,1000})"\s*(?:ascii\s*)?
        condition:\s*(?:\$\w*|any\s+of\s+them|all\s+of\s+them)\s*\}""",
    re.VERBOSE,
)
_OLD_LEVEL = (
    100  # a definition for this level of the engine or below is read by every clamd there is
)


@dataclass(frozen=True, slots=True)
class Sample:
    """Bytes, and the name of the definition that finds them."""

    name: str
    data: bytes


def last_of(form: str, lines: Iterable[bytes], ignored: frozenset[str]) -> list[Sample]:
    """Make samples of the last definitions of a file that allow it, the newest first."""
    make = _MAKERS.get(form)
    if make is None:
        return []
    made = (make(line.rstrip(b"\r\n")) for line in reversed(deque(lines, MAX_LINES_TRIED)))
    usable = (one for one in made if one and one.name not in ignored)
    return list(islice((one for one in usable if len(one.data) <= MAX_SAMPLE_BYTES), MAX_SAMPLES))


def may_matter(form: str, text: bytes) -> bool:
    """Tell whether a part of a file can hold a definition that makes a sample."""
    return form not in DIGESTS or any(digest in text for digest in _known())


def of_rules(text: bytes) -> list[Sample]:
    """Make samples of the YARA rules of one plain text, named as clamd reports them."""
    found = [
        _sample(b"YARA." + rule["name"], _BEFORE + rule["text"]) for rule in _RULE.finditer(text)
    ]
    return [sample for sample in reversed(found) if sample][:MAX_SAMPLES]


def _body(line: bytes) -> Sample | None:
    """Read ``Name:Target:Offset:Hex[:MinLevel[:MaxLevel]]``."""
    fields = line.split(b":")
    if len(fields) not in {4, 5} or fields[1] != b"0" or fields[2] not in {b"0", b"*"}:
        return None
    if len(fields) == 5 and not (fields[4].isdigit() and int(fields[4]) <= _OLD_LEVEL):
        return None
    data = _sequence(fields[3])
    return _sample(fields[0], data if fields[2] == b"0" else _BEFORE + data) if data else None


def _logical(line: bytes) -> Sample | None:
    """Read ``Name;Target:0;0&1;hex;hex``."""
    name, *rest = line.split(b";")
    if len(rest) < 3 or not _ANY_FILE.fullmatch(rest[0]) or not _ALL.fullmatch(rest[1]):
        return None
    parts = [_sequence(one) for one in rest[2:]]
    wanted = {int(one) for one in rest[1].split(b"&")}
    return (
        _sample(name, _BEFORE + b" ".join(parts))
        if all(parts) and max(wanted) < len(parts)
        else None
    )


def _digest(line: bytes) -> Sample | None:
    """Read ``digest:size:Name`` of a file that is known."""
    data = _known().get(line.partition(b":")[0])
    if data is None:
        return None
    fields = line.split(b":")
    known = len(fields) >= 3 and fields[1] in {b"*", b"%d" % len(data)}
    return _sample(fields[2], data) if known else None


@functools.cache
def _known() -> dict[bytes, bytes]:
    """Return the standard test file by its digests; it is put together so that none holds it."""
    eicar = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-" + b"ANTIVIRUS-TEST-FILE!$H+H*"
    return {
        hashlib.md5(eicar, usedforsecurity=False).hexdigest().encode(): eicar,
        hashlib.sha256(eicar).hexdigest().encode(): eicar,
    }


def _sequence(text: bytes) -> bytes:
    """Decode plain hex of some length; nothing where there is a wildcard or modifier."""
    if not _HEX.fullmatch(text) or len(text) < 2 * MIN_SEQUENCE_BYTES:
        return b""
    return bytes.fromhex(text.decode("ascii"))


def _sample(name: bytes, data: bytes) -> Sample | None:
    optional = name.startswith((b"PUA.", b"Heuristics."))  # switched on by the operator
    if optional or not _NAME.fullmatch(name):
        return None
    return Sample(name.decode("ascii"), data)


_MAKERS = {".ndb": _body, ".ldb": _logical, ".hdb": _digest, ".hsb": _digest}
