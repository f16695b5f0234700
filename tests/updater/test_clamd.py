"""clamd's loader test, names, memory and settings: who is blamed for what."""

import re
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from keys.errors import EngineError, Error, HostError
from keys.model.release import File
from tests.real_data import real_data
from tests.samples import Sample
from tests.updater.clamd_process import Clamd, need_clamd, short_folder
from tests.updater.site import engine_settings
from updater.engines import clamscan, databases, memory
from updater.engines.clamd import ClamdEngine
from updater.engines.clamd_config import ClamdConfig
from updater.engines.process import Finished

FOLDER = Path("/generations/1")
SUMMARY = "Known viruses: 2\n"
LOADED = f"LibClamAV debug: {FOLDER}/a.ndb loaded\n"


def engine(folder: Path, **settings: object) -> ClamdEngine:
    socket = str(folder / "s")
    return ClamdEngine(
        engine_settings("clamd", "a", kind="clamd", socket=socket, **settings), folder
    )


def load(folder: Path, files: Mapping[str, bytes], **settings: object) -> int:
    """Test a generation of these files and a marker; tell how many signatures it has."""
    tested = engine(folder, **settings)
    marker = tested.marker(1)
    generation = folder / "generation"
    generation.mkdir()
    for name, data in {**files, marker.file_name: marker.definition}.items():
        (generation / name).write_bytes(data)
        (generation / name).chmod(0o444)
    return tested.test(generation, marker).signatures


# -- the loader test, by the real clamscan ----------------------------------------------------


def test_every_kind_of_a_real_unpacked_daily_loads_the_unwanted_programs_too(
    tmp_path: Path,
) -> None:
    need_clamd()
    listed = real_data("clamav/daily-15669-unpacked").iterdir()
    files = {p.name: p.read_bytes() for p in listed if p.suffix != ".info"}
    assert {"daily.ndu", "daily.ign2", "daily.cfg"} < files.keys()
    assert load(tmp_path, files) > 6982  # what loads without --detect-pua


def test_a_real_official_container_loads(tmp_path: Path) -> None:
    need_clamd()
    data = real_data("clamav/bytecode/bytecode-333.cvd").read_bytes()
    assert load(tmp_path, {"bytecode.cvd": data}) > 80


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("rules.ndb", b"no definition\n"),
        ("rules.ndb", b""),
        ("rules.hdb", b"xyz:1:Name\n"),
        ("rules.yar", b'rule r { strings: $a = "text" condition: $b }\n'),
        ("daily.cvd", b"no container" * 100),
        ("rules.ndb", b"Later.1:0:*:73616d706c65206f6e65:999\n"),
        ("rules.yar", b'include "../x"\nrule r { condition: true }\n'),
        ("no space left.ndb", b"no definition\n"),
    ],
    ids=[
        *("ndb", "empty", "hdb", "yar", "cvd", "asks for a later ClamAV"),
        *("says what hosts say", "is named as hosts fail"),
    ],
)
def test_a_database_that_does_not_load_is_the_releases_fault_and_named(
    tmp_path: Path, name: str, data: bytes
) -> None:
    need_clamd()
    with pytest.raises(EngineError, match=re.escape(name)):
        load(tmp_path, {name: data})


def test_a_folder_in_the_generation_is_named(tmp_path: Path) -> None:
    (tmp_path / "generation" / "inner").mkdir(parents=True)
    with pytest.raises(EngineError, match="inner: clamd reads no folder"):
        engine(tmp_path).test(tmp_path / "generation", None)


def test_a_marker_that_does_not_hit_is_refused(tmp_path: Path) -> None:
    need_clamd()
    tested = engine(tmp_path)
    generation = tmp_path / "generation"
    generation.mkdir()
    (generation / "a.ndb").write_text(Sample.fresh("a").ndb())
    with pytest.raises(EngineError, match="found nothing where the marker"):
        tested.test(generation, tested.marker(1))


# -- what is this host's fault ----------------------------------------------------------------


def test_a_missing_clamscan_is_the_hosts_fault(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="/nonexistent/clamscan: cannot be started"):
        load(tmp_path, {"a.ndb": b"x"}, clamscan="/nonexistent/clamscan")


def test_no_temporary_folder_is_the_hosts_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what Python does itself where /tmp cannot be written; a test run as root cannot have that
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nonexistent"))
    with pytest.raises(HostError, match="no temporary folder to test in"):
        load(tmp_path, {"a.ndb": b"x"})


@pytest.mark.parametrize(
    "script",
    [
        "exit 127",
        "echo cannot open shared object file >&2; exit 127",
        "kill -TERM $$",
        "kill -9 $$",
    ],
)
def test_a_clamscan_that_cannot_run_is_the_hosts_fault(tmp_path: Path, script: str) -> None:
    program = tmp_path / "clamscan"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    with pytest.raises(HostError):
        load(tmp_path, {"a.ndb": b"x"}, clamscan=str(program))


def test_a_clamscan_that_never_ends_is_the_hosts_fault(tmp_path: Path) -> None:
    program = tmp_path / "clamscan"
    program.write_text("#!/bin/sh\nsleep 60 & wait\n")
    program.chmod(0o755)
    with pytest.raises(HostError, match="did not end within 1 seconds"):
        load(tmp_path, {"a.ndb": b"x"}, clamscan=str(program), test_timeout_seconds=1)


