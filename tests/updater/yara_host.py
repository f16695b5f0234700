"""A host with `sigupdate` and `sigupdate yara-scanner`, as an operator calls them."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tests.updater.yara_site import wait_for
from updater.engines import instream
from updater.engines.instream import Address

PROGRAM = [sys.executable, "-c", "from updater.cli import main; main()"]


class YaraHost:
    """Its settings have one engine of kind yara; the scanner is a process of its own."""

    def __init__(
        self, folder: Path, url: str, root: bytes, channel: str, scan_seconds: float = 1.0
    ) -> None:
        self.folder = folder
        self.socket = folder / "s"
        self.address = Address.parse(str(self.socket))
        self.scanner: subprocess.Popen[bytes] | None = None
        config = folder / "sigupdate.toml"
        self.environment = {**os.environ, "SIGUPDATE_CONFIG": str(config)}
        (folder / "root.json").write_bytes(root)
        config.write_text(f"""mirrors = ["{url}"]
state = "{folder}/state"
[[repository]]
name = "site"
root = "{folder}/root.json"
[[engine]]
name = "yara"
kind = "yara"
socket = "{self.socket}"
channels = ["{channel}"]
scan_timeout_seconds = {scan_seconds}
reload_timeout_seconds = 30
""")

    def __call__(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [*PROGRAM, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def start(self, *arguments: str) -> None:
        log = (self.folder / "scanner.log").open("ab")
        with log:
            self.scanner = subprocess.Popen(
                [*PROGRAM, "yara-scanner", *arguments],
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        wait_for(self.socket.exists)

    def signal(self, number: signal.Signals) -> None:
        assert self.scanner
        self.scanner.send_signal(number)

    def finds(self, text: str) -> str:
        return instream.scan(self.address, text.encode(), timeout_seconds=10)[1]

    def finds_all(self, sample: bytes) -> list[str]:
        """Name every rule that matches."""
        return instream.scan(self.address, sample, timeout_seconds=20)[1].split(",")

    def end(self) -> None:
        if self.scanner:
            self.scanner.kill()
            self.scanner.wait()
        shutil.rmtree(self.folder)
