"""The demo's stage: a temporary folder, echoed commands, processes that end with it."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
STOP_SECONDS = 10.0


class RowError(Exception):
    """A row of the table does not hold; the text says what was measured instead."""


def check(holds: bool, measured: str) -> None:
    """End the row unless the condition holds."""
    if not holds:
        raise RowError(measured)


def wait_for(condition: Callable[[], bool], what: str, *, seconds: float = 60.0) -> None:
    """Wait until a condition holds, or end the row; asking takes no more than a third of it."""
    deadline = time.monotonic() + seconds
    asked = time.monotonic()
    while not condition():
        check(time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}")
        time.sleep(max(0.05, 2 * (time.monotonic() - asked)))
        asked = time.monotonic()


@dataclass
class Stage:
    """Where everything happens; leaving it ends every process and removes the folder."""

    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def echo(self, words: list[str], *, after: str = "") -> None:
        """Show a command so that it can be copied."""
        shown = shlex.join(words).replace(str(self.folder), "$DEMO")
        print(f"  $ {shown}{after}")

    def run(
        self, *words: str | Path, expect: int | None = 0, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run an installed command to its end; another exit code than expected ends the row."""
        plain = [str(word) for word in words]
        self.echo(plain)
        done = subprocess.run(
            [str(BIN / plain[0]), *plain[1:]],
            capture_output=True,
            text=True,
            env={**os.environ, **(env or {})},
            timeout=60,
            check=False,
        )
        wrong = expect is not None and done.returncode != expect
        check(not wrong, f"{shlex.join(plain[:2])} exited {done.returncode}: {done.stderr.strip()}")
        return done

    def json(self, *words: str | Path, expect: int | None = 0) -> Any:
        """Run a command that prints JSON and return what it printed."""
        return json.loads(self.run(*words, "--json", expect=expect).stdout)

    def start(self, log: str, *words: str | Path) -> subprocess.Popen[bytes]:
        """Start a server that ends with the stage; its output goes to a file of this name."""
        plain = [str(word) for word in words]
        self.echo(plain, after=" &")
        program = BIN / plain[0] if (BIN / plain[0]).exists() else Path(plain[0])
        with (self.folder / log).open("ab") as output:
            process = subprocess.Popen([str(program), *plain[1:]], stdout=output, stderr=output)
        self.processes.append(process)
        return process

    def end(self) -> None:
        """End every process that is still there, the newest first."""
        for process in reversed(self.processes):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    """Set the stage in a temporary folder; ``KEEP=1`` keeps it."""
    folder = Path(tempfile.mkdtemp(prefix="sigmirror-demo-"))
    print(f"  $ DEMO={folder}")
    made = Stage(folder)
    try:
        yield made
    finally:
        made.end()
        if os.environ.get("KEEP") != "1":
            shutil.rmtree(folder)
