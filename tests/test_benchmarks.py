"""The benchmarks' harness: what it prints can be read, and it measures what it says. No times."""

import socket
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from benchmarks import definitions, process, row
from benchmarks.process import FailedError
from benchmarks.relay import relaying
from benchmarks.row import Row, Samples

ROWS = [
    Row("start-up", 9.5, 14, 6, "lower", "x"),
    Row("speed", 3.0, 1, 2, "higher", "x"),
    Row("memory", 70.0, 64, 64, "lower", "MB"),
    Row("requests", 8, None, None, "lower", "requests"),
]


def test_rows_travel_as_lines_of_json_with_six_fields() -> None:
    lines = row.to_json(ROWS)
    assert row.from_json(lines) == ROWS
    fields = {"name", "measured", "floor", "goal", "better", "unit"}
    assert all(set(msgspec.json.decode(line)) == fields for line in lines.splitlines())


def test_a_row_says_how_it_stands_to_floor_and_goal() -> None:
    assert [one.verdict for one in ROWS] == ["goal missed", "goal met", "MISSED", ""]


def test_the_table_shows_each_row_on_a_line() -> None:
    _, *lines = row.table(ROWS).splitlines()
    assert [line.split()[0] for line in lines] == ["start-up", "speed", "memory", "requests"]
    assert "≤ 14" in lines[0]
    assert "≥ 1" in lines[1]


def test_a_ratio_compares_what_its_unit_names() -> None:
    samples = Samples([3.0, 2.0, 9.0], [1.0, 4.0, 2.0], "curl")
    measured = row.against("download", samples, min)
    assert (measured.row.measured, measured.row.unit) == (2.0, "x curl (min of 3)")


def test_the_program_lists_its_groups() -> None:
    line = [sys.executable, "-m", "benchmarks", "--help"]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    groups = "startup|traffic|large|containers|proof|feeds|databases"
    assert groups in "".join(done.stdout.split())


def test_a_command_that_fails_is_not_measured() -> None:
    with pytest.raises(FailedError, match="exit 3"):
        process.run(sys.executable, "-c", "raise SystemExit(3)")


def test_an_account_leaves_a_childs_memory_out() -> None:
    large = "n = 300 << 20; b'x' * n"
    child = f'import sys, subprocess; subprocess.run([sys.executable, "-c", "{large}"])'
    assert process.account(sys.executable, "-c", child).peak_bytes < 150 << 20
    assert process.account(sys.executable, "-c", large).peak_bytes > 300 << 20


def test_measured_commands_may_cache_bytecode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    code = "import sys; print(sys.dont_write_bytecode)"
    assert process.run(sys.executable, "-c", code).output.strip() == "False"


def test_the_relay_counts_what_goes_each_way() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                assert connection.recv(100) == b"ask"
                connection.sendall(b"answer")

        thread = threading.Thread(target=answer)
        thread.start()
        with relaying("127.0.0.1", port) as relay:
            place = ("127.0.0.1", int(relay.url.rpartition(":")[2]))
            with socket.create_connection(place) as client:
                client.sendall(b"ask")
                assert client.recv(100) == b"answer"
                assert client.recv(100) == b""
            thread.join()
            assert (relay.sent, relay.received, relay.total) == (3, 6, 9)


@pytest.mark.parametrize("count", [1, 10, 250])
def test_a_made_release_holds_as_many_signatures_as_it_says(tmp_path: Path, count: int) -> None:
    sample = definitions.write_clamav(tmp_path / "clamav", count)
    lines = [line for p in (tmp_path / "clamav").iterdir() for line in p.read_text().splitlines()]
    assert len(lines) == count
    assert any(sample.text.hex() in line for line in lines)
    sample = definitions.write_yara(tmp_path / "yara", count)
    text = (tmp_path / "yara/bench.yar").read_text()
    assert text.count(' = "') == count
    assert sample.text.decode() in text


@pytest.mark.parametrize("length", [1, 100_000, 1_234_567])
def test_a_large_release_is_as_large_as_it_says(tmp_path: Path, length: int) -> None:
    definitions.write_large(tmp_path, length)
    written = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert length <= written <= length + 100
