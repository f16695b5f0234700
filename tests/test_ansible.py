"""The example role: against this machine below a prefix, with a real mirror and Debian's files."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import Fleet
from tests.updater import debian_host
from tests.updater.debian_machine import CHECKOUT

EXAMPLE = CHECKOUT / "examples/ansible"
BIN = Path(sys.executable).parent
ENGINE = {
    "name": "scan",
    "kind": "command",
    "channels": ["inhouse"],
    **{f"{what}_command": ["true"] for what in ("test", "reload", "probe")},
}
HANDLER = "Install and prove"
_TASK = re.compile(r"^(?:TASK|RUNNING HANDLER) \[(.+?)\] \**\n((?:.+\n)*)", re.MULTILINE)
pytestmark = pytest.mark.slow


def tool(name: str) -> str:
    if not (BIN / name).exists():
        pytest.skip(f"{name} is not installed: pip install ansible-core ansible-lint")
    return str(BIN / name)


def call(home: Path, *words: object) -> subprocess.CompletedProcess[str]:
    changed = {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "ANSIBLE_HOME": str(home / "ansible"),
        "ANSIBLE_PIPELINING": "true",
        "NO_COLOR": "1",
        "LC_ALL": "C.UTF-8",
    }
    return subprocess.run(
        list(map(str, words)),
        env={**os.environ, **changed},
        cwd=EXAMPLE,
        capture_output=True,
        text=True,
        check=False,
    )


@dataclass
class Scanner:
    """One host of the inventory: a folder that looks like a Debian host's."""

    folder: Path
    variables: dict[str, Any] = field(default_factory=dict)

    @property
    def prefix(self) -> Path:
        return self.folder / "debian"

    def play(self, book: str, *words: str) -> str:
        """Run one of the example's playbooks; return what it printed."""
        given = self.folder / "given.json"
        given.write_text(json.dumps(self.variables))
        inventory = self.folder / "inventory.ini"
        python = f"ansible_python_interpreter={sys.executable}"
        inventory.write_text(f"[scanners]\nmx1 ansible_connection=local {python}\n")
        program = tool("ansible-playbook")
        done = call(self.folder, program, "-i", inventory, "-e", f"@{given}", *words, book)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def changes(self, book: str, *words: str) -> list[str]:
        """Run a playbook; name the tasks that changed something."""
        told = self.play(book, *words)
        tasks = _TASK.findall(told)
        found = [name.rpartition(" : ")[2] for name, body in tasks if "changed: [mx1]" in body]
        assert f"changed={len(found)} " in told
        return found


@pytest.fixture
def scanner(fleet: Fleet) -> Scanner:
    scanner = Scanner(fleet.folder)
    debian_host.copy(scanner.prefix)
    wheels = fleet.folder / "wheels"
    words = [sys.executable, "-m", "venv", fleet.folder / "tools"]
    subprocess.run([str(word) for word in words], check=True)
    words = [fleet.folder / "tools/bin/pip", "wheel", "-qq", "--no-deps", "-w", wheels, CHECKOUT]
    subprocess.run([str(word) for word in words], check=True)
    (wheel,) = wheels.iterdir()
    scanner.variables = {
        "sigmirror_host_prefix": str(scanner.prefix),
        "sigmirror_host_version": wheel.name.split("-")[1],
        "sigmirror_host_wheels": str(wheels),
        "sigmirror_host_python": sys.executable,
        "sigmirror_host_user": "",
        "sigmirror_host_mirrors": [fleet.url],
        "sigmirror_host_engines": [ENGINE],
        "sigmirror_host_clamd": True,
        "sigmirror_host_scheduler": "cron",
        "sigmirror_host_invitation": "",
    }
    return scanner


def test_the_example_passes_ansible_lint(tmp_path: Path) -> None:
    program = tool("ansible-lint")
    done = call(tmp_path, program, "--offline", "--profile", "production", "--nocolor", ".")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(900)
def test_the_role_makes_a_host_changes_nothing_twice_and_leaves_it_as_before(
    fleet: Fleet, scanner: Scanner
) -> None:
    fleet.publish("rule one")
    before = debian_host.picture(scanner.prefix)
    invitation = fleet.folder / "invitation"
    fleet.sigmirror("host", "invite", "mx1", "--out", invitation)
    scanner.variables["sigmirror_host_invitation"] = invitation.read_text().strip()
    promised = scanner.changes("site.yml", "--check")
    assert debian_host.picture(scanner.prefix) == before
    made = scanner.changes("site.yml")
    assert {*promised, "Let clamd read what is installed", HANDLER} == set(made)
    (line,) = fleet.hosts()
    assert (line["host"], line["health"], line["loads"][0]["sequence"]) == ("mx1", "ok", 1)
    assert scanner.changes("site.yml") == []

    scanner.variables["sigmirror_host_purge"] = True
    scanner.changes("remove.yml")
    after = debian_host.picture(scanner.prefix)
    assert {path: seen for path, seen in after.items() if path in before} == before
    empty = {path for path in after if path not in before}
    assert all((scanner.prefix / path).is_dir() for path in empty), empty
