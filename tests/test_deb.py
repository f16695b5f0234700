"""The Debian package: built once, looked into, and installed on this system in a namespace."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.updater.debian_machine import CHECKOUT, Machine, machine

BUILD = CHECKOUT / "packaging/deb/build"
PYTHON = "/usr/bin/python3"
EPOCH = 1_700_000_000
PATH = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"  # without the checkout's own programs
SEEN = ("/etc", "/opt", "/usr/bin", "/usr/lib/systemd", "/usr/lib/sysusers.d", "/var/lib/clamav")
USERS = {
    f"/etc/{name}{dash}" for name in ("passwd", "group", "shadow", "gshadow") for dash in ("", "-")
}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("deb")]


def check_tools() -> None:
    if not shutil.which("dpkg-deb"):
        pytest.skip("dpkg-deb is not installed: apt-get install dpkg")
    found = subprocess.run([PYTHON, "-c", "import ensurepip"], check=False, capture_output=True)
    if found.returncode:
        pytest.skip("python3-venv is not installed: apt-get install python3-venv")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    check_tools()
    folder = tmp_path_factory.mktemp("deb")
    changed = {
        "DEB_EXTRAS": "server",
        "SOURCE_DATE_EPOCH": str(EPOCH),
        "DPKG_DEB_COMPRESSOR_LEVEL": "1",  # it is thrown away at once
    }
    done = subprocess.run(
        [BUILD, folder], env={**os.environ, **changed}, capture_output=True, text=True, check=False
    )
    if done.returncode and not os.environ.get("CI"):
        pytest.skip("sigmirror.deb is not installed: make deb (it failed here)")
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture(scope="module")
def unpacked(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked") / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", package, folder], check=True)
    return folder


@pytest.mark.parametrize("program", ["sigmirror", "sigupdate", "sigkeys"])
def test_a_packed_program_runs_wherever_it_was_unpacked(unpacked: Path, program: str) -> None:
    home = unpacked / "opt/sigmirror"
    script = home / "bin" / program
    assert script.read_text().startswith("#!/opt/sigmirror/bin/python3\n")
    assert str((unpacked / "usr/bin" / program).readlink()) == f"/opt/sigmirror/bin/{program}"
    words = [str(home / "bin/python3"), "-I", str(script), "--version"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_package_holds_nothing_of_the_place_and_time_it_was_built_at(unpacked: Path) -> None:
    found = [path for top in ("etc", "opt", "usr") for path in (unpacked / top).rglob("*")]
    packed = [path for path in found if path.is_file() and not path.is_symlink()]
    assert {int(path.stat().st_mtime) for path in packed} == {EPOCH}
    told = subprocess.run(
        ["grep", "-rlE", f"tmp/tmp[.]|{CHECKOUT}", unpacked], capture_output=True, check=False
    )
    assert told.stdout == b""
    assert not list(unpacked.rglob("activate*"))
    for path in unpacked.rglob("*.pyc"):
        assert path.read_bytes()[4] == 1, path  # PEP 552: by hash, never checked


def test_maintainer_scripts_are_shell_and_conffiles_are_only_what_operators_edit(
    unpacked: Path,
) -> None:
    for script in ("postinst", "prerm", "postrm"):
        subprocess.run(["sh", "-n", unpacked / "DEBIAN" / script], check=True)
    assert (unpacked / "DEBIAN/conffiles").read_text() == "/etc/cron.d/sigupdate\n"
    examples = unpacked / "usr/share/doc/sigmirror/examples"
    given = (CHECKOUT / "packaging").glob("*.toml")
    assert {path.name for path in examples.iterdir()} == {path.name for path in given}


# -- on the running system, in a namespace ---------------------------------------------------------


@pytest.fixture
def host(package: Path) -> Iterator[Machine]:
    with machine("/usr", "/opt") as host:
        dpkg(host, "--install", str(package))
        yield host


def dpkg(host: Machine, *words: str, code: int = 0) -> str:
    done = host.run("env", PATH, "DEBIAN_FRONTEND=noninteractive", "dpkg", *words)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def listing(host: Machine) -> set[str]:
    """List what lies where a package may leave something: kind, mode, owner, size, path."""
    kept = "! -path '/etc/sigmirror*'"
    told = "\\( -type d -printf '%y %m %u %p\\n' -o -printf '%y %m %u %s %p\\n' \\)"
    return set(host.shell(f"find {' '.join(SEEN)} {kept} {told}").splitlines())


def settle(host: Machine) -> None:
    """Write what an operator of host and mirror would have written."""
    host.shell(
        "echo 'mirrors = [\"https://mirror.example\"]' > /etc/sigmirror/sigupdate.toml; "
        "echo mx1:secret > /etc/sigmirror/host.cred; mkdir -p /var/lib/sigmirror/keys/online "
        "/var/lib/sigmirror/r; echo kept > /var/lib/sigmirror/keys/online/site.pem"
    )


def test_installing_makes_users_and_folders_and_starts_nothing(host: Machine) -> None:
    told = host.shell(
        f"{PATH} sigupdate --version; stat -c '%U %a' /var/lib/sigupdate /etc/sigmirror"
    )
    assert told.splitlines()[-2:] == ["sigupdate 755", "root 755"]
    assert "sigmirror:" in host.shell("getent passwd sigmirror")
    assert host.shell("find /etc/systemd -name 'sig*'") == ""
    assert dpkg(host, "--verify", "sigmirror") == ""


def test_a_removed_package_leaves_the_host_as_before(package: Path) -> None:
    with machine("/usr", "/opt") as host:
        before = listing(host)
        dpkg(host, "--install", str(package))
        settle(host)
        host.shell(f"{PATH} sigupdate setup clamd")
        assert "sigmirror" in host.shell("cat /etc/clamav/clamd.conf")
        dpkg(host, "--remove", "sigmirror")
        left = {line.rpartition(" ")[2] for line in listing(host) - before}
        assert "sigmirror" not in host.shell("cat /etc/clamav/clamd.conf")
        assert left <= {"/etc/cron.d/sigupdate", *USERS}, left
        assert host.shell("cat /etc/sigmirror/host.cred") == "mx1:secret\n"
        told = dpkg(host, "--purge", "sigmirror")
        assert "the site's keys are kept" in told
        assert host.shell("cat /var/lib/sigmirror/keys/online/site.pem") == "kept\n"
        assert (
            host.shell("ls -d /etc/sigmirror /var/lib/sigupdate /var/lib/sigmirror/r || true") == ""
        )
        assert host.shell("getent passwd sigupdate sigmirror || true") == ""


def test_a_package_is_not_removed_while_clamd_would_be_left_without_definitions(
    host: Machine,
) -> None:
    host.shell(f"{PATH} sigupdate setup clamd; echo '# mine' >> /etc/clamav/clamd.conf")
    told = dpkg(host, "--remove", "sigmirror", code=1)
    assert "setup clamd --undo --force" in told
    host.shell(f"{PATH} sigupdate setup clamd --undo --force")
    dpkg(host, "--remove", "sigmirror")
    assert host.shell("tail -n 1 /etc/clamav/clamd.conf") == "# mine\n"


def test_an_upgrade_keeps_set_up_and_settings(host: Machine, package: Path) -> None:
    settle(host)
    host.shell(f"{PATH} sigupdate setup clamd")
    dpkg(host, "--install", str(package))
    assert "nothing to change" in host.shell(f"{PATH} sigupdate setup clamd")
    assert host.shell("cat /etc/sigmirror/host.cred") == "mx1:secret\n"
