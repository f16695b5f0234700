"""The load test of a generation for clamd: ClamAV's own loader, and everything it says.

``clamscan`` exits 0 over a broken .yar and loads the rest, so its exit code is not enough: each
database must be named as loaded, and no error or warning may be left on its standard error.
"""

import re
import signal
import tempfile
from collections.abc import Collection
from pathlib import Path

from keys.errors import EngineError, HostError
from updater.engines.base import Loaded, Marker
from updater.engines.process import LOW_PRIORITY, Finished, run

CLEAN_SAMPLE = b"nothing to see here\n"
MAX_COMPLAINTS = 5
_DEBUG = b"LibClamAV debug: "
_LOADED = re.compile(r"^LibClamAV debug: (?P<path>.+) loaded$", re.MULTILINE)
_COMPLAINT = re.compile(r"^(?:LibClamAV (?:Error|Warning)|ERROR|WARNING): (?P<text>.*)$")
_AGE_BANNER = "***"  # about the age of databases or of ClamAV itself
_KNOWN = re.compile(r"^Known viruses: (?P<count>\d+)$", re.MULTILINE)
_FOUND = re.compile(r"^.*/(?P<sample>marker|clean): (?P<name>.*) FOUND$", re.MULTILINE)
_OUT_OF_MEMORY = re.compile(r"[Cc]an't allocate memory|[Oo]ut of memory|malloc")


def load(
    program: str,
    folder: Path,
    names: Collection[str],
    *,
    marker: Marker | None,
    timeout_seconds: float,
) -> Loaded:
    """Load a folder and scan the marker's sample and a clean one.

    Raises:
        EngineError: a file was refused or skipped, or a sample got the wrong verdict.
        HostError: ``program`` is missing, killed for want of memory, or too slow.

    """
    with tempfile.TemporaryDirectory(prefix="sigupdate-") as scratch:
        samples = {"clean": CLEAN_SAMPLE, **({"marker": marker.sample} if marker else {})}
        for name, data in samples.items():
            (Path(scratch) / name).write_bytes(data)
        finished = run(
            [program, "--debug", f"--database={folder}", *(f"{scratch}/{n}" for n in samples)],
            timeout_seconds=timeout_seconds,
            wanted_errors=_matters,
            nice=LOW_PRIORITY,
        )
    return judge(finished, folder, names, marker)


def _matters(line: bytes) -> bool:
    return not line.startswith(_DEBUG) or line.endswith(b" loaded")


def judge(
    finished: Finished, folder: Path, names: Collection[str], marker: Marker | None
) -> Loaded:
    """Read what the loader said.

    Raises:
        EngineError, HostError: as ``load``.

    """
    complaints = _complaints(finished.errors, folder)
    _check_host(finished, complaints)
    if complaints:
        raise EngineError(f"clamscan: {'; '.join(complaints[:MAX_COMPLAINTS])}")
    loaded = {found["path"] for found in _LOADED.finditer(finished.errors)}
    if skipped := sorted(name for name in names if f"{folder}/{name}" not in loaded):
        raise EngineError(f"clamscan: not loaded: {', '.join(skipped[:MAX_COMPLAINTS])}")
    known = _KNOWN.search(finished.output)
    if known is None or finished.code != (1 if marker else 0):
        raise EngineError(f"clamscan: exit {finished.code}: {finished.output[:200].strip()}")
    _check_samples(finished.output, marker)
    return Loaded(signatures=int(known["count"]), detail=f"clamscan: {len(names)} files")


def _complaints(errors: str, folder: Path) -> list[str]:
    found = filter(None, map(_COMPLAINT.match, errors.splitlines()))
    return [c["text"].replace(f"{folder}/", "") for c in found if _AGE_BANNER not in c["text"]]


def _check_host(finished: Finished, complaints: list[str]) -> None:
    """Tell a host without memory from a release that does not load."""
    if finished.code == -signal.SIGKILL or any(map(_OUT_OF_MEMORY.search, complaints)):
        raise HostError("clamscan: out of memory while loading the definitions")
    if finished.code < 0:
        raise EngineError(
            f"clamscan: died of {signal.Signals(-finished.code).name} over these definitions"
        )


def _check_samples(output: str, marker: Marker | None) -> None:
    found = {match["sample"]: match["name"] for match in _FOUND.finditer(output)}
    if "clean" in found:
        raise EngineError(f"clamscan: a clean sample is taken for {found['clean']}")
    if marker is not None and found.get("marker") != marker.name:
        what = found.get("marker", "nothing")
        raise EngineError(f"clamscan: found {what} where the marker {marker.name} is")
