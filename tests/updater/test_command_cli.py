"""`sigupdate run` with an engine of kind command: probed, proven by its samples, or refused."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import short_folders
from tests.tuf_repository import ChannelRepository
from tests.updater.clamd_host import Command
from tests.updater.clamd_process import DEADLINE_SECONDS
from tests.updater.site import Site, served

FINDS_BAD = ["sh", "-c", "! grep -o bad"]
FINDS_EVERYTHING = ["sh", "-c", "echo everything; exit 1"]


@pytest.fixture
def site() -> Iterator[Site]:
    repository = ChannelRepository("a")
    repository.release("a", {"rules.conf": b"a rule\n"}, sequence=1)
    with served(repository) as serving:
        yield serving


@pytest.fixture
def host(site: Site) -> Iterator[Command]:
    with short_folders.made("su-") as folder:
        yield Command(folder, site)


def scanner(host: Command, site: Site, **keys: object) -> None:
    ours = {"name": "own", "kind": "command", "socket": "", "test_command": ["true"]}
    host.write_settings(site.url, engine={**ours, "scan_timeout_seconds": 5.0, **keys})


def sample(host: Command, content: str) -> str:
    folder = host.folder / "samples"
    folder.mkdir()
    (folder / "sample").write_text(content)
    return str(folder)


def test_an_engine_that_only_answers_is_probed(host: Command, site: Site) -> None:
    scanner(host, site, probe_command=["true"])
    assert "own: installed, generation 1 (a 1), probed" in host("run")
    assert "own: kept, generation 1 (a 1), probed" in host("run")
    assert "probed" in host("prove")


def test_an_engine_that_does_not_answer_is_unproven(host: Command, site: Site) -> None:
    scanner(host, site, probe_command=["false"], reload_timeout_seconds=1)
    assert "unproven" in host("run", code=6)


def test_a_probed_engine_that_scans_lets_a_clean_sample_pass(host: Command, site: Site) -> None:
    scanner(host, site, probe_command=["true"], prove_command=FINDS_BAD)
    assert "probed" in host("run")


def test_a_probed_engine_that_finds_all_clean_text_is_refused(host: Command, site: Site) -> None:
    scanner(host, site, probe_command=["true"], prove_command=FINDS_EVERYTHING)
    assert "a clean sample is reported as 'everything'" in host("run", code=5)


def test_a_probed_engine_that_misses_what_it_must_detect_is_refused(
    host: Command, site: Site
) -> None:
    keys = {"prove_command": FINDS_BAD, "must_detect": sample(host, "good")}
    scanner(host, site, **keys)
    assert "not detected" in host("run", code=5)


@pytest.mark.parametrize("key", ["must_detect", "must_pass"])
def test_samples_that_nothing_scans_are_refused_before_anything_is_touched(
    key: str, host: Command, site: Site
) -> None:
    scanner(host, site, probe_command=["true"], **{key: sample(host, "good")})
    assert f"engine own: {key}: no prove_command scans its files" in host("run", code=2)
    assert not site.requests


def process(host: Command, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-c", "from updater.cli import main; main()", *words],
        env=host.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def line_with(running: subprocess.Popen[str], text: str) -> str:
    """Read until a line holds the text."""
    assert running.stdout
    seen = []
    for line in running.stdout:
        seen.append(line)
        if text in line:
            return line
    raise AssertionError(seen)


def rewrite(file: Path, text: str) -> None:
    """Put the text in the file's place at once: the daemon also reads it at the end of a run."""
    beside = file.with_suffix(".new")
    beside.write_text(text)
    beside.replace(file)


def test_a_run_with_jitter_waits_first_and_keeps_no_other_run_from_its_work(
    host: Command, site: Site
) -> None:
    scanner(host, site, probe_command=["true"])
    text = host.config.read_text()
    host.config.write_text(f"jitter_seconds = {10 * 366 * 86400}\n{text}")
    waiting = process(host, "run", "--jitter")
    try:
        assert "own: installed" in host("run")
        asked = len(site.requests)
        assert "own: kept" in host("run")
        assert len(site.requests) == asked + 2
        assert waiting.poll() is None
    finally:
        waiting.kill()
        waiting.communicate()
    host.config.write_text(text)
    assert "own: kept" in host("run", "--jitter")


def test_a_daemon_told_to_read_broken_settings_goes_on_with_those_in_force(
    host: Command, site: Site
) -> None:
    scanner(host, site, probe_command=["true"])
    good = host.config.read_text()
    daemon = process(host, "daemon")
    try:
        line_with(daemon, "own: installed, generation 1 (a 1)")
        rewrite(host.config, "mirrors = 7\n")
        site.repository.release("a", {"rules.conf": b"another rule\n"}, sequence=2)
        daemon.send_signal(signal.SIGHUP)
        told = line_with(daemon, "the settings in force stay")
        assert "mirrors: Expected `array`, got `int`" in told
        line_with(daemon, "own: installed, generation 2 (a 2)")
        rewrite(host.config, good.replace('name = "own"', 'name = "other"'))
        daemon.send_signal(signal.SIGHUP)
        line_with(daemon, "other: installed, generation 1 (a 2)")
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(DEADLINE_SECONDS) == 0
    finally:
        daemon.kill()
        daemon.communicate()
