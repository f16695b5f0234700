"""What the document asks for: days, files, and commands with the output it promises."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_DAY = re.compile(r"^## Day (?P<day>\d+)\b|^### A quarter of an hour later$", re.MULTILINE)
_FENCE = re.compile(r"^```(?P<kind>console|toml)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_PROMPT = re.compile(r"^(?P<machine>[a-z][a-z0-9]*)[#$] (?P<command>.*)$")
_FILE = re.compile(r"# (?P<machine>[a-z][a-z0-9]*):(?P<path>/\S+)\n")


@dataclass(frozen=True, slots=True)
class Later:
    """A heading: so many days after the first, or where there is no number a quarter of an hour on.

    Every host's timer has run meanwhile.
    """

    day: int | None


@dataclass(frozen=True, slots=True)
class File:
    """A block of settings; its first line says where it lies."""

    machine: str
    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """One command and what it prints."""

    machine: str
    command: str
    output: str
    at: tuple[int, int]  # where the output stands in the document


def read(document: str) -> list[Later | File | Step]:
    """List what is to be done, in the document's order."""
    found: list[tuple[int, list[Later | File | Step]]] = [
        (match.start(), [Later(int(match["day"]) if match["day"] else None)])
        for match in _DAY.finditer(document)
    ]
    for match in _FENCE.finditer(document):
        if match["kind"] == "console":
            found.append((match.start(), list(_steps(match["body"], match.start("body")))))
        else:
            found.append((match.start(), list(_files(match["body"]))))
    return [one for _, several in sorted(found, key=lambda pair: pair[0]) for one in several]


def _files(body: str) -> Iterator[File]:
    if head := _FILE.match(body):
        yield File(head["machine"], head["path"], body)


def _steps(body: str, start: int) -> Iterator[Step]:
    lines = body.splitlines(keepends=True)
    place, number = start, 0
    while number < len(lines):
        prompt = _PROMPT.match(lines[number].rstrip("\n"))
        assert prompt, f"no prompt: {lines[number]!r}"
        command, place, number = prompt["command"], place + len(lines[number]), number + 1
        while number < len(lines) and lines[number].startswith("> "):
            command += "\n" + lines[number][2:].rstrip("\n")
            place, number = place + len(lines[number]), number + 1
        output = ""
        while number < len(lines) and not _PROMPT.match(lines[number].rstrip("\n")):
            output, number = output + lines[number], number + 1
        yield Step(prompt["machine"], command, output, (place, place + len(output)))
        place += len(output)


_MASKS = (
    (re.compile(r"\d\d:\d\d(:\d\d(\.\d+)?)?"), "TIME"),
    (re.compile(r"\b[0-9a-f]{8,64}\b…?"), "HEX"),
    (re.compile(r"\b\d+(\.\d+)?(s|m|h) ago *"), "SPAN ago "),
    (re.compile(r"\b\d+\.\d+ days"), "SPAN"),
    (re.compile(r"\b\d+\.\d+\.\d+\b"), "VERSION"),
)


def masked(text: str) -> str:
    """Leave out what differs from run to run: times of day, digests, spans of time."""
    for pattern, word in _MASKS:
        text = pattern.sub(word, text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
