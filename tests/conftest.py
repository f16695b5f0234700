"""What every test shares: no time limit per example, slow tests, missing engines, small disks."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import small_disks
from tests.fleet import Fleet
from tests.slow import is_slow

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")

_MISSING = re.compile(r"(?:Skipped: )?(?P<what>.+ is not installed: .+)")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Run a mirror whose hosts report to it."""
    fleet = Fleet(tmp_path)
    fleet.found()
    with fleet.running():
        yield fleet


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    """Mark what `make test-quick` leaves out, before `-m` chooses."""
    for item in items:
        if is_slow(item.nodeid):
            item.add_marker(pytest.mark.slow)


def _skipped_engines(reports: Iterable[pytest.TestReport]) -> list[str]:
    lines: set[str] = set()
    for report in reports:
        if isinstance(report.longrepr, tuple) and (found := _MISSING.match(report.longrepr[2])):
            lines.add(found["what"])
    return sorted(lines)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """End with one line for each engine or tool that was missing, and how to get it."""
    if missing := _skipped_engines(terminalreporter.stats.get("skipped", [])):
        terminalreporter.section("skipped: engines and tools that are not installed")
        for line in missing:
            terminalreporter.line(line)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    with small_disks.mounted(tmp_path / "small", "1m") as folder:
        yield folder
