"""The commands of `sigupdate`, as an operator calls them, against a real clamd."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import short_folders
from tests.samples import hash_lines
from tests.tuf_repository import ChannelRepository
from tests.updater.clamd_host import Command
from tests.updater.clamd_process import DEADLINE_SECONDS, need_clamd, wait_for
from tests.updater.site import Site, served


@pytest.fixture
def site() -> Iterator[Site]:
    with served(ChannelRepository("a")) as serving:
        yield serving


@pytest.fixture
def sigupdate(site: Site) -> Iterator[Command]:
    need_clamd()
    with short_folders.made("su-") as folder:
        command = Command(folder, site)
        try:
            yield command
        finally:
            command.clamd.stop()


@pytest.fixture
def running(sigupdate: Command, site: Site) -> Command:
    """Release 1 is installed and proven."""
    release(site, 1)
    sigupdate("run", "--install-only")
    sigupdate.clamd.start()
    sigupdate("prove")
    return sigupdate


def release(site: Site, sequence: int, **files: bytes) -> None:
    text = f"sample number {sequence}".encode().hex()
    content = {"rules.ndb": f"Sample.{sequence}:0:*:{text}\n".encode(), **files}
    site.repository.release("a", content, sequence=sequence)


def test_a_first_install_works_before_the_engine_ever_started(
    sigupdate: Command, site: Site
) -> None:
    release(site, 1)
    assert "no run has finished yet" in sigupdate("status")
    told = sigupdate("run", code=6)
    assert "clamd: installed, generation 1 (a 1), unproven" in told
    assert "hint: start the engine, then run `sigupdate prove`" in told
    sigupdate.clamd.start()
    assert "proven (marker found)" in sigupdate("run")


def test_run_tells_as_json_whether_anything_changed(running: Command, site: Site) -> None:
    release(site, 2)
    changed = json.loads(running("run", "--json"))
    assert (changed["changed"], changed["engines"][0]["proof"]) == (True, "proven")
    assert json.loads(running("run", "--json"))["changed"] is False


def test_a_bad_release_is_refused_listed_and_can_be_lifted(running: Command, site: Site) -> None:
    site.repository.release("a", {"bad.ndb": b"this is no definition\n"}, sequence=2)
    told = running("run", code=5)
    assert "bad.ndb" in told
    assert "clamd: refused, generation 1" in told
    held = json.loads(running("quarantine", "list", "--json"))
    digest = held[0]["releases"]["a"]
    assert digest[:16] in running("quarantine", "list")
    assert "in quarantine" in running("run")
    assert running("quarantine", "clear", digest[:8]).strip() == "lifted 1"
    running("run", code=5)
    running("quarantine", "clear", "0" * 64, code=2)


def test_rollback_stays_until_a_newer_release(running: Command, site: Site) -> None:
    running("rollback", code=2)
    release(site, 2)
    running("run")
    assert "went_back, generation 1" in running("rollback", "--reason", "false alarms")
    assert "false alarms" in running("run")
    release(site, 3)
    assert "installed, generation 3 (a 3), proven" in running("run")


def test_a_kept_generation_that_was_changed_on_disk_is_not_used_again(
    running: Command, site: Site
) -> None:
    kept = (running.state / "engines/clamd/current").resolve()
    release(site, 2)
    running("run")
    file = next(kept.glob("*rules.ndb"))
    flip_last_byte(file)
    told = running("rollback", code=3)
    assert f"generation 1 is not what was installed, and is not used again: {file}" in told
    assert "was changed" in told
    assert "hint: nothing was moved" in told
    assert json.loads(running("status", "--json"))["engines"][0]["in_force"]["number"] == 2
    assert running("quarantine", "list") == ""
    site.repository.point("a", "stable", 1)
    told = running("run", code=3)
    assert "went_back, generation 3 (a 1), proven" in told
    assert f"{file}: was changed" in told
    assert running("verify").strip() == "all files are as installed"
    assert "kept, generation 3 (a 1), proven" in running("run")


def flip_last_byte(file: Path) -> None:
    mode = file.stat().st_mode
    file.chmod(0o644)
    data = file.read_bytes()
    file.write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
    file.chmod(mode)


def test_an_engine_that_went_down_is_unproven(running: Command) -> None:
    running.clamd.stop()
    assert "unproven" in running("run", code=6)
    assert "unproven" in running("prove", code=6)
    assert running("check", code=2).startswith("CRITICAL not proven: clamd")


def test_status_check_and_history_tell_what_is_in_force(running: Command) -> None:
    running("run")
    assert "clamd: generation 1: a 1 (release 1); proven" in running("status")
    told = json.loads(running("status", "--json"))
    assert told["engines"][0]["in_force"]["releases"]["a"]["sequence"] == 1
    assert running("check", "--max-age", "26h").startswith("OK clamd generation 1")
    assert "installed, unproven" in running("history")
    assert "generation 1" in running("history", "--at", "2100-01-01T00:00:00Z")
    running("history", "--at", "2000-01-01T00:00:00Z", code=1)
    running("history", "--at", "yesterday", code=2)


def test_verify_finds_a_changed_file_and_wrong_rights(running: Command) -> None:
    assert running("verify").strip() == "all files are as installed"
    installed = next((running.state / "engines/clamd/current").glob("*rules.ndb"))
    good = installed.read_bytes()
    installed.chmod(0o644)
    assert "mode 0644, not 0444" in running("verify", code=1)
    installed.write_bytes(good.replace(b"1", b"2"))
    assert f"{installed.name}: was changed" in running("verify", code=3)


def test_a_changed_history_is_noticed(running: Command) -> None:
    log = running.state / "engines/clamd/history.jsonl"
    log.write_bytes(log.read_bytes().replace(b'"unproven"', b'"proven"', 1))
    assert "does not follow" in running("verify", code=1)


def test_init_writes_settings_and_trusts_the_root_it_was_told(
    sigupdate: Command, site: Site
) -> None:
    config = sigupdate.folder / "new" / "sigupdate.toml"
    state = ["--state", str(sigupdate.folder / "new-state")]
    options = ["--config", str(config), "--mirror", site.url, *state]
    digest = hashlib.sha256(site.repository.first_root).hexdigest()
    assert "sha256" in sigupdate("init", *options, "--root-sha256", "0" * 64, code=3)
    assert not config.exists()
    sigupdate("init", *options, code=2)
    site.override = lambda _: (401, {}, b"")
    told = sigupdate("init", *options, "--root-sha256", digest, code=4)
    assert "hint: name this host's with --credential-file" in told
    site.override = lambda _: None
    credential = sigupdate.folder / "host.cred"
    credential.write_text("mx1:secret\n")
    options += ["--credential-file", str(credential)]
    assert f"root {digest} is trusted" in sigupdate("init", *options, "--root-sha256", digest)
    assert site.url in config.read_text()
    assert f'credential_file = "{credential}"' in config.read_text()
    assert "no [[engine]]" in sigupdate("run", "--config", str(config), code=2)
    trusted = sigupdate.folder / "new-state/trust/site/metadata/root.json"
    assert trusted.read_bytes() == site.repository.first_root


def test_settings_that_cannot_be_followed_end_with_2(sigupdate: Command, site: Site) -> None:
    sigupdate.write_settings(site.url, more='mirorrs = ["x"]')
    assert "mirorrs" in sigupdate("run", code=2)
    sigupdate.write_settings(site.url, more='user = "no-such-user"')
    if os.geteuid() == 0:
        assert "no-such-user" in sigupdate("run", code=2)
    sigupdate("run", "--config", "/nonexistent/sigupdate.toml", code=2)


def test_the_daemon_runs_and_ends_cleanly(running: Command, site: Site) -> None:
    release(site, 2)
    daemon = subprocess.Popen(
        [sys.executable, "-u", "-c", "from updater.cli import main; main()", "daemon"],
        env=running.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert daemon.stdout
        assert "installed, generation 2 (a 2), proven" in daemon.stdout.readline()
        release(site, 3)
        daemon.send_signal(signal.SIGHUP)
        assert "installed, generation 3 (a 3), proven" in daemon.stdout.readline()
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(DEADLINE_SECONDS) == 0
    finally:
        daemon.kill()
        daemon.communicate()


@pytest.mark.slow
def test_a_clamd_killed_at_the_reload_is_given_the_old_generation_back(
    running: Command, site: Site
) -> None:
    current = running.state / "engines/clamd/current"
    before = current.readlink()
    patient = running.config.read_text()
    running.config.write_text(
        patient.replace("reload_timeout_seconds = 20", "reload_timeout_seconds = 5")
    )

    def kill_at_the_swap() -> None:
        wait_for(lambda: current.readlink() != before)
        running.clamd.stop()

    slow_to_load = {"filler.hsb": hash_lines(200_000).encode()}
    site.repository.release("a", slow_to_load, sequence=2)
    killer = threading.Thread(target=kill_at_the_swap)
    killer.start()
    told = running("run", code=5)
    killer.join()
    assert "generation 1 (a 1)" in told
    assert current.readlink() == before
    running.clamd.start()
    running("prove")


def test_monitoring_believes_a_proof_that_came_after_the_run(
    sigupdate: Command, site: Site
) -> None:
    release(site, 1)
    sigupdate("run", "--install-only")
    assert sigupdate("check", code=2).startswith("CRITICAL not proven: clamd")
    sigupdate.clamd.start()
    sigupdate("prove")
    assert sigupdate("check").startswith("OK clamd generation 1")
    sigupdate.clamd.stop()
    sigupdate("prove", code=6)
    assert sigupdate("check", code=2).startswith("CRITICAL not proven: clamd")
