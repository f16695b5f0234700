"""Commands run to their end, and what they cost."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

BIN = Path(sys.executable).parent
HOOK = Path(__file__).parent / "hook"
MAX_SECONDS = 600.0


class FailedError(Exception):
    """A measured command did not do what it was measured for."""


@dataclass(frozen=True, slots=True)
class Run:
    """A command that ended. ``cpu_seconds`` is user + system, of it and its children."""

    output: str
    cpu_seconds: float
    wall_seconds: float


@dataclass(frozen=True, slots=True)
class Account:
    """What one Python process cost by itself, without its children."""

    cpu_seconds: float
    peak_bytes: int


def words(*given: str | Path) -> list[str]:
    """Write a command line; our own commands are those of this environment."""
    plain = [str(word) for word in given]
    ours = BIN / plain[0]
    return [str(ours) if ours.exists() else plain[0], *plain[1:]]


def environment(**more: str) -> dict[str, str]:
    """Return the environment of measured commands: bytecode is cached, as in an installation."""
    plain = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**plain, **more}


def run(*given: str | Path, expect: int = 0, env: dict[str, str] | None = None) -> Run:
    """Run a command to its end.

    Raises:
        FailedError: another exit code than expected, or longer than ``MAX_SECONDS``.

    """
    return _run(words(*given), expect, environment(**(env or {})))[0]


def account(*given: str | Path, expect: int = 0) -> Account:
    """Run a Python command and return what it itself cost.

    Raises:
        FailedError: as ``run``.

    """
    with tempfile.TemporaryDirectory(prefix="sigmirror-bench-") as folder:
        env = environment(PYTHONPATH=str(HOOK), SIGMIRROR_BENCH_ACCOUNTS=folder)
        _, pid = _run(words(*given), expect, env)
        cpu, peak = (Path(folder) / str(pid)).read_text(encoding="ascii").split()
    return Account(float(cpu), int(peak) * 1024)


def _run(line: list[str], expect: int, env: dict[str, str]) -> tuple[Run, int]:
    with tempfile.TemporaryFile() as output:
        start = time.monotonic()
        process = subprocess.Popen(line, stdout=output, stderr=subprocess.STDOUT, env=env)
        timer = threading.Timer(MAX_SECONDS, process.send_signal, [signal.SIGKILL])
        timer.start()
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read().decode("utf-8", "replace")
    if process.returncode != expect:
        raise FailedError(f"{' '.join(line[:3])}: exit {process.returncode}: {said.strip()[-500:]}")
    return Run(said, used.ru_utime + used.ru_stime, wall), process.pid
