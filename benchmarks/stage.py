"""Where rows are measured: a real mirror, real hosts and engines, in one temporary folder."""

import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import process
from benchmarks.definitions import Sample, write_clamav, write_yara
from benchmarks.process import Account, FailedError, Run
from updater.engines import instream
from updater.engines.base import Verdict

HAS_CLAMD = bool(shutil.which("clamd") and shutil.which("clamscan"))
WAIT_SECONDS = 120.0
SCAN_SECONDS = 30.0
ENGINES = ("clamd", "yara") if HAS_CLAMD else ("yara",)
WRITERS: dict[str, Callable[[Path, int], Sample]] = {"clamd": write_clamav, "yara": write_yara}


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Look every few milliseconds.

    Raises:
        FailedError: not within ``WAIT_SECONDS``.

    """
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise FailedError(f"waited {WAIT_SECONDS:.0f} s for {what}")
        time.sleep(0.005)


def free_port() -> int:
    """Return a loopback port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Stage:
    """A temporary folder, and the servers that end with it."""

    folder: Path
    servers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *given: str | Path, log: Path) -> None:
        """Start a server; its output goes to a file."""
        with log.open("ab") as output:
            self.servers.append(
                subprocess.Popen(
                    process.words(*given), stdout=output, stderr=output, env=process.environment()
                )
            )

    def end(self) -> None:
        """End every server."""
        for server in reversed(self.servers):
            server.terminate()
        for server in self.servers:
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    """Set a stage; it is struck when the block ends."""
    with tempfile.TemporaryDirectory(prefix="sigmirror-bench-") as folder:
        made = Stage(Path(folder))
        try:
            yield made
        finally:
            made.end()


@dataclass
class Mirror:
    """A mirror that is served by `sigmirror serve`, and published to by `sigmirror publish`."""

    stage: Stage
    name: str = "mirror"
    port: int = field(default_factory=free_port)

    @classmethod
    def made(cls, stage: Stage) -> "Mirror":
        """Found one and serve it."""
        mirror = cls(stage).founded()
        stage.start("sigmirror", "serve", "--config", mirror.config, log=mirror.log)
        wait_for(mirror.is_ready, "the mirror")
        return mirror

    def founded(self, more: str = "") -> "Mirror":
        """Make keys, an empty repository and settings."""
        passphrase = self.stage.folder / "passphrase"
        passphrase.write_text("benchmark passphrase\n")
        process.run("sigkeys", "init", self.folder, "--passphrase-file", passphrase)
        self.config.write_text(
            f'[store]\nurl = "file://{self.folder}"\n'
            f'[signing]\npassphrase_file = "{passphrase}"\n'
            f'[serve]\nlisten = "127.0.0.1:{self.port}"\naccess = "open"\n'
            f'metrics_listen = "127.0.0.1:{free_port()}"\n{more}'
        )
        return self

    @property
    def folder(self) -> Path:
        """Its folder."""
        return self.stage.folder / self.name

    @property
    def config(self) -> Path:
        """Its settings file."""
        return self.stage.folder / f"{self.name}.toml"

    @property
    def log(self) -> Path:
        """Its log: one line of JSON for each request."""
        return self.stage.folder / f"{self.name}.log"

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def root(self) -> Path:
        """The root that hosts start from."""
        return self.folder / "r/site/metadata/1.root.json"

    def is_ready(self) -> bool:
        """Tell whether it serves a valid repository."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:  # noqa: S310 - loopback
                return bool(answer.status == 200)
        except OSError:
            return False

    def publish(self, channel: str, folder: Path) -> Run:
        """Publish a folder as the next release of a channel."""
        return process.run("sigmirror", "publish", channel, folder, "--config", self.config)

    def wait_until_served(self) -> None:
        """Wait until the serving process offers what was published last."""
        newest = (self.root.parent / "timestamp.json").read_bytes()
        address = f"{self.url}/r/site/metadata/timestamp.json"

        def is_offered() -> bool:
            with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310 - loopback
                return bool(answer.read() == newest)

        wait_for(is_offered, "the release to be served")

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests in its log."""
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        events = [json.loads(line) for line in lines]
        return [e for e in events if e.get("event") == "request" and e["path"].startswith("/r/")]


@dataclass
class Host:
    """A scanner host with one engine."""

    stage: Stage
    mirror: Mirror
    name: str
    engine: str
    url: str = ""

    @property
    def folder(self) -> Path:
        """Its folder."""
        return self.stage.folder / self.name

    @property
    def config(self) -> Path:
        """Its settings file."""
        return self.folder / "sigupdate.toml"

    @property
    def socket(self) -> Path:
        """Where its engine listens."""
        return self.folder / "socket"

    @property
    def current(self) -> Path:
        """The folder its engine reads."""
        return self.folder / "state/engines" / self.engine / "current"

    def make(self, channel: str) -> "Host":
        """Write its settings."""
        self.folder.mkdir()
        self.config.write_text(
            f'mirrors = ["{self.url or self.mirror.url}"]\nstate = "{self.folder}/state"\n'
            f'[[repository]]\nname = "site"\nroot = "{self.mirror.root}"\n'
            f'[[engine]]\nname = "{self.engine}"\nkind = "{self.engine}"\n'
            f'channels = ["{channel}"]\nsocket = "{self.socket}"\n'
            f"scan_timeout_seconds = {SCAN_SECONDS}\n"
        )
        return self

    def command(self, *more: str) -> list[str | Path]:
        """Write the command line of one run."""
        return ["sigupdate", "run", *more, "--config", self.config]

    def update(self, *more: str) -> Run:
        """Run the updater once."""
        return process.run(*self.command(*more))

    def account(self, *more: str) -> Account:
        """Run the updater once and return what it itself cost, without its children."""
        return process.account(*self.command(*more))

    def forget(self) -> None:
        """Remove all that the updater has on this host."""
        shutil.rmtree(self.folder / "state", ignore_errors=True)

    def start_engine(self) -> None:
        """Start the engine on what is installed, and prove it."""
        log = self.folder / "engine.log"
        if self.engine == "yara":
            self.stage.start("sigupdate", "yara-scanner", "--config", self.config, log=log)
        else:
            start_clamd(self.stage, self.folder, self.current, self.socket)
        wait_for(self.socket.exists, self.engine)
        process.run("sigupdate", "prove", "--config", self.config)

    def finds(self, sample: Sample) -> bool:
        """Tell whether the running engine finds a sample."""
        return finds(self.socket, sample)


def start_clamd(stage: Stage, folder: Path, database: Path, at: Path) -> None:
    """Start a private clamd over a folder of definitions."""
    config = folder / "clamd.conf"
    config.write_text(
        f"LocalSocket {at}\nDatabaseDirectory {database}\nForeground yes\nSelfCheck 3600\n"
    )
    stage.start("clamd", "-c", config, log=folder / "engine.log")
    wait_for(at.exists, "clamd")


def finds(at: Path, sample: Sample) -> bool:
    """Tell whether the engine behind a socket finds a sample."""
    address = instream.Address.parse(str(at))
    verdict, _ = instream.scan(address, sample.text, timeout_seconds=SCAN_SECONDS)
    return verdict is Verdict.found
