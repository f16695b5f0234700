"""A marker in clamd's own folder, for the length of a reload: only where the operator asks for it.

It proves that clamd loaded this folder just now. Two reloads are the price: one with the marker,
and one after it was taken out again.
"""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from keys import files
from keys.errors import StateError, UnprovenError, UsageError
from updater.engines.base import MARKER_PREFIX, Marker, Verdict
from updater.engines.clamd import ClamdEngine
from updater.plain.place import PlainClamd
from updater.prove import Patience, Proof, Prover, Samples, Why
from updater.settings import EngineSettings
from updater.state import Proved

SCAN_SECONDS = 10.0
RELOAD_SECONDS = 300.0
LOOK_SECONDS = 0.2
LOOKS_PER_RELOAD = 25


def prove(place: PlainClamd) -> Proof:
    """Put a marker beside the databases, reload, look for it, take it out, reload again.

    Raises:
        UsageError: clamd would ignore the marker, a reload could hang it, or the folder holds
            generations.
        StateError: the folder cannot be written.

    """
    _check(place)
    engine = _engine(place)
    marker = engine.marker(0)
    prover = Prover(engine, Samples(), Patience(SCAN_SECONDS, RELOAD_SECONDS))
    with _there(place.databases, marker):
        proof = prover.reload_and_wait(marker.record(), None)
    if proof.why is Why.down:
        return proof
    if not _gone(engine, marker):
        return Proof(Proved.unproven, "clamd still finds the marker that was taken out", Why.stale)
    return proof


def _gone(engine: ClamdEngine, marker: Marker) -> bool:
    """Reload until the marker is found no more; a reload during a load is dropped."""
    until = time.monotonic() + RELOAD_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(UnprovenError):
            engine.reload()
            for _ in range(LOOKS_PER_RELOAD):
                verdict, _name = engine.scan(marker.sample, timeout_seconds=SCAN_SECONDS)
                if verdict is Verdict.clean:
                    return True
                time.sleep(LOOK_SECONDS)
    return False


def _check(place: PlainClamd) -> None:
    if place.official_only:
        raise UsageError(
            "OfficialDatabaseOnly yes: clamd ignores every marker", hint="prove without --marker"
        )
    if not place.concurrent:
        raise UsageError(
            "ConcurrentDatabaseReload no: a reload can hang every scan for good",
            hint="set it to yes in clamd.conf and restart clamd, or prove without --marker",
        )
    if place.databases.is_symlink():
        raise UsageError(
            f"{place.databases}: holds generations of the updater",
            hint="prove them with `sigupdate prove` and their settings",
        )


def _engine(place: PlainClamd) -> ClamdEngine:
    settings = EngineSettings(
        name="clamd", kind="clamd", channels=("plain",), socket=str(place.address)
    )
    return ClamdEngine(settings, place.databases)


@contextlib.contextmanager
def _there(folder: Path, marker: Marker) -> Iterator[None]:
    """Let a marker, and none that was left behind, lie in a folder for the length of the block."""
    try:
        _clear(folder)
        files.write(folder / marker.file_name, marker.definition, mode=0o644)
        try:
            yield
        finally:
            _clear(folder)
    except OSError as exc:
        raise StateError(f"{folder}: {exc.strerror or exc}", hint="run it as root") from exc


def _clear(folder: Path) -> None:
    for left in folder.glob(f"{MARKER_PREFIX}*"):
        left.unlink(missing_ok=True)