def test_a_file_clamds_user_cannot_read_is_the_hosts_fault(tmp_path: Path) -> None:
    (tmp_path / "generation").mkdir()
    (tmp_path / "generation" / "a.ndb").touch(mode=0o600)
    with pytest.raises(HostError, match="clamd's user cannot read it"):
        engine(tmp_path).test(tmp_path / "generation", None)


@pytest.mark.parametrize(
    ("code", "errors", "output", "expected"),
    [
        (0, LOADED, SUMMARY, None),
        (0, f"LibClamAV Warning: *** old ***\n{LOADED}", SUMMARY, None),
        (0, f"LibClamAV Warning: cli_loadyara: empty database file\n{LOADED}", SUMMARY, None),
        (0, "", SUMMARY, EngineError),
        (0, f"LibClamAV Warning: odd line in {FOLDER}/a.ndb\n{LOADED}", SUMMARY, EngineError),
        (0, f"LibClamAV Warning: skipping one\n{LOADED}", SUMMARY, EngineError),
        (2, f"LibClamAV Error: Can't load {FOLDER}/a.ndb: Malformed database\n", "", EngineError),
        (2, "LibClamAV Error: cli_malloc(): Can't allocate memory (9 bytes).\n", "", HostError),
        (2, f"LibClamAV Error: cl_load(): Access denied for path: {FOLDER}\n", "", HostError),
        (0, LOADED, f"/t/clean: X FOUND\n{SUMMARY}", EngineError),
        (2, LOADED, SUMMARY, HostError),
        (0, LOADED, "Known viruses: 0\n", EngineError),
        (-signal.SIGSEGV, "", "", EngineError),
        (-signal.SIGKILL, "", "", HostError),
        (-signal.SIGHUP, "", "", HostError),
    ],
)
def test_what_clamscan_says_is_told_apart(
    code: int, errors: str, output: str, expected: type[Error] | None
) -> None:
    finished = Finished(code, output, errors)
    if expected is None:
        assert clamscan.judge(finished, FOLDER, ["a.ndb"], None).signatures == 2
        return
    with pytest.raises(expected):
        clamscan.judge(finished, FOLDER, ["a.ndb"], None)


# -- names, memory, version, settings ---------------------------------------------------------


def test_files_get_flat_names_and_containers_keep_theirs() -> None:
    paths = ("daily.cvd", "dir/x.yar", "rules.ndb", "README", "x.ndb?tok=1")
    listed = databases.layout("site/a", [File(path, "0" * 64, 1) for path in paths])
    assert set(listed) == {"daily.cvd", "site--a--dir--x.yar", "site--a--rules.ndb"}


@pytest.mark.parametrize(
    "paths",
    [
        ("d/x.ndb", "d--x.ndb"),
        ("daily.cvd", "daily.cld"),
        ("one/daily.cvd", "two/daily.cvd"),
        ("sigmirror-marker-1.ndb",),
        ("x" * 150 + "/" + "y" * 150 + ".ndb",),
    ],
    ids=["same name", "two forms", "same container", "a marker", "too long"],
)
def test_names_that_cannot_stand_together_are_refused(paths: tuple[str, ...]) -> None:
    with pytest.raises(EngineError):
        databases.layout("a", [File(path, "0" * 64, 1) for path in paths])


def test_a_host_without_memory_for_two_engines_is_told_before_the_load() -> None:
    sizes = {"a.ndb": 100 << 20, "daily.cvd": 10 << 20, "README": 1 << 40}
    needed = memory.needed_bytes(sizes, 4.0)
    assert needed == (400 << 20) + (160 << 20)
    memory.check(needed, memory.available_bytes("MemTotal: 1 kB\nMemAvailable:  573440 kB\n"))
    memory.check(needed, memory.available_bytes(""))
    with pytest.raises(HostError, match="about 560 MiB needed"):
        memory.check(needed, needed - 1)


def test_the_version_is_clamavs_whoever_answers(tmp_path: Path) -> None:
    need_clamd()
    asked = engine(tmp_path).version()
    assert asked.startswith("ClamAV ")
    with short_folder() as folder:
        (folder / "current").mkdir()
        (folder / "current" / "a.ndb").write_text(Sample.fresh("a").ndb())
        clamd = Clamd(folder, folder / "current")
        clamd.start()
        try:
            assert engine(folder).version() == asked
        finally:
            clamd.stop()


def test_settings_that_hide_definitions_are_found() -> None:
    text = """# a comment
    concurrentdatabasereload no
    OfficialDatabaseOnly true
    MaxFileSize 512K
    StreamMaxLength 0
    DatabaseDirectory "/srv/other"
    LocalSocket /run/other.ctl
    """
    found = list(ClamdConfig.parse(text).findings(Path("/srv/x/current"), "/run/clamd.ctl"))
    told = ["Concurrent", "Official", "MaxFileSize 524288", "DatabaseDirectory", "LocalSocket"]
    assert len(found) == len(told)
    assert all(line.startswith(word) for line, word in zip(found, told, strict=True))


def test_an_unreadable_configuration_is_a_finding(tmp_path: Path) -> None:
    missing = str(tmp_path / "clamd.conf")
    assert missing in engine(tmp_path, clamd_config=missing).findings()[0]
    assert engine(tmp_path).findings() == ()
