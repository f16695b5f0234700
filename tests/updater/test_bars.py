"""Progress bars, on a pseudo-terminal as an operator's shell has one."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tuf_repository import ChannelRepository
from tests.updater.site import Answer, Site, served

HIDE, SHOW = b"\x1b[?25l", b"\x1b[?25h"
BIG = b"x" * 4_000_000


@pytest.fixture
def site() -> Iterator[Site]:
    with served(ChannelRepository("a")) as serving:
        serving.repository.release("a", {"big.txt": BIG}, sequence=1)
        yield serving


@pytest.fixture
def config(tmp_path: Path, site: Site) -> Path:
    (tmp_path / "root.json").write_bytes(site.repository.first_root)
    path = tmp_path / "sigupdate.toml"
    path.write_text(f"""mirrors = ["{site.url}"]
state = "{tmp_path}/state"
[limits]
max_attempts = 1
[[repository]]
name = "site"
root = "{tmp_path}/root.json"
[[engine]]
name = "any"
kind = "command"
channels = ["a"]
test_command = ["true"]
reload_command = ["true"]
probe_command = ["true"]
""")
    return path


def on_a_terminal(config: Path, *arguments: str) -> tuple[int, bytes, bytes]:
    """Run with stderr on a terminal; return exit code, stdout, what the terminal showed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", "from updater.cli import main; main()", *arguments],
        env={**os.environ, "SIGUPDATE_CONFIG": str(config), "TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:
        pass  # Linux tells the end of a terminal so
    finally:
        os.close(ours)
    return process.wait(60), process.communicate()[0], shown


def test_a_bar_shows_on_the_terminal_and_never_in_the_output(config: Path) -> None:
    code, told, shown = on_a_terminal(config, "run", "--install-only")
    assert code == 0, shown
    assert told.startswith(b"any: installed")
    assert b"\x1b" not in told
    assert b"big.txt" in shown
    assert shown.count(HIDE) == shown.count(SHOW) > 0


def test_a_download_that_fails_leaves_the_cursor_as_it_was(config: Path, site: Site) -> None:
    def cut(path: str) -> Answer | None:
        return (200, {}, BIG[:-1] + b"y") if path.endswith(".big.txt") else None

    site.override = cut
    code, _, shown = on_a_terminal(config, "run", "--install-only")
    assert code == 3, shown
    assert shown.count(HIDE) == shown.count(SHOW) > 0


def test_no_bar_is_shown_with_json(config: Path) -> None:
    code, told, shown = on_a_terminal(config, "run", "--install-only", "--json")
    assert (code, shown, json.loads(told)["changed"]) == (0, b"", True)
