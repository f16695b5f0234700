"""Other programs: no shell, one time limit for the group, bounded output, clean environment."""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from keys.errors import HostError

MAX_OUTPUT_BYTES = 4 << 20  # kept of each of stdout and stderr
LOW_PRIORITY = 10  # nice
_PIECE_BYTES = 1 << 16
_POLL_SECONDS = 0.05
_KEPT_VARIABLES = ("PATH", "HOME", "TMPDIR", "TZ")
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Wanted = Callable[[bytes], bool]
Process = subprocess.Popen[bytes]


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended; a negative code is the signal that killed it."""

    code: int
    output: str
    errors: str


def run(
    argv: Sequence[str],
    *,
    timeout_seconds: float,
    stdin: bytes = b"",
    wanted_errors: Wanted | None = None,
    nice: int = 0,
) -> Finished:
    """Run a program to its end; of stderr only the lines ``wanted_errors`` accepts are kept.

    A daemon it leaves behind lives on. All that it started is killed when the time is up.

    Raises:
        HostError: the program cannot be started, or took longer than ``timeout_seconds``.

    """
    until = time.monotonic() + timeout_seconds
    with _started(argv, nice) as process, selectors.DefaultSelector() as selector:
        output, errors = _Catch(process.stdout), _Catch(process.stderr, wanted_errors)
        pipes = (_Feed(process.stdin, stdin), output, errors)
        for pipe in pipes:
            pipe.register(selector)
        while selector.get_map():
            if time.monotonic() > until:
                raise HostError(f"{argv[0]}: did not end within {timeout_seconds:g} seconds")
            ended = process.poll() is not None
            events = selector.select(_POLL_SECONDS)
            for key, _ in events:
                key.data.move(selector)
            if ended and not events:
                break
        code = _wait(process, until, f"{argv[0]}: did not end within {timeout_seconds:g} seconds")
    return Finished(code, output.text(), errors.text())


def _wait(process: Process, until: float, late: str) -> int:
    try:
        return process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired as exc:
        raise HostError(late) from exc


@contextlib.contextmanager
def _started(argv: Sequence[str], nice: int) -> Iterator[Process]:
    """Start a program in a group of its own; an error inside the block kills the group."""
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(  # noqa: S603 - an argument list from settings, no shell
            argv, stdin=pipe, stdout=pipe, stderr=pipe, env=_environment(), start_new_session=True
        )
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise HostError(f"{argv[0]}: cannot be started: {reason}") from exc
    try:
        if nice:
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, process.pid, nice)
        yield process
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    finally:
        for end in (process.stdin, process.stdout, process.stderr):
            _close(end)


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {"PATH": _DEFAULT_PATH, **kept, "LC_ALL": "C.UTF-8"}


def _close(end: IO[bytes] | None) -> None:
    if end is not None:
        with contextlib.suppress(BrokenPipeError):
            end.close()


class _Catch:
    """What one pipe delivers: the wanted lines, at most ``MAX_OUTPUT_BYTES`` of them."""

    def __init__(self, end: IO[bytes] | None, wanted: Wanted | None = None) -> None:
        self._end = end
        self._wanted = wanted
        self._kept = bytearray()
        self._rest = b""

    def register(self, selector: selectors.BaseSelector) -> None:
        """Ask to be told when there is something to read."""
        if self._end is not None:
            os.set_blocking(self._end.fileno(), False)
            selector.register(self._end, selectors.EVENT_READ, self)

    def move(self, selector: selectors.BaseSelector) -> None:
        """Read a piece; what is too much is dropped, so that the program never blocks."""
        if self._end is None:
            return
        piece = os.read(self._end.fileno(), _PIECE_BYTES)
        if not piece:
            selector.unregister(self._end)
        elif self._wanted is None:
            self._keep(piece)
        else:
            *lines, self._rest = (self._rest[-_PIECE_BYTES:] + piece).split(b"\n")
            for line in filter(self._wanted, lines):
                self._keep(line + b"\n")

    def text(self) -> str:
        """Return all that was kept."""
        if self._wanted is not None and self._wanted(self._rest):
            self._keep(self._rest)
        return self._kept.decode("utf-8", "replace")

    def _keep(self, piece: bytes) -> None:
        self._kept += piece[: max(0, MAX_OUTPUT_BYTES - len(self._kept))]


class _Feed:
    """What one pipe takes: the program's standard input, as fast as it reads."""

    def __init__(self, end: IO[bytes] | None, data: bytes) -> None:
        self._end = end
        self._left = memoryview(data)

    def register(self, selector: selectors.BaseSelector) -> None:
        """Ask to be told when there is room to write."""
        if self._end is not None:
            os.set_blocking(self._end.fileno(), False)
            selector.register(self._end, selectors.EVENT_WRITE, self)

    def move(self, selector: selectors.BaseSelector) -> None:
        """Write a piece; a program that stops listening is no error."""
        if self._end is None:
            return
        try:
            written = os.write(self._end.fileno(), self._left[:_PIECE_BYTES])
        except BrokenPipeError:
            written = len(self._left)
        self._left = self._left[written:]
        if not self._left:
            selector.unregister(self._end)
            _close(self._end)
