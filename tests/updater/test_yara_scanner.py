"""`sigupdate yara-scanner` beside `sigupdate run`, as separate processes."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tuf_repository import ChannelRepository
from tests.updater.site import Site, served
from tests.updater.yara_site import rule, wait_for
from updater.engines import instream
from updater.engines.instream import Address

PROGRAM = [sys.executable, "-c", "from updater.cli import main; main()"]


class YaraHost:
    """A host whose settings have one engine of kind yara."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.site = site
        self.folder = folder
        self.socket = folder / "s"
        self.address = Address.parse(str(self.socket))
        self.scanner: subprocess.Popen[bytes] | None = None
        config = folder / "sigupdate.toml"
        self.environment = {**os.environ, "SIGUPDATE_CONFIG": str(config)}
        (folder / "root.json").write_bytes(site.repository.first_root)
        config.write_text(f"""mirrors = ["{site.url}"]
state = "{folder}/state"
[[repository]]
name = "site"
root = "{folder}/root.json"
[[engine]]
name = "yara"
kind = "yara"
socket = "{self.socket}"
channels = ["a"]
scan_timeout_seconds = 1.0
reload_timeout_seconds = 30
""")

    def release(self, sequence: int, **more: str) -> None:
        texts = {"rules.yar": rule(f"Sample_{sequence}", f"sample number {sequence}."), **more}
        content = {f"yara/{name}": text.encode() for name, text in texts.items()}
        self.site.repository.release("a", content, sequence=sequence)

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

    def end(self) -> None:
        if self.scanner:
            self.scanner.kill()
            self.scanner.wait()
        shutil.rmtree(self.folder)


@pytest.fixture
def host() -> Iterator[YaraHost]:
    with served(ChannelRepository("a")) as site:
        host = YaraHost(Path(tempfile.mkdtemp(prefix="su-", dir="/tmp")), site)
        try:
            yield host
        finally:
            host.end()


def test_a_scanner_that_waits_for_its_first_rules_is_proven_by_the_first_run(
    host: YaraHost,
) -> None:
    host.start("--engine", "yara")
    assert instream.ask(host.address, "PING", timeout_seconds=5) == "PONG"
    host.release(1)
    assert "installed, generation 1 (a 1), proven" in host("run")
    assert host.finds("sample number 1.") == "Sample_1"


def test_a_new_release_replaces_the_rules_of_the_running_scanner(host: YaraHost) -> None:
    host.release(1)
    host("run", code=6)
    host.start()
    assert "proven" in host("run")
    host.release(2)
    assert "installed, generation 2 (a 2), proven" in host("run")
    assert host.finds("sample number 1.") == ""
    assert host.finds("sample number 2.") == "Sample_2"
    assert "all files are as installed" in host("verify")


def test_a_broken_rule_is_refused_and_the_scanner_never_sees_it(host: YaraHost) -> None:
    host.release(1)
    host.start()
    host("run")
    host.release(2, **{"bad.yar": "rule bad { condition: $missing }"})
    told = host("run", code=5)
    assert "a/yara/bad.yar:1: unknown pattern" in told
    assert "generation 1" in told
    assert host.finds("sample number 1.") == "Sample_1"
    assert "bad" not in (host.folder / "scanner.log").read_text()


def test_a_frozen_scanner_accepts_connections_and_proves_nothing(host: YaraHost) -> None:
    host.release(1)
    host.start()
    host("run")
    host.signal(signal.SIGSTOP)
    assert "unproven" in host("prove", code=6)
    host.signal(signal.SIGCONT)
    assert "proven (marker found)" in host("prove")


def test_a_scanner_killed_at_any_moment_starts_with_what_is_in_force(host: YaraHost) -> None:
    host.release(1)
    host.start()
    host("run")
    host.signal(signal.SIGKILL)
    assert host.scanner
    host.scanner.wait()
    host.socket.unlink()
    host.start("--folder", str(host.folder / "state/engines/yara"), "--socket", str(host.socket))
    wait_for(lambda: "generation 1-" in (host.folder / "scanner.log").read_text())
    assert "proven" in host("prove")


def test_sigterm_ends_it_cleanly(host: YaraHost) -> None:
    host.start()
    host.signal(signal.SIGTERM)
    assert host.scanner
    assert host.scanner.wait(10) == 0
    assert not host.socket.exists()


def test_arguments_that_name_no_scanner_end_with_2(host: YaraHost) -> None:
    assert "no engine 'other'" in host("yara-scanner", "--engine", "other", code=2)
    assert "no socket" in host("yara-scanner", "--folder", str(host.folder), code=2)
    assert "expected /PATH or HOST:PORT" in host("yara-scanner", "--socket", "x", code=2)
    host.start()
    assert "another scanner listens" in host("yara-scanner", code=2)
