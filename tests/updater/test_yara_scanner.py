"""`sigupdate yara-scanner` beside `sigupdate run`, as separate processes."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import short_folders
from tests.tuf_repository import ChannelRepository
from tests.updater.site import Site, served
from tests.updater.yara_host import YaraHost
from tests.updater.yara_site import rule, wait_for
from updater.engines import instream


class SuppliedHost(YaraHost):
    """A host and the site it updates from."""

    def __init__(self, folder: Path, site: Site) -> None:
        super().__init__(folder, site.url, site.repository.first_root, "a")
        self.site = site

    def release(self, sequence: int, **more: str) -> None:
        texts = {"rules.yar": rule(f"Sample_{sequence}", f"sample number {sequence}."), **more}
        content = {f"yara/{name}": text.encode() for name, text in texts.items()}
        self.site.repository.release("a", content, sequence=sequence)


@pytest.fixture
def host() -> Iterator[SuppliedHost]:
    with served(ChannelRepository("a")) as site:
        host = SuppliedHost(short_folders.make("su-"), site)
        try:
            yield host
        finally:
            host.end()


def test_a_scanner_that_waits_for_its_first_rules_is_proven_by_the_first_run(
    host: SuppliedHost,
) -> None:
    host.start("--engine", "yara")
    assert instream.ask(host.address, "PING", timeout_seconds=5) == "PONG"
    host.release(1)
    assert "installed, generation 1 (a 1), proven" in host("run")
    assert host.finds("sample number 1.") == "Sample_1"


def test_a_new_release_replaces_the_rules_of_the_running_scanner(host: SuppliedHost) -> None:
    host.release(1)
    host("run", code=6)
    host.start()
    assert "proven" in host("run")
    host.release(2)
    assert "installed, generation 2 (a 2), proven" in host("run")
    assert host.finds("sample number 1.") == ""
    assert host.finds("sample number 2.") == "Sample_2"
    assert "all files are as installed" in host("verify")


def test_a_broken_rule_is_refused_and_the_scanner_never_sees_it(host: SuppliedHost) -> None:
    host.release(1)
    host.start()
    host("run")
    host.release(2, **{"bad.yar": "rule bad { condition: $missing }"})
    told = host("run", code=5)
    assert "a/yara/bad.yar:1: unknown pattern" in told
    assert "generation 1" in told
    assert host.finds("sample number 1.") == "Sample_1"
    assert "bad" not in (host.folder / "scanner.log").read_text()


def test_a_frozen_scanner_accepts_connections_and_proves_nothing(host: SuppliedHost) -> None:
    host.release(1)
    host.start()
    host("run")
    host.signal(signal.SIGSTOP)
    assert "unproven" in host("prove", code=6)
    host.signal(signal.SIGCONT)
    assert "proven (marker found)" in host("prove")


def test_a_scanner_killed_at_any_moment_starts_with_what_is_in_force(host: SuppliedHost) -> None:
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


def test_sigterm_ends_it_cleanly(host: SuppliedHost) -> None:
    host.start()
    host.signal(signal.SIGTERM)
    assert host.scanner
    assert host.scanner.wait(10) == 0
    assert not host.socket.exists()


def test_arguments_that_name_no_scanner_end_with_2(host: SuppliedHost) -> None:
    assert "no engine 'other'" in host("yara-scanner", "--engine", "other", code=2)
    assert "no socket" in host("yara-scanner", "--folder", str(host.folder), code=2)
    assert "expected /PATH or HOST:PORT" in host("yara-scanner", "--socket", "x", code=2)
    host.start()
    assert "another scanner listens" in host("yara-scanner", code=2)
