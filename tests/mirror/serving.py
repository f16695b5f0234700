"""The installed `sigmirror run` as a process, and clients that never stop asking."""

import contextlib
import http.client
import json
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SIGMIRROR = Path(sys.executable).with_name("sigmirror")
WAIT_SECONDS = 60.0  # far beyond what is needed, for machines under load


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


@dataclass
class Process:
    """One `sigmirror` that serves; its log is read while it runs."""

    log: Path
    popen: subprocess.Popen[bytes]
    address: str = ""
    metrics_address: str = ""

    @classmethod
    @contextlib.contextmanager
    def started(
        cls, config: Path, log: Path, *, command: str = "run", under: Sequence[str] = ()
    ) -> Iterator["Process"]:
        words = [*under, str(SIGMIRROR), command, "--config", str(config)]
        with log.open("wb") as stderr:
            popen = subprocess.Popen(words, stderr=stderr)
        process = cls(log, popen)
        try:
            wait_for(lambda: process.told("listening") or process.ended, "the listener")
            listening = process.events("listening")
            assert listening, log.read_text()
            process.address = listening[0]["address"]
            process.metrics_address = listening[0]["metrics"]
            yield process
        finally:
            if popen.poll() is None:
                popen.send_signal(signal.SIGTERM)
            try:
                popen.wait(timeout=WAIT_SECONDS)
            finally:
                popen.kill()

    @property
    def ended(self) -> bool:
        return self.popen.poll() is not None

    def events(self, name: str = "") -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [event for event in found if not name or event["event"] == name]

    def told(self, name: str, **values: object) -> bool:
        return any(values.items() <= event.items() for event in self.events(name))

    def metrics(self) -> dict[str, float]:
        with urllib.request.urlopen(f"http://{self.metrics_address}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}


def wait_until_served(url: str, repository: Path) -> None:
    """Wait until a mirror, where one runs there, has noticed what another process published."""
    path = repository / "metadata/timestamp.json"
    if path.exists():
        version = json.loads(path.read_bytes())["signed"]["version"]
        wait_for(lambda: _served(url) >= version, "what was published")


def _served(url: str) -> float:
    """Return the version that is served; endless where no mirror runs."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=30) as answer:  # noqa: S310 - loopback
            return float(json.loads(answer.read())["timestamp"])
    except urllib.error.HTTPError:
        return 0
    except (urllib.error.URLError, ConnectionError):
        return float("inf")


def unverified() -> ssl.SSLContext:
    """Accept any certificate: which one it is, is looked at afterwards."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@dataclass
class Load:
    """Clients that ask until they are told to stop; each opens a new connection now and then."""

    address: str
    path: str
    headers: dict[str, str]
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def running(self, clients: int = 2) -> Iterator["Load"]:
        threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _ask(self) -> None:
        while not self._stop.is_set():
            connection = http.client.HTTPSConnection(self.address, context=unverified(), timeout=30)
            try:
                for _ in range(20):
                    self._once(connection)
                    if self._stop.wait(0.02):
                        break
            except (OSError, http.client.HTTPException) as exc:
                self.failures.append(repr(exc))
            finally:
                connection.close()

    def _once(self, connection: http.client.HTTPSConnection) -> None:
        connection.request("GET", self.path, headers=self.headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status == 200:
            self.answered += 1
        else:
            self.failures.append(str(answer.status))
