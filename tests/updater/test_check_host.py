"""`sigupdate check-host` against a real clamd on a copy of the packages' files."""

import contextlib
import json
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keys.console import exit_code
from tests.updater import debian_host
from updater.cli.setup import check_host, setup

GENERATION = "generations/1-0a1b2c3d"
DEADLINE_SECONDS = 20.0
SETTINGS = (Path(__file__).parents[2] / "packaging/sigupdate.toml").read_text()
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as other users")

Lines = dict[str, dict[str, str]]
Check = Callable[..., tuple[int, Lines]]


def call(command: str, root: Path, *arguments: str) -> int:
    group, names = (setup, ["clamd"]) if command == "setup" else (check_host, [])
    return exit_code(group, program=command, arguments=[*names, "--root", str(root), *arguments])


@pytest.fixture
def root() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield debian_host.copy(Path(folder))


@pytest.fixture
def host(root: Path) -> Path:
    """Set a host up and install one generation by hand."""
    if os.geteuid() == 0:
        engine = pwd.getpwnam("clamav")
        passwd = (root / "etc/passwd").read_text()
        number = str(debian_host.ENGINE_UID)
        (root / "etc/passwd").write_text(passwd.replace(number, str(engine.pw_uid)))
        os.chown(root / "var/lib/clamav", engine.pw_uid, engine.pw_gid)
    else:
        text = (root / "etc/clamav/clamd.conf").read_text()
        own = pwd.getpwuid(os.getuid()).pw_name
        passwd = (root / "etc/passwd").read_text()
        (root / "etc/passwd").write_text(
            passwd + f"{own}:x:{os.getuid()}:{os.getgid()}::/:/bin/sh\n"
        )
        (root / "etc/clamav/clamd.conf").write_text(text.replace("User clamav", f"User {own}"))
    assert call("setup", root) == 0
    (root / "etc/sigmirror/sigupdate.toml").write_text(SETTINGS)
    folder = root / "var/lib/clamav/sigmirror"
    (folder / GENERATION).mkdir(parents=True)
    definitions = folder / GENERATION / "x.ndb"
    definitions.write_text("T:0:*:6d61726b65726d61726b6572\n")
    definitions.chmod(0o444)
    (folder / "current").symlink_to(GENERATION)
    if os.geteuid() == 0:
        os.chown(folder / "generations", debian_host.UPDATER_UID, debian_host.UPDATER_UID)
    return root


