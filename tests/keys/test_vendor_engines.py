"""Containers between us and ClamAV's own programs: ours load there, theirs hold here."""

import getpass
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from keys.trust.vendor.cld import verify_cld
from keys.trust.vendor.cvd import expand_cvd
from tests.clamav_library import substituted
from tests.clamav_vendor import VENDOR, issue
from tests.loopback import folder_served
from tests.real_data import real_data
from tests.updater.clamd_process import Clamd, need_clamd, other_user, short_folder

EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
DATABASES = (
    ("testdb/test-3.cvd", "test.cld", "Eicar-Test-Signature", 7),
    ("bytecode/bytecode-333.cvd", "bytecode.cld", "Eicar-Signature", 90),
)
databases = pytest.mark.parametrize(
    ("source", "name", "found", "loaded"), DATABASES, ids=[name for _, name, *_ in DATABASES]
)


def expand(source: str, path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as target:
        expand_cvd(real_data(f"clamav/{source}"), target, path.name)
    return path


def scan(database: Path, folder: Path, env: dict[str, str] | None = None) -> str:
    """Scan a sample with this database and no unofficial one."""
    (sample := folder / "sample").write_bytes(EICAR)
    line = ["clamscan", "--official-db-only=yes", f"--database={database}", str(sample)]
    finished = subprocess.run(line, check=False, capture_output=True, text=True, env=env)
    assert finished.returncode == 1, finished.stdout + finished.stderr
    return finished.stdout


@databases
def test_the_canonical_cld_loads_as_official_like_the_cvd(
    source: str, name: str, found: str, loaded: int, tmp_path: Path
) -> None:
    need_clamd()
    shutil.copy(real_data(f"clamav/{source}"), cvd := tmp_path / Path(name).with_suffix(".cvd"))
    for database in (cvd, expand(source, tmp_path / "expanded" / name)):
        said = scan(database, tmp_path)
        assert f"{found} FOUND" in said
        assert "UNOFFICIAL" not in said
        assert re.search(rf"^Known viruses: {loaded}$", said, re.MULTILINE)


@databases
def test_a_running_clamd_takes_the_canonical_cld_as_official(
    source: str, name: str, found: str, loaded: int
) -> None:
    need_clamd()
    assert loaded
    with short_folder() as folder:
        databases_folder = expand(source, folder / "db" / name).parent
        lines = ("OfficialDatabaseOnly yes", *other_user(folder))
        clamd = Clamd(folder, databases_folder, *lines)
        clamd.start()
        try:
            assert clamd.found(EICAR) == found
            assert not clamd.finds(b"clean")
        finally:
            clamd.stop()


@databases
def test_sigtool_says_of_the_canonical_cld_what_we_say(
    source: str, name: str, found: str, loaded: int, tmp_path: Path
) -> None:
    need_clamd()
    assert found
    assert loaded
    target = expand(source, tmp_path / name)
    line = ["sigtool", f"--info={target}"]
    said = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    assert "Verification OK" in said


def test_clamavs_own_judgement_of_the_tests_vendor_is_ours(tmp_path: Path) -> None:
    """With the tests' keys in its library ClamAV takes what he signs, and what we make of it."""
    need_clamd()
    env = substituted(tmp_path / "lib")
    if env is None:
        pytest.skip("sigtool is not installed: apt-get install clamav")
    hashes = f"{hashlib.md5(EICAR, usedforsecurity=False).hexdigest()}:{len(EICAR)}:Tests\n"
    daily = issue(3, hdb=hashes, ldb="# none\n", ign2="Nothing\n")
    (cvd := tmp_path / "daily.cvd").write_bytes(VENDOR.cvd(daily))
    (tmp_path / "expanded").mkdir()
    with (cld := tmp_path / "expanded" / "daily.cld").open("wb") as target:
        expand_cvd(cvd, target, "daily.cvd", keys=VENDOR.keys)
    for database in (cvd, cld):
        line = ["sigtool", f"--info={database}"]
        said = subprocess.run(line, check=True, capture_output=True, text=True, env=env).stdout
        assert "Verification OK" in said
        assert "Version: 3" in said
        found = scan(database, tmp_path, env)
        assert "Tests FOUND" in found
        assert "UNOFFICIAL" not in found


@pytest.mark.slow
def test_a_cld_that_freshclam_built_from_cdiffs_holds(tmp_path: Path) -> None:
    if shutil.which("freshclam") is None:
        pytest.skip("freshclam is not installed: apt-get install clamav-freshclam")
    for folder in (web := tmp_path / "web", databases_folder := tmp_path / "db"):
        folder.mkdir()
    for version in (2, 3):
        shutil.copy(real_data(f"clamav/testdb/test-{version}.cdiff"), web)
    shutil.copyfile(real_data("clamav/testdb/test-3.cvd"), web / "test.cvd")
    shutil.copyfile(real_data("clamav/testdb/test-1.cvd"), databases_folder / "test.cvd")
    with folder_served(web) as url:
        update(tmp_path / "freshclam.conf", databases_folder, url)
    found = verify_cld(databases_folder / "test.cld", "test.cld")
    assert (found.database, found.version, len(found.members)) == ("test", 3, 18)


def update(config: Path, folder: Path, url: str) -> None:
    lines = (
        f"DatabaseDirectory {folder}",
        f"DatabaseOwner {getpass.getuser()}",
        f"DatabaseMirror {url}",
        *(f"ExcludeDatabase {name}" for name in ("main", "daily", "bytecode")),
        "ExtraDatabase test",
    )
    config.write_text("".join(f"{line}\n" for line in lines))
    line = ["freshclam", f"--config-file={config}", "--no-dns", "--stdout"]
    subprocess.run(line, check=True, capture_output=True, timeout=120)
