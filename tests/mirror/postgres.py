"""A private PostgreSQL for the length of a test run, where Debian's package is installed."""

import contextlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import short_folders
from tests.loopback import free_port

_SKIPPED = "postgres is not installed: apt-get install postgresql"


@dataclass(frozen=True)
class Server:
    """One server, which may be stopped and started again."""

    folder: Path
    port: int
    user: int | None

    @property
    def url(self) -> str:
        return f"postgresql://fleet@127.0.0.1:{self.port}/postgres"

    def prepare(self) -> None:
        self._call("initdb", "-U", "fleet", "--auth=trust", "--no-sync")

    def start(self) -> None:
        options = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c fsync=off -k {self.folder}"
        self._call("pg_ctl", "-o", options, "-w", "-l", str(self.folder / "log"), "start")

    def stop(self) -> None:
        self._call("pg_ctl", "-m", "immediate", "-w", "stop")

    def _call(self, program: str, *words: str) -> None:
        subprocess.run(
            [str(_programs() / program), "-D", str(self.folder / "data"), *words], check=True,
            capture_output=True, user=self.user, cwd=self.folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        )  # fmt: skip


@contextlib.contextmanager
def running() -> Iterator[str]:
    """Start a server in a folder of its own; hand out the address of an empty database."""
    with stoppable() as server:
        yield server.url


@contextlib.contextmanager
def stoppable() -> Iterator[Server]:
    """Start a server that is running again at the end of the block."""
    _programs()
    folder = short_folders.make("pg-")
    server = Server(folder, free_port(), _own(folder))
    try:
        server.prepare()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip(_SKIPPED)
    return found[-1].parent


def _own(folder: Path) -> int | None:
    """Give the folder to the user the server runs as: it refuses to run as root."""
    if os.geteuid() != 0:
        return None
    user = pwd.getpwnam("postgres")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return user.pw_uid
