"""The demo holds; and each of its rows, sabotaged from outside, ends it with 1 naming that row."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.demo.rows import ROWS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@dataclass
class Saboteur:
    """Watches a demo's folder from outside and does harm once something is seen there."""

    folder: Path
    notes: dict[str, object] = field(default_factory=dict)

    def pids(self, *words: str) -> list[int]:
        """Find the demo's processes whose command line holds all words."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
                if str(self.folder) in line and all(word in line for word in words):
                    found.append(int(entry.name))
        return found

    def kill(self, *words: str) -> bool:
        """Kill those processes; tell whether there was one."""
        pids = self.pids(*words)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(pids)

    def released(self, number: int) -> bool:
        """Tell whether the vendor has written a release of this number."""
        with contextlib.suppress(OSError):
            text = (self.folder / "drop/rules/rules-1.yar").read_text()
            return text.startswith(f"// release {number}\n")
        return False


Harm = Callable[[Saboteur], bool]


def right_password(at: Saboteur) -> bool:
    path = at.folder / "site-password"
    if path.exists() and path.read_text() == "wrong password\n":
        path.write_text("kept-at-renewal\n")
        return True
    return False


def scanner_killed(at: Saboteur) -> bool:
    return at.kill("yara-scanner", "mx1")


def scanner_slow(at: Saboteur) -> bool:
    pids = at.pids("yara-scanner", "mx1")
    if not (at.released(2) and pids):
        return False
    os.kill(pids[0], signal.SIGSTOP)
    time.sleep(3)
    os.kill(pids[0], signal.SIGCONT)
    return True


def mirror_killed_at(number: int) -> Harm:
    return lambda at: at.released(number) and at.kill("sigmirror", "run", "/site/")


def rule_mended(at: Saboteur) -> bool:
    path = at.folder / "drop/rules/rules-3.yar"
    exposed = (at.folder / "mx2/state/last_run.json").exists() and at.released(3)
    if exposed and b'"exit_code":3' in (at.folder / "mx2/state/last_run.json").read_bytes():
        path.write_text("rule mended { condition: false }\n")
        return True
    return False


def engine_killed(at: Saboteur) -> bool:
    return at.released(4) and at.kill("yara-scanner", "mx2")


def current_removed(at: Saboteur) -> bool:
    for twin in at.folder.glob("killed-*/"):
        if any(twin.glob("*.sock")):
            return False
        with contextlib.suppress(FileNotFoundError):
            (twin / "state/engines/yara/current").unlink()
    return False  # again and again, as long as the row goes on


def mirror_killed_at_renewal(at: Saboteur) -> bool:
    with contextlib.suppress(OSError):
        seen = at.notes.setdefault("licences", set())
        assert isinstance(seen, set)
        seen.add((at.folder / "acme.lic").read_bytes())
        return len(seen - {b""}) >= 3 and at.kill("sigmirror", "run", "/site/")
    return False


def installed_file_changed(at: Saboteur) -> bool:
    path = at.folder / "mx1/state/engines/yara/current/acme/rules/rules-1.yar"
    if not (at.folder / "plain").exists():
        return False
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(data + b"\n")
    return True


SABOTAGE: tuple[Harm, ...] = (
    right_password,
    scanner_killed,
    scanner_slow,
    mirror_killed_at(3),
    rule_mended,
    engine_killed,
    current_removed,
    mirror_killed_at(5),
    mirror_killed_at_renewal,
    installed_file_changed,
)


@contextlib.contextmanager
def demo(**environment: str) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    with tempfile.TemporaryDirectory(prefix="sd-") as parent:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.demo"],
            env={**os.environ, "TMPDIR": parent, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process, Path(parent)
        finally:
            process.kill()
            process.wait()


def left_running(parent: Path) -> list[int]:
    return Saboteur(parent).pids()


def test_every_row_of_the_demo_holds_and_nothing_is_left_running() -> None:
    with demo() as (process, parent):
        said, _ = process.communicate()
        assert process.returncode == 0, said
        assert f"all {len(ROWS)} rows hold" in said
        assert said.count(" OK\n") == 2 * len(ROWS)
        assert left_running(parent) == []
        assert not list(parent.iterdir())


@pytest.mark.parametrize("number", range(1, len(ROWS) + 1), ids=[row.title for row in ROWS])
def test_a_sabotaged_row_ends_the_demo_with_1_and_its_name(number: int) -> None:
    harm = SABOTAGE[number - 1]
    brief = {"KILLS": "2"} if number > SABOTAGE.index(current_removed) + 1 else {}
    with demo(**brief) as (process, parent):
        over, notes = threading.Event(), dict[str, Saboteur]()

        def sabotage() -> None:
            done = False
            while not done and not over.wait(0.02):
                folders = list(parent.glob("sigmirror-demo-*"))
                if folders:
                    at = notes.setdefault("at", Saboteur(folders[0]))
                    done = harm(at)

        thread = threading.Thread(target=sabotage, daemon=True)
        thread.start()
        said, _ = process.communicate()
        over.set()
        thread.join()
        assert process.returncode == 1, said
        last = said.strip().splitlines()[-1]
        assert last.strip().startswith(f"{number} {ROWS[number - 1].title}"), said
        assert "FAILED" in last
        assert left_running(parent) == []
