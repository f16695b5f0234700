"""A private real clamd: its own settings, socket and log in one short folder."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from keys.errors import UnprovenError
from tests import short_folders
from updater.engines import instream
from updater.engines.base import Verdict

DEADLINE_SECONDS = 30
RELOADED = "Database correctly reloaded"


def need_clamd() -> None:
    if shutil.which("clamd") is None or shutil.which("clamscan") is None:
        pytest.skip("clamd is not installed: apt-get install clamav clamav-daemon")


class Clamd:
    """One clamd that reads ``databases``; ``lines`` are added to its settings."""

    def __init__(self, folder: Path, databases: Path, *lines: str) -> None:
        self.socket = folder / "s"
        self.config = folder / "clamd.conf"
        self.log = folder / "clamd.log"
        own = ("Foreground yes", "SelfCheck 3600", f"LogFile {self.log}", *lines)
        places = (f"LocalSocket {self.socket}", f"DatabaseDirectory {databases}")
        self.config.write_text("\n".join([*places, *own, ""]))
        self._address = instream.Address.parse(str(self.socket))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            ["clamd", "-c", str(self.config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(self.answers)

    def stop(self) -> None:
        """End it as nothing it does can prevent: a wedged one ignores SIGTERM."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self.socket.unlink(missing_ok=True)
            self._process = None

    def answers(self) -> bool:
        assert self._process, "not started"
        assert self._process.poll() is None, self.log.read_text() if self.log.exists() else "ended"
        try:
            return self.socket.exists() and self.ask("PING") == "PONG"
        except UnprovenError:  # the socket is there before anyone listens
            return False

    def ask(self, command: str) -> str:
        return instream.ask(self._address, command, timeout_seconds=DEADLINE_SECONDS)

    def finds(self, data: bytes, *, timeout_seconds: float = DEADLINE_SECONDS) -> bool:
        found = instream.scan(self._address, data, timeout_seconds=timeout_seconds)
        return found[0] is Verdict.found

    def found(self, data: bytes) -> str:
        """Scan bytes and return the name of what was found, "" for nothing."""
        return instream.scan(self._address, data, timeout_seconds=DEADLINE_SECONDS)[1]

    def loads(self) -> int:
        """Count the loads since it started, by what its log says."""
        return self.log.read_text().count(RELOADED)

    def send_signal(self, number: int) -> None:
        assert self._process
        self._process.send_signal(number)


@contextmanager
def short_folder() -> Iterator[Path]:
    """Make a folder every user may enter, with a name short enough for a socket in it."""
    with short_folders.made("su-") as folder:
        folder.chmod(0o755)
        yield folder


def other_user(folder: Path) -> tuple[str, ...]:
    """Let a clamd started by root become its own user, as Debian's does; nothing otherwise."""
    if os.geteuid() != 0:
        return ()
    folder.chmod(0o777)
    return ("User clamav",)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)
