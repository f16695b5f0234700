"""The load test of a generation for clamd: ClamAV's own loader, and everything it says.

``clamscan`` exits 0 over a broken .yar and loads the rest, so its exit code is not enough: each
database must be named as loaded, no error may stand on its standard error, and no warning that
names a file or tells of something left out. What says that this host cannot run the test, and
nothing of the definitions, is the host's fault: no release is blamed for it.
"""

import contextlib
import re
import signal
import tempfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import msgspec

from keys.errors import EngineError, HostError
from updater.engines.base import Loaded, Marker
from updater.engines.databases import is_signatures
from updater.engines.process import LOW_PRIORITY, Finished, run

CLEAN_SAMPLE = b"nothing to see here\n"
MAX_COMPLAINTS = 5
_DEBUG = b"LibClamAV debug: "
_LOADED = re.compile(r"^LibClamAV debug: (?P<path>.+) loaded$", re.MULTILINE)
_ERROR = re.compile(r"^(?:LibClamAV Error|ERROR): (?P<text>.*)$")
_WARNING = re.compile(r"^(?:LibClamAV Warning|WARNING): (?P<text>.*)$")
_AGE_BANNER = "***"  # about the age of databases or of ClamAV itself
_LEFT_OUT = re.compile(
    r"skip|fail|ignor|invalid|malformed|unsupported|duplicate|can't", re.IGNORECASE
)
_KNOWN = re.compile(r"^Known viruses: (?P<count>\d+)$", re.MULTILINE)
_IGNORING = re.compile(r"^LibClamAV debug: Ignoring signature (?P<name>\S+)$", re.MULTILINE)
_FOUND = re.compile(r"^.*/(?P<sample>marker|decoy|clean): (?P<name>.*) FOUND$", re.MULTILINE)
_HOST_FAULT = re.compile(
    r"can't (?:allocate memory|access|create|open|get file status)|out of memory|"
    r"access denied|permission denied|no space left",
    re.IGNORECASE,
)
_CRASHES = frozenset(
    {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGXCPU}
)
_CODES = {"marker": 1, "clean": 0}  # something was found, nothing was
_MARKER_SIGNATURES = 1


def load(
    program: str,
    folder: Path,
    names: Collection[str],
    *,
    marker: Marker | None,
    ignored: frozenset[str] = frozenset(),
    timeout_seconds: float,
) -> Loaded:
    """Load a folder and scan the marker's sample, its decoy's and a clean one.

    ``ignored`` are the names in the folder's list of them; which of these the loader met is told.

    Raises:
        EngineError: a file was refused or skipped, or a sample got the wrong verdict.
        HostError: ``program`` is missing or cannot run here, was killed, or is too slow.

    """
    options = ["--debug", "--detect-pua=yes", f"--database={folder}"]  # PUA: *.ndu and the like
    with _samples(marker) as paths:
        finished = run(
            [program, *options, *paths],
            timeout_seconds=timeout_seconds,
            wanted_errors=lambda line: _matters(line, ignored),
            nice=LOW_PRIORITY,
        )
    loaded = judge(finished, folder, names, marker)
    met = frozenset(found["name"] for found in _IGNORING.finditer(finished.errors))
    return msgspec.structs.replace(loaded, ignored=met & ignored)


@contextlib.contextmanager
def _samples(marker: Marker | None) -> Iterator[list[str]]:
    """Lay out what is scanned, for as long as the block runs."""
    samples = {"clean": CLEAN_SAMPLE}
    if marker:
        samples["marker"] = marker.sample
    if marker and marker.decoy_sample:
        samples["decoy"] = marker.decoy_sample
    with contextlib.ExitStack() as stack:
        try:
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="sigupdate-"))
            for name, data in samples.items():
                (Path(scratch) / name).write_bytes(data)
        except OSError as exc:
            raise HostError(f"no temporary folder to test in: {exc.strerror or exc}") from exc
        yield [f"{scratch}/{name}" for name in samples]


