"""The publish log: every line bound to the one before; a crash or an older log harms nothing."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keys.model.release import encode
from mirror.journal import Entry, Journal

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def entry(number: int) -> Entry:
    return Entry(at=NOW, who="tester", what="release", timestamp=number, sequence=number)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state/publish.jsonl"


@pytest.fixture
def journal(path: Path) -> Journal:
    found = Journal(path)
    for number in range(1, 4):
        found.write(entry(number))
    return found


def test_an_honest_log_has_no_faults(journal: Journal) -> None:
    assert [one.sequence for one in journal.entries()] == [1, 2, 3]
    assert list(journal.faults()) == []


@pytest.mark.parametrize("line", [0, 1, 2])
def test_a_changed_line_is_found(journal: Journal, path: Path, line: int) -> None:
    lines = path.read_bytes().splitlines()
    lines[line] = lines[line].replace(b"tester", b"nobody")
    path.write_bytes(b"\n".join(lines) + b"\n")
    assert any(f"line {line + 1} does not follow" in fault for fault in journal.faults())


@pytest.mark.parametrize("line", [0, 1])
def test_a_removed_line_is_found(journal: Journal, path: Path, line: int) -> None:
    lines = path.read_bytes().splitlines()
    del lines[line]
    path.write_bytes(b"\n".join(lines) + b"\n")
    assert list(journal.faults())


def test_a_line_a_crash_cut_is_passed_over(journal: Journal, path: Path) -> None:
    path.write_bytes(path.read_bytes() + b'{"at":"2026-03')
    journal.write(entry(4))
    assert [one.sequence for one in journal.entries()] == [1, 2, 3, 4]
    assert list(journal.faults()) == []


def test_a_log_from_before_lines_were_bound_goes_on_and_is_bound_as_a_whole(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"".join(encode(entry(number)) + b"\n" for number in (1, 2)))
    journal = Journal(path)
    assert list(journal.faults()) == []
    journal.write(entry(3))
    journal.write(entry(4))
    assert list(journal.faults()) == []
    path.write_bytes(path.read_bytes().replace(b'"sequence":1', b'"sequence":9'))
    assert len(list(journal.faults())) == 1


def test_writers_at_once_make_one_chain(path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from tests.mirror.test_journal import entry\nfrom mirror.journal import Journal\n"
        "for n in range(20): Journal(Path(sys.argv[1])).write(entry(n))\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    root = Path(__file__).parents[2]
    writers = [subprocess.Popen(command, cwd=root) for _ in range(3)]
    assert [writer.wait(120) for writer in writers] == [0, 0, 0]
    assert len(list(Journal(path).entries())) == 60
    assert list(Journal(path).faults()) == []
