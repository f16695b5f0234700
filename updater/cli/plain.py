"""`sigupdate prove --engine clamd` on a host where nothing of ours is set up."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keys.errors import TrustError, UnprovenError
from keys.model.instant import utc
from updater.cli.host import say, say_json
from updater.plain.comparison import Line, Outcome, Runs
from updater.plain.disk import Database
from updater.plain.look import Look, look
from updater.plain.place import PlainClamd

_CODES = {
    Outcome.same: 0,
    Outcome.refused: TrustError.exit_code,
    Outcome.down: UnprovenError.exit_code,
    Outcome.differs: UnprovenError.exit_code,
    Outcome.unknown: UnprovenError.exit_code,
}
_SAID = {
    Outcome.same: "clamd runs what is on disk",
    Outcome.differs: "clamd does not run what is on disk",
    Outcome.unknown: "whether clamd runs what is on disk cannot be told of every file",
    Outcome.down: "clamd does not answer",
    Outcome.refused: "a database on disk is not what its vendor signed",
}


def prove(config: Path | None, socket: str, *, with_marker: bool, as_json: bool) -> int:
    """Say what is on disk, what clamd runs, and whether they differ; return the exit code.

    Raises:
        Error: as of ``look``.

    """
    seen = look(PlainClamd.find(config, socket), with_marker=with_marker)
    if as_json:
        say_json(_told(seen))
    else:
        for line in _lines(seen):
            say(line)
    return _CODES[seen.comparison.outcome]


def _lines(seen: Look) -> Iterator[str]:
    running = seen.running
    since = f", running since {utc(running.started)}" if running.started else ""
    yield f"clamd      {seen.place.address}: {running.version or 'no answer'}{since}"
    yield f"databases  {seen.folder.path}"
    for line in seen.comparison.lines:
        yield f"  {line.runs.value:8}  {_described(line.database)}: {line.why}"
    yield from (f"note: {note}" for note in seen.comparison.notes)
    if seen.proof:
        yield f"marker: {seen.proof.result.value}: {seen.proof.detail}"
    yield _SAID[seen.comparison.outcome]
    yield from _advice(seen)


def _advice(seen: Look) -> Iterator[str]:
    outcome = seen.comparison.outcome
    if outcome is Outcome.down:
        yield "do: start clamd, then ask again"
    elif outcome is Outcome.differs:
        seconds = seen.place.self_check_seconds
        itself = f"; by itself it looks every {seconds} seconds" if seconds else ""
        yield f"do: clamdscan --reload{itself}"
    elif outcome is Outcome.refused:
        yield "do: remove the file and run freshclam"
    elif outcome is Outcome.unknown and seen.proof is None:
        yield "do: sigupdate prove --engine clamd --marker, which reloads clamd twice"


def _described(one: Database) -> str:
    if one.problem:
        return f"{one.name} ({one.problem})"
    if not one.built:
        return f"{one.name} ({one.length} bytes, no vendor's signature in it)"
    return (
        f"{one.name} (version {one.version}, built {utc(one.built)}, "
        f"{one.signatures} signatures, signed by {one.signed_by})"
    )


def _told(seen: Look) -> dict[str, Any]:
    running = seen.running
    return {
        "engine": "clamd",
        "outcome": seen.comparison.outcome.value,
        "differs": any(line.runs is Runs.differs for line in seen.comparison.lines),
        "config": str(seen.place.config or ""),
        "socket": str(seen.place.address),
        "folder": str(seen.folder.path),
        "version": running.version,
        "started": running.started,
        "databases": [_row(line) for line in seen.comparison.lines],
        "notes": seen.comparison.notes,
        "marker": {"proof": seen.proof.result.value, "detail": seen.proof.detail}
        if seen.proof
        else None,
    }


def _row(line: Line) -> dict[str, Any]:
    one = line.database
    told = {name: getattr(one, name) for name in _TOLD}
    return {**told, "runs": line.runs.value, "why": line.why}


_TOLD = (
    "name", "length", "changed", "signed_by", "version", "built", "signatures", "problem",
)  # fmt: skip