def _matters(line: bytes, ignored: Collection[str]) -> bool:
    if not line.startswith(_DEBUG):
        return True
    if line.startswith(_DEBUG + b"Ignoring signature "):
        return line.rpartition(b" ")[2].decode("ascii", "replace") in ignored
    return line.endswith(b" loaded")


def judge(
    finished: Finished, folder: Path, names: Collection[str], marker: Marker | None
) -> Loaded:
    """Read what the loader said.

    Raises:
        EngineError, HostError: as ``load``.

    """
    _check_signal(finished.code)
    complaints = list(_complaints(finished.errors, folder))
    known = _KNOWN.search(finished.output)
    if fault := next(_host_faults(complaints, names), ""):
        raise HostError(f"clamscan: {fault}")
    if complaints:
        raise EngineError(f"clamscan: {'; '.join(complaints[:MAX_COMPLAINTS])}")
    if known is None:
        raise HostError(f"clamscan: exit {finished.code}: {_first_line(finished)}")
    _check_loaded(finished.errors, folder, names)
    _check_samples(finished.output, marker)
    if finished.code != _CODES["marker" if marker else "clean"]:
        raise HostError(f"clamscan: exit {finished.code}: {_first_line(finished)}")
    count = int(known["count"])
    _check_count(count, names, marker)
    return Loaded(signatures=count, detail=f"clamscan: {len(names)} files")


def _check_signal(code: int) -> None:
    """Tell definitions that crash the loader from a loader that somebody ended."""
    if code >= 0:
        return
    if -code in _CRASHES:
        raise EngineError(f"clamscan: died of {signal.Signals(-code).name} over these definitions")
    if -code == signal.SIGKILL:
        raise HostError("clamscan: killed, as the kernel does when memory runs out")
    raise HostError(f"clamscan: ended by signal {-code}")


def _complaints(errors: str, folder: Path) -> Iterator[str]:
    """List the errors, and the warnings that name a file or tell of something left out."""
    for line in errors.splitlines():
        if found := _ERROR.match(line):
            yield found["text"].replace(f"{folder}/", "")
        elif (found := _WARNING.match(line)) and _AGE_BANNER not in line:
            text = found["text"]
            if f"{folder}/" in text or _LEFT_OUT.search(text):
                yield text.replace(f"{folder}/", "")


def _host_faults(complaints: Iterable[str], names: Collection[str]) -> Iterator[str]:
    """List what speaks of this host: never a line that names a file, whose text others wrote."""
    for complaint in complaints:
        if _HOST_FAULT.search(complaint) and not any(name in complaint for name in names):
            yield complaint


def _first_line(finished: Finished) -> str:
    return (finished.errors or finished.output).strip().partition("\n")[0][:200] or "no word"


def _check_loaded(errors: str, folder: Path, names: Collection[str]) -> None:
    loaded = {found["path"] for found in _LOADED.finditer(errors)}
    if skipped := sorted(name for name in names if f"{folder}/{name}" not in loaded):
        raise EngineError(f"clamscan: not loaded: {', '.join(skipped[:MAX_COMPLAINTS])}")


def _check_count(count: int, names: Collection[str], marker: Marker | None) -> None:
    """Refuse signature files of which none counts, as when all ask for a later ClamAV."""
    others = [n for n in names if is_signatures(n) and not (marker and n == marker.file_name)]
    if others and count <= (_MARKER_SIGNATURES if marker else 0):
        raise EngineError(
            f"clamscan: no signature in any of {len(others)} files, {others[0]} first"
        )


def _check_samples(output: str, marker: Marker | None) -> None:
    found = {match["sample"]: match["name"] for match in _FOUND.finditer(output)}
    if "clean" in found:
        raise EngineError(f"clamscan: a clean sample is taken for {found['clean']}")
    if "decoy" in found:
        raise EngineError(f"clamscan: what is to be ignored is found: {found['decoy']}")
    if marker is not None and found.get("marker") != marker.name:
        what = found.get("marker", "nothing")
        raise EngineError(f"clamscan: found {what} where the marker {marker.name} is")
