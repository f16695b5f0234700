"""`sigupdate run` as timers start it, read with and without the library for command lines."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from updater.cli import once
from updater.cli.once import Order
from updater.cli.run import run

THERE = Path(__file__)  # any file that can be read stands for settings

FLAGS = ("--json", "--jitter", "--install-only", "--help", "--")
OPTIONS = ("--config", "--engine", "--textfile", "--engine=yara")
VALUES = ("clamd", "x.prom", "", str(THERE), str(THERE.parent), "/nowhere.toml")
WORDS = st.sampled_from((*FLAGS, *OPTIONS, *VALUES))


def by_library(words: list[str], monkeypatch: pytest.MonkeyPatch) -> Order | None:
    """Have the command read its words, and note what it would do."""
    orders: list[Order] = []
    monkeypatch.setattr(once, "run", orders.append)
    try:
        run.main(args=words, standalone_mode=False)
    except click.ClickException:
        return None
    return orders[0] if orders else None


@given(st.lists(WORDS, max_size=8))
def test_whatever_is_read_without_the_library_the_library_reads_alike(words: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SIGUPDATE_CONFIG", str(THERE))
        if (order := once.read(["run", *words])) is not None:
            assert by_library(words, patched) == order


def test_what_a_timer_says_is_read_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["run", "--jitter", "--textfile", "x.prom", "--json", "--engine", "clamd"]
    assert once.read([*words, "--install-only", "--config", str(THERE)]) == Order(
        config=THERE,
        engine="clamd",
        as_json=True,
        install_only=True,
        jitter=True,
        textfile="x.prom",
    )
    monkeypatch.setenv("SIGUPDATE_CONFIG", str(THERE))
    assert once.read(["run"]) == Order(config=THERE)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["daemon"],
        ["--version"],
        ["run", "--help"],
        ["run", "clamd"],
        ["run", "--json", "--json"],
        ["run", "--config"],
        ["run", "--config", "/nowhere.toml"],
        ["run", "--config", "/"],
    ],
    ids=" ".join,
)
def test_any_other_command_line_is_left_to_the_library(words: list[str]) -> None:
    assert once.read(words) is None


def test_a_run_loads_no_library_it_has_no_use_for(tmp_path: Path) -> None:
    """Settings without an engine end it with 2, when all that a run needs is loaded."""
    heavy = ("click", "dataclasses", "http", "email", "ssl", "urllib3", "tuf", "cryptography")
    config = tmp_path / "sigupdate.toml"
    config.write_text(f'mirrors = ["http://127.0.0.1:1"]\nstate = "{tmp_path}"\n')
    code = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print([n for n in {heavy} if n in sys.modules]))\n"
        f"sys.argv = ['sigupdate', 'run', '--config', {str(config)!r}]\n"
        "import updater.engines.clamd\n"
        "from updater.cli import main; main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout.strip()) == (2, "[]"), ran.stderr
