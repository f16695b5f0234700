"""What is handed to packagers: units, users, folders, cron line, example settings."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from keys import settings
from mirror import settings as mirror_settings
from updater.settings import Settings as UpdaterSettings
from updater.setup import layout

PACKAGING = Path(__file__).parents[1] / "packaging"
UNITS = PACKAGING / "systemd"


def tool(name: str) -> str:
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed: apt-get install systemd")
    return name


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """Copy the units, with programs that are there: systemd refuses one that is not."""
    for name in ("sigupdate", "sigmirror"):
        (tmp_path / name).touch(mode=0o755)
    (tmp_path / "units").mkdir()
    for unit in UNITS.iterdir():
        text = unit.read_text().replace("ExecStart=", f"ExecStart={tmp_path}/")
        (tmp_path / "units" / unit.name).write_text(text)
    return tmp_path / "units"


def test_systemd_has_nothing_to_say_about_the_units(units: Path) -> None:
    done = subprocess.run(
        [tool("systemd-analyze"), "verify", *(str(path) for path in sorted(units.iterdir()))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_misspelt_key_would_be_noticed(units: Path) -> None:
    unit = units / "sigupdate.service"
    unit.write_text(unit.read_text().replace("ProtectHome=", "ProtectHone="))
    done = subprocess.run(
        [tool("systemd-analyze"), "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert "ProtectHone" in done.stderr


@pytest.mark.parametrize("unit", ["sigupdate.service", "sigmirror.service"])
def test_a_units_exposure_is_low(units: Path, unit: str) -> None:
    done = subprocess.run(
        [tool("systemd-analyze"), "security", "--offline=true", str(units / unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found is not None, done.stderr
    print(found[0])
    assert float(found[1]) <= 2.0


def test_every_unit_runs_as_a_static_user_that_sysusers_makes(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    command = (tool("systemd-sysusers"), f"--root={tmp_path}")
    subprocess.run([*command, PACKAGING / "sysusers.d/sigmirror.conf"], check=True)
    made = [line.split(":")[0] for line in (tmp_path / "etc/passwd").read_text().splitlines()]
    used = [
        line.removeprefix("User=")
        for unit in UNITS.glob("*.service")
        for line in unit.read_text().splitlines()
        if line.startswith("User=")
    ]
    assert sorted(used) == ["sigmirror", "sigupdate"]
    assert set(used) <= set(made)
    assert layout.USER in made


def test_tmpfiles_makes_the_folders_that_units_and_settings_use(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give folders away")
    (tmp_path / "etc").mkdir()
    for program, file in (
        ("systemd-sysusers", "sysusers.d/sigmirror.conf"),
        ("systemd-tmpfiles", "tmpfiles.d/sigmirror.conf"),
    ):
        action = ["--create"] if program == "systemd-tmpfiles" else []
        command = [tool(program), f"--root={tmp_path}", *action, str(PACKAGING / file)]
        subprocess.run(command, check=True)
    modes = {
        name: (tmp_path / name).stat().st_mode & 0o777
        for name in ("etc/sigmirror", "var/lib/sigupdate", "var/lib/sigmirror")
    }
    assert modes == {
        "etc/sigmirror": 0o755,
        "var/lib/sigupdate": 0o755,  # engines read it
        "var/lib/sigmirror": 0o750,
    }


def test_the_cron_line_names_user_and_command_and_leaves_systemd_hosts_alone() -> None:
    text = (PACKAGING / "cron.d/sigupdate").read_text()
    jobs = [line for line in text.splitlines() if re.match(r"[*\d]", line)]
    assert len(jobs) == 1
    *times, user, command = jobs[0].split(maxsplit=6)
    assert len(times) == 5
    assert user == layout.USER
    assert command.startswith("test -d /run/systemd/system || test ! -e /etc/sigmirror/")
    assert command.endswith("|| sigupdate run --jitter")
    assert text.endswith("\n")  # cron ignores a last line without


def test_the_updaters_example_is_accepted_and_agrees_with_set_up() -> None:
    example = settings.load(PACKAGING / "sigupdate.toml", UpdaterSettings)
    assert layout.chosen(example) == layout.Layout()
    assert example.user == layout.USER


def test_the_mirrors_example_is_accepted() -> None:
    example = mirror_settings.load(PACKAGING / "sigmirror.toml")
    assert [upstream.kind for upstream in example.upstream] == ["clamav", "tuf", "drop"]
    named = {licence.name for licence in example.licence}
    assert {upstream.licence for upstream in example.upstream} - {""} <= named


@pytest.mark.parametrize("example", ["sigupdate.toml", "sigmirror.toml"])
def test_no_example_holds_a_secret(example: str) -> None:
    text = (PACKAGING / example).read_text()
    assert not any("password" in key for key in tomllib.loads(text))
    assert not re.search(r"(?m)^\s*(password|token|passphrase)\s*=", text)


PR_SET_MDWE = 65
_UNDER_MDWE = f"""
import ctypes, sys
if ctypes.CDLL(None).prctl({PR_SET_MDWE}, 1, 0, 0, 0):
    sys.exit(77)
"""
_COMPILE = "import yara_x; yara_x.compile('rule r { strings: $a = \"abc\" condition: $a }')"


def under_mdwe(program: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", _UNDER_MDWE + program], capture_output=True, check=False
    )
    if done.returncode == 77:
        pytest.skip("this kernel has no PR_SET_MDWE")
    return done.returncode


def test_yara_x_is_why_the_updater_may_write_executable_memory() -> None:
    pytest.importorskip("yara_x", reason="yara-x is not installed: pip install 'sigmirror[yara]'")
    unit = (UNITS / "sigupdate.service").read_text()
    assert under_mdwe(_COMPILE) != 0
    assert "\nMemoryDenyWriteExecute=no\n" in unit