@pytest.fixture
def clamd(host: Path) -> Iterator[Path]:
    """Run a private clamd, with the rights of user clamav where we are root."""
    if not shutil.which("clamd"):
        pytest.skip("clamd is not installed: apt-get install clamav clamav-daemon")
    run = host / "run/clamav"
    run.mkdir(parents=True)
    config = host / "private.conf"
    user = "User clamav\n" if os.geteuid() == 0 else ""
    config.write_text(
        f"{user}LocalSocket {run}/clamd.ctl\nForeground yes\nSelfCheck 3600\n"
        f"DatabaseDirectory {host}/var/lib/clamav/sigmirror/current\n"
    )
    if user:
        shutil.chown(run, "clamav", "clamav")
    process = subprocess.Popen(
        ["clamd", "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (run / "clamd.ctl").exists() and time.monotonic() < deadline:
            assert process.poll() is None, "clamd ended"
            time.sleep(0.02)
        yield host
    finally:
        process.terminate()
        process.wait(timeout=DEADLINE_SECONDS)


@pytest.fixture
def check(host: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    def ask() -> tuple[int, Lines]:
        capsys.readouterr()
        code = call("check-host", host, "--json")
        answer = json.loads(capsys.readouterr().out)
        assert answer["ok"] is (code == 0)
        return code, {line["name"]: line for line in answer["checks"]}

    return ask


def failing(lines: Lines) -> set[str]:
    return {name for name, line in lines.items() if line["level"] == "fail"}


def test_a_host_that_was_set_up_passes_every_line(clamd: Path, check: Check) -> None:
    code, lines = check()
    assert clamd.exists()
    assert code == 0
    assert {line["level"] for line in lines.values()} == {"ok"}, lines


def test_a_host_without_set_up_fails_with_what_to_do(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("check-host", root) == 1
    shown = capsys.readouterr().out
    assert "fail DatabaseDirectory: clamd reads /var/lib/clamav, not" in shown
    assert "do: sigupdate setup clamd" in shown
    assert "after a reconfigure" in shown


@as_root
def test_one_file_that_the_engines_user_cannot_read_is_named(host: Path, check: Check) -> None:
    secret = host / "var/lib/clamav/sigmirror" / GENERATION / "secret.hdb"
    secret.write_text("x")
    secret.chmod(0o600)
    code, lines = check()
    assert code == 1
    assert "secret.hdb: Permission denied" in lines["engine reads definitions"]["detail"]


@as_root
def test_a_folder_that_the_engines_user_cannot_enter_is_named(host: Path, check: Check) -> None:
    (host / "var/lib/clamav/sigmirror/generations").chmod(0o700)
    assert "engine reads definitions" in failing(check()[1])


@as_root
def test_a_socket_closed_to_the_updater_fails_although_root_could_use_it(
    clamd: Path, check: Check
) -> None:
    (clamd / "run/clamav/clamd.ctl").chmod(0o600)
    line = check()[1]["updater reaches the socket"]
    assert line["level"] == "fail"
    assert "Permission denied" in line["detail"]


def test_a_socket_that_accepts_and_never_answers_fails(host: Path, check: Check) -> None:
    """systemd holds the socket open while clamd is down: a connection proves nothing."""
    run = host / "run/clamav"
    run.mkdir(parents=True)
    with _silent(run / "clamd.ctl"):
        assert "updater reaches the socket" in failing(check()[1])


@contextlib.contextmanager
def _silent(path: Path) -> Iterator[None]:
    def hang_up() -> None:
        with contextlib.suppress(OSError):
            listener.accept()[0].close()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen()
        thread = threading.Thread(target=hang_up)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@as_root
def test_a_folder_the_updater_cannot_write_is_named(host: Path, check: Check) -> None:
    os.chown(host / "var/lib/sigupdate", 0, 0)
    line = check()[1]["updater writes"]
    assert (line["level"], line["detail"]) == ("fail", "/var/lib/sigupdate")


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("ConcurrentDatabaseReload", "no", "ConcurrentDatabaseReload"),
        ("OfficialDatabaseOnly", "yes", "OfficialDatabaseOnly"),
        ("StreamMaxLength", "10K", "scan limits"),
        ("MaxFileSize", "512", "scan limits"),
        ("DatabaseDirectory", "/var/lib/clamav", "DatabaseDirectory"),
    ],
)
def test_a_directive_that_breaks_the_proof_fails(
    host: Path, check: Check, key: str, value: str, name: str
) -> None:
    config = host / "etc/clamav/clamd.conf"
    others = [line for line in config.read_text().splitlines() if not line.startswith(key)]
    config.write_text("\n".join([*others, f"{key} {value}", ""]))
    assert name in failing(check()[1])


def test_a_start_condition_that_came_back_fails(host: Path, check: Check) -> None:
    later = host / "etc/systemd/system/clamav-daemon.socket.d/zz.conf"
    later.write_text("[Unit]\nConditionPathExists=/nowhere\n")
    name = "start conditions of clamav-daemon.socket"
    assert "/nowhere" in check()[1][name]["detail"]


def test_freshclam_that_can_start_again_fails(host: Path, check: Check) -> None:
    (host / "etc/systemd/system/clamav-freshclam.service").unlink()
    line = check()[1]["freshclam is off"]
    assert (line["level"], line["detail"]) == ("fail", "clamav-freshclam.service is not masked")


def test_a_local_profile_that_forbids_the_folder_fails_and_says_where(
    host: Path, check: Check
) -> None:
    local = host / "etc/apparmor.d/local/usr.sbin.clamd"
    local.write_text("deny /var/lib/clamav/sigmirror/** r,\n")
    line = check()[1]["AppArmor lets clamd read"]
    assert line["level"] == "fail"
    assert "local/usr.sbin.clamd" in line["remedy"]


def test_a_profile_that_is_switched_off_is_no_obstacle(host: Path, check: Check) -> None:
    (host / "etc/apparmor.d/local/usr.sbin.clamd").write_text("deny /var/lib/clamav/** r,\n")
    (host / "etc/apparmor.d/disable").mkdir(exist_ok=True)
    (host / "etc/apparmor.d/disable/usr.sbin.clamd").symlink_to("/etc/apparmor.d/usr.sbin.clamd")
    assert check()[1]["AppArmor lets clamd read"]["level"] == "ok"


@pytest.mark.parametrize("key", ["folder", "overlay", "user"])
def test_settings_that_disagree_with_set_up_fail_by_name(
    host: Path, check: Check, key: str
) -> None:
    lines = [line for line in SETTINGS.splitlines() if not line.startswith(f"{key} =")]
    (host / "etc/sigmirror/sigupdate.toml").write_text("\n".join(lines))
    line = check()[1]["settings agree with set-up"]
    assert line["level"] == "fail"
    assert f"lack {key} = " in line["detail"]


@as_root
def test_generations_left_by_a_run_of_root_are_named(host: Path, check: Check) -> None:
    os.chown(host / "var/lib/clamav/sigmirror/generations", 0, 0)
    line = check()[1]["updater writes"]
    assert line["detail"] == "/var/lib/clamav/sigmirror/generations"


def test_too_little_memory_for_two_engines_is_a_warning(host: Path, check: Check) -> None:
    with (host / "var/lib/clamav/sigmirror" / GENERATION / "big.ndb").open("wb") as file:
        file.truncate(1 << 43)  # sparse
    assert check()[1]["memory for two engines"]["level"] == "warn"


def test_a_definition_the_admin_still_edits_in_the_old_place_is_a_warning(
    host: Path, check: Check
) -> None:
    (host / "var/lib/clamav/local.ign2").write_text("New.Name\n")
    line = check()[1]["the host's own definitions"]
    assert (line["level"], line["detail"]) == (
        "warn",
        "clamd no longer reads /var/lib/clamav/local.ign2",
    )


def test_a_dangling_current_fails_as_the_engines_user_meets_it(host: Path, check: Check) -> None:
    shutil.rmtree(host / "var/lib/clamav/sigmirror" / GENERATION)
    assert "engine reads definitions" in failing(check()[1])
