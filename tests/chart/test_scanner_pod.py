"""The scanner's pod, by its own command lines: clamd beside an updater, from start to roll back."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chart.chart import Rendered, case
from tests.chart.processes import Pod
from tests.loopback import free_port
from tests.tuf_repository import ChannelRepository
from tests.updater.clamd_process import Clamd, need_clamd, short_folder, wait_for
from tests.updater.site import Site, served
from updater.engines import instream
from updater.engines.base import Verdict

NAME = "demo-sigmirror-scanner"
CLEAN = b"a letter of our own, which is to pass whatever a vendor says"


def release(site: Site, sequence: int, text: bytes) -> None:
    line = f"Sample.{sequence}:0:*:{text.hex()}\n".encode()
    site.repository.release("clamav", {"rules.ndb": line}, sequence=sequence)


class Scanner:
    """The pod that the chart makes of one of its sets of values, for one site."""

    def __init__(self, folder: Path, site: Site, name: str = "scanner-values.yaml") -> None:
        values = case(name)
        self.port = free_port()
        values["scanner"] |= {
            "channels": ["clamav"],
            "mirrors": [site.url],
            "credential": {"existingSecret": ""},
            "ca": {"existingSecret": ""},
            "clamd": {"port": self.port},
            "shared": {"existingClaim": "definitions", "address": f"127.0.0.1:{self.port}"},
        }
        rendered = Rendered.of(values)
        template = dict(rendered.pods())[f"{values['scanner'].get('kind', 'Deployment')}/{NAME}"]
        files = {"root": {"root.json": site.repository.first_root}, "clean": {"letter": CLEAN}}
        loopback = {f"TCPSocket {self.port}": f"TCPSocket {self.port}\nTCPAddr 127.0.0.1"}
        self.pod = Pod(folder, rendered, template, files, loopback)
        self._address = instream.Address.parse(f"127.0.0.1:{self.port}")

    def finds(self, data: bytes) -> bool:
        """Scan as a client of the Service does."""
        return instream.scan(self._address, data, timeout_seconds=30)[0] is Verdict.found

    def is_ready(self) -> bool:
        """Ask what the probes of clamd ask."""
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.port)) == 0

    def last_run(self) -> dict[str, Any]:
        path = self.pod.path("updater", "/var/lib/sigupdate/last_run.json")
        found: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
        return found


@pytest.fixture
def site() -> Iterator[Site]:
    with served(ChannelRepository("clamav")) as serving:
        yield serving


@pytest.fixture
def scanner(site: Site) -> Iterator[Scanner]:
    need_clamd()
    with short_folder() as folder:
        yield Scanner(folder, site)


def end(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> int:
    process.send_signal(number)
    return process.wait(timeout=60)


@pytest.mark.slow
def test_a_pod_installs_starts_proves_goes_back_from_a_bad_release_and_goes_on(
    scanner: Scanner, site: Site
) -> None:
    pod, log = scanner.pod, scanner.pod.folder / "updater.log"
    release(site, 1, b"the first malware")
    installed = pod.run("install")
    assert installed.returncode == 0, installed.stderr
    checked = pod.run("updater", "sigupdate", "check-config")
    assert checked.returncode == 0, checked.stdout
    assert not scanner.is_ready()

    clamd = pod.start("clamd", pod.folder / "clamd.log")
    updater = None
    try:
        wait_for(scanner.is_ready)
        assert scanner.finds(b"see the first malware here")
        updater = pod.start("updater", log)
        wait_for(lambda: "proven (marker found)" in log.read_text())

        release(site, 2, CLEAN)  # it loads, and takes our own mail for malware
        updater.send_signal(signal.SIGHUP)
        wait_for(lambda: "letter" in log.read_text())
        assert scanner.last_run()["exit_code"] == 5
        assert not scanner.finds(CLEAN)
        assert scanner.finds(b"see the first malware here")

        release(site, 3, b"the third malware")
        updater.send_signal(signal.SIGHUP)
        wait_for(lambda: scanner.last_run()["exit_code"] == 0)
        assert scanner.finds(b"see the third malware here")
        assert end(updater) == 0

        site.override = lambda _: (503, {}, b"")
        again = pod.run("install")
        assert again.returncode == 0, again.stderr  # without its mirror a pod starts all the same
        assert "503" in again.stderr
    finally:
        for process in (clamd, updater):
            if process is not None and process.poll() is None:
                end(process, signal.SIGKILL)


def test_a_pod_without_definitions_does_not_start_its_clamd(scanner: Scanner, site: Site) -> None:
    site.override = lambda _: (503, {}, b"")
    assert scanner.pod.run("install").returncode != 0


def test_clamd_sees_definitions_only_and_nothing_of_the_updaters_state(scanner: Scanner) -> None:
    state = scanner.pod.path("updater", "/var/lib/sigupdate")
    seen = scanner.pod.path("clamd", "/var/lib/sigupdate/engines/clamd")
    assert os.path.commonpath([state, seen]) == str(state)
    assert seen.relative_to(state) == Path("engines/clamd")
    assert not any("credential" in word for word in scanner.pod.words("clamd"))


@pytest.mark.slow
def test_a_job_brings_definitions_to_a_clamd_elsewhere_and_proves_them(site: Site) -> None:
    need_clamd()
    release(site, 1, b"the first malware")
    with short_folder() as folder:
        job = Scanner(folder, site, "scanner-shared-values.yaml")
        databases = job.pod.path("updater", "/var/lib/sigupdate/engines/clamd/current")
        clamd = Clamd(folder, databases, f"TCPSocket {job.port}", "TCPAddr 127.0.0.1")
        first = job.pod.run("updater")
        assert (first.returncode, "unproven" in first.stdout) == (6, True), first.stderr
        clamd.start()
        try:
            second = job.pod.run("updater")
            assert (second.returncode, "proven (marker found)" in second.stdout) == (0, True)
        finally:
            clamd.stop()


@pytest.mark.slow
def test_an_updater_on_a_node_keeps_the_nodes_own_clamd(site: Site) -> None:
    need_clamd()
    release(site, 1, b"the first malware")
    with short_folder() as folder:
        node = Scanner(folder, site, "scanner-nodes-values.yaml")
        current = node.pod.path("updater", "/var/lib/clamav/sigmirror/engines/clamd/current")
        assert node.pod.run("install").returncode == 0
        (folder / "volumes/run").mkdir(exist_ok=True)
        clamd, log = Clamd(folder, current), folder / "updater.log"
        clamd.start()
        (folder / "volumes/run/clamd.ctl").symlink_to(clamd.socket)
        updater = node.pod.start("updater", log)
        try:
            wait_for(lambda: "proven (marker found)" in log.read_text())
        finally:
            assert end(updater) == 0
            clamd.stop()
