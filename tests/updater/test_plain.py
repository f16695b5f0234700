"""A plain freshclam host: what is on disk, what its real clamd runs, and whether they differ."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.fleet import run
from tests.real_data import real_data
from tests.samples import Sample
from tests.updater.clamd_process import Clamd, need_clamd, other_user, short_folder
from updater.cli.engine import prove

pytestmark = pytest.mark.slow


class PlainHost:
    """One clamd with its own databases and nothing of ours."""

    def __init__(self, folder: Path, *lines: str) -> None:
        self.databases = folder / "databases"
        self.databases.mkdir()
        self.clamd = Clamd(folder, self.databases, *other_user(folder), *lines)
        shutil.copy(real_data("clamav/testdb/test-3.cvd"), self.databases / "test.cvd")

    def write(self, name: str, data: bytes) -> Path:
        """Put a database there as freshclam does: beside it, then by one rename."""
        made = self.databases / "new.tmp"
        made.write_bytes(data)
        made.chmod(0o644)
        return made.replace(self.databases / name)

    def start(self) -> None:
        time.sleep(2.5)  # what is older than the kernel's notion of a start counts as loaded then
        self.clamd.start()

    def listing(self) -> dict[str, tuple[int, int, int]]:
        found = {}
        for path in (self.databases, *self.databases.iterdir()):
            status = path.stat()
            found[path.name] = (status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
        return found

    def prove(self, *words: str, code: int) -> tuple[dict[str, str], dict[str, Any]]:
        """Return what runs of each file, and all that was told."""
        command = ["--clamd-config", str(self.clamd.config), "--json", *words]
        done = CliRunner().invoke(prove, command, standalone_mode=False)
        assert done.return_value == code, (done.output, done.exception)
        told: dict[str, Any] = json.loads(done.output)
        return {row["name"]: row["runs"] for row in told["databases"]}, told


@pytest.fixture
def folder() -> Iterator[Path]:
    need_clamd()
    with short_folder() as made:
        yield made


@pytest.fixture
def host(folder: Path) -> Iterator[PlainHost]:
    host = PlainHost(folder)
    yield host
    host.clamd.stop()


def signature(sample: Sample) -> bytes:
    return f"{sample.name}:0:*:{sample.data.hex()}\n".encode()


def test_a_plain_host_is_told_what_its_clamd_runs_until_the_disk_changes(host: PlainHost) -> None:
    host.write("own.ndb", signature(Sample.fresh("first")))
    host.start()
    before = host.listing()
    done = run("sigupdate", "prove", "--engine", "clamd", "--clamd-config", host.clamd.config)
    assert (done.returncode, done.stderr) == (0, "")
    assert "test.cvd (version 3, built 2021-06-23 00:40:09Z, 11 signatures" in done.stdout
    assert "clamd runs what is on disk" in done.stdout
    assert host.listing() == before
    assert host.clamd.loads() == 0

    host.write("daily.cvd", real_data("clamav/testdb/test-1.cvd").read_bytes())
    host.write("own.ndb", signature(Sample.fresh("second")))
    runs, told = host.prove(code=6)
    assert runs == {"daily.cvd": "differs", "own.ndb": "differs", "test.cvd": "same"}
    assert (told["outcome"], told["version"]) == ("differs", "ClamAV 1.4.6")

    host.clamd.ask("RELOAD")
    while host.clamd.loads() < 1:
        time.sleep(0.1)
    runs, told = host.prove(code=0)
    assert set(runs.values()) == {"same"}
    assert told["version"].startswith("ClamAV 1.4.6/1/")
    assert "second is in it, and clamd finds it" in {row["why"] for row in told["databases"]}

    host.write("daily.cvd", real_data("clamav/testdb/test-3.cvd").read_bytes())
    runs, told = host.prove(code=6)
    assert runs["daily.cvd"] == "differs"
    assert "clamd runs version 1" in {row["why"] for row in told["databases"]}


def test_a_marker_on_request_proves_the_folder_and_leaves_no_trace(host: PlainHost) -> None:
    host.start()
    digests = "".join(f"{n:032x}:77:Digest-{n}\n" for n in range(5))
    host.write("digests.hdb", digests.encode())
    runs, told = host.prove(code=6)
    assert (runs["digests.hdb"], told["outcome"]) == ("unknown", "unknown")
    (host.databases / "sigmirror-marker-0-left.ndb").write_bytes(b"left:0:*:" + b"61" * 20 + b"\n")
    runs, told = host.prove("--marker", code=0)
    assert (runs["digests.hdb"], told["marker"]["proof"]) == ("same", "proven")
    assert sorted(path.name for path in host.databases.iterdir()) == ["digests.hdb", "test.cvd"]
    assert not host.clamd.finds(b"sigmirror-marker")


def test_a_clamd_that_is_down_and_a_forged_or_unreadable_database_are_told(
    host: PlainHost,
) -> None:
    _, told = host.prove(code=6)
    assert told["outcome"] == "down"
    data = bytearray((host.databases / "test.cvd").read_bytes())
    data[600] ^= 1
    host.write("test.cvd", bytes(data))
    (host.databases / "gone.ndb").symlink_to("/nonexistent")
    _, told = host.prove(code=3)
    assert told["outcome"] == "refused"
    problems = {row["name"]: row["problem"] for row in told["databases"]}
    assert problems["gone.ndb"] == "No such file or directory"
    assert "test.cvd" in problems["test.cvd"]


@pytest.mark.parametrize(
    ("line", "own", "refused"),
    [
        ("OfficialDatabaseOnly yes", "left out", "ignores every marker"),
        ("ConcurrentDatabaseReload no", "same", "can hang every scan"),
    ],
)
def test_settings_that_hide_or_harm_are_respected(
    folder: Path, line: str, own: str, refused: str
) -> None:
    host = PlainHost(folder, line)
    host.write("own.ndb", signature(Sample.fresh("own")))
    host.start()
    try:
        runs, _ = host.prove(code=0)
        assert runs == {"own.ndb": own, "test.cvd": "same"}
        command = ["prove", "--marker", "--clamd-config", str(host.clamd.config)]
        done = run("sigupdate", *command)
        assert (done.returncode, refused in done.stderr) == (2, True), done.stderr
    finally:
        host.clamd.stop()


def test_nothing_is_scanned_where_a_detection_runs_a_command(folder: Path) -> None:
    host = PlainHost(folder, f"VirusEvent touch {folder}/ran")
    host.start()
    try:
        host.write("own.ndb", signature(Sample.fresh("own")))
        runs, told = host.prove(code=6)
        assert runs["own.ndb"] == "unknown"
        assert any("VirusEvent" in note for note in told["notes"])
        assert "FOUND" not in host.clamd.log.read_text()
    finally:
        host.clamd.stop()


def test_a_host_without_clamd_is_told_where_its_settings_were_looked_for(tmp_path: Path) -> None:
    done = run("sigupdate", "prove", "--clamd-config", tmp_path / "none.conf")
    assert (done.returncode, "none.conf" in done.stderr) == (2, True)
    config = tmp_path / "clamd.conf"
    config.write_text(f"DatabaseDirectory {tmp_path}\n")
    done = run("sigupdate", "prove", "--clamd-config", config)
    assert (done.returncode, "LocalSocket" in done.stderr) == (2, True)
    done = run("sigupdate", "prove", "--engine", "clamd", "--config", tmp_path / "none.toml")
    assert (done.returncode, "none.toml" in done.stderr) == (2, True)
