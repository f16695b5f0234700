"""A private PostgreSQL for the length of a test run, where Debian's package is installed."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_SKIPPED = "postgres is not installed: apt-get install postgresql"


@contextlib.contextmanager
def running() -> Iterator[str]:
    """Start a server in a folder of its own; hand out the address of an empty database."""
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    user = _own(folder)
    port = _free_port()
    data = folder / "data"

    def call(program: str, *words: str) -> None:
        subprocess.run(
            [str(programs / program), *words], check=True, capture_output=True, user=user,
            cwd=folder, env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        )  # fmt: skip

    try:
        call("initdb", "-D", str(data), "-U", "fleet", "--auth=trust", "--no-sync")
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c fsync=off -k {folder}"
        call("pg_ctl", "-D", str(data), "-o", options, "-w", "-l", str(folder / "log"), "start")
        try:
            yield f"postgresql://fleet@127.0.0.1:{port}/postgres"
        finally:
            call("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
