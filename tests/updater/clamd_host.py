"""A host with a private clamd, updated by `sigupdate` as an operator calls it."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.updater.site import Site

DEADLINE_SECONDS = 30


def need_clamd() -> None:
    if shutil.which("clamd") is None or shutil.which("clamscan") is None:
        pytest.skip("clamd is not installed: apt-get install clamav clamav-daemon")


class Clamd:
    """A private clamd that reads ``current`` of one engine folder."""

    def __init__(self, folder: Path, state: Path) -> None:
        self.socket = folder / "s"
        self._config = folder / "clamd.conf"
        self._config.write_text(
            f"LocalSocket {self.socket}\nDatabaseDirectory {state}/engines/clamd/current\n"
            "Foreground yes\nSelfCheck 3600\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["clamd", "-c", str(self._config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(self.socket.exists)

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self.socket.unlink(missing_ok=True)
            self._process = None


class Command:
    """`sigupdate` with the settings of one host."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.folder = folder
        self.config = folder / "sigupdate.toml"
        self.state = folder / "state"
        self.clamd = Clamd(folder, self.state)
        self.environment = {**os.environ, "SIGUPDATE_CONFIG": str(self.config)}
        (folder / "root.json").write_bytes(site.repository.first_root)
        self.write_settings(site.url)

    def write_settings(self, url: str, more: str = "") -> None:
        self.config.write_text(
            f"""mirrors = ["{url}"]
state = "{self.state}"
{more}
[limits]
max_attempts = 1
[[repository]]
name = "site"
root = "{self.folder}/root.json"
[[engine]]
name = "clamd"
kind = "clamd"
socket = "{self.clamd.socket}"
channels = ["a"]
reload_timeout_seconds = 20
memory_per_definition_byte = 0
"""
        )

    def __call__(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-c", "from updater.cli import main; main()", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)
