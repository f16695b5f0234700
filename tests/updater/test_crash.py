"""A host that is killed at any change on disk scans with a whole generation, and recovers."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import short_folders
from tests.mirror.kill_points import every_kill, need_strace
from tests.tuf_repository import ChannelRepository
from tests.updater.clamd_host import Command
from tests.updater.clamd_process import need_clamd
from tests.updater.recording_engine import RecordingEngine
from tests.updater.site import ScannerHost, Site, served
from updater.cli.host import Host, now
from updater.state import Proved

ONE_RUN = """
import sys
from pathlib import Path
from tests.updater.site import ScannerHost, Site

class Elsewhere(Site):
    def __init__(self, url, root):
        self.url = url
        self.repository = type("Root", (), {"first_root": root})

root = Path(sys.argv[1])
host = ScannerHost(root, Elsewhere(sys.argv[2], (root / "root.json").read_bytes()))
sys.exit(host.run().exit_code)
"""
RELEASES = {
    1: {"one.db": b"one:one!\n", "both.db": b"both:both!\n"},
    2: {"two.db": b"two:two!\n", "both.db": b"both:both!\n", "more/three.db": b"three:three!\n"},
}


@pytest.fixture
def site() -> Iterator[Site]:
    with served(ChannelRepository("a")) as serving:
        yield serving


def _cold_start(host: ScannerHost, what: str) -> int:
    """Start an engine from ``current`` as it lies; return the sequence it runs, 0 for nothing."""
    place = host.place()
    name = place.generations.in_force()
    if not name:
        return 0
    engine = RecordingEngine(place.generations.folder)
    generation = place.state.load().find(name)
    assert generation, what
    assert generation.marker, what
    assert engine.detects(generation.marker.sample.decode()), what
    sequence = generation.releases["a"].sequence
    assert all(engine.detects(text) for text in _texts(sequence)), what
    return sequence


def _texts(sequence: int) -> list[str]:
    return [data.decode().strip().partition(":")[2] for data in RELEASES[sequence].values()]


def _kill_everywhere(site: Site, tmp_path: Path, start: Path, whole: set[int], newest: int) -> int:
    roots = (tmp_path / f"host-{number}" for number in range(10_000))
    killed: list[Path] = []

    def fresh() -> list[str]:
        killed.append(next(roots))
        shutil.copytree(start, killed[-1], symlinks=True)
        return [str(killed[-1]), site.url]

    def check(what: str) -> None:
        host = ScannerHost(killed[-1], site)
        assert _cold_start(host, what) in whole, what
        report = host.run()
        assert (report.exit_code, host.sequences()) == (0, {"a": newest}), (what, report)
        assert report.engines[0].proof is Proved.proven, what
        again = host.run()
        assert (again.exit_code, again.requests) == (0, 2), (what, again)
        shutil.rmtree(killed[-1])

    return every_kill(ONE_RUN, log=tmp_path / "strace", fresh=fresh, check=check)


CLAMD_RUN = """
import sys
from pathlib import Path
from updater.cli.host import Host, now
sys.exit(Host.load(Path(sys.argv[1])).update(at=now()).run().exit_code)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_any_change_of_an_update_clamd_starts_from_current_and_shows_its_marker(
    site: Site, tmp_path: Path
) -> None:
    need_strace()
    need_clamd()
    place = short_folders.make("su-")
    host, start = Command(place, site), tmp_path / "start"

    def run() -> int:
        return Host.load(host.config).update(at=now()).run().exit_code

    def fresh() -> list[str]:
        host.clamd.stop()
        shutil.rmtree(host.state)
        shutil.copytree(start, host.state, symlinks=True)
        host.clamd.start()
        return [str(host.config)]

    def check(what: str) -> None:
        host.clamd.stop()
        host.clamd.start()
        turn = Host.load(host.config).turns(at=now())[0]
        state = turn.place.state.load()
        found = turn.place.in_force(state)
        assert found, what
        assert turn.prover().look(found.marker, None).result is Proved.proven, what
        assert run() == 0, what
        newest = turn.place.in_force(turn.place.state.load())
        assert newest, what
        assert newest.releases["a"].sequence == 2, what

    try:
        site.repository.release("a", {"one.ndb": b"One:0:*:6f6e652d6f6e652d6f6e65\n"}, sequence=1)
        assert run() == 6
        host.clamd.start()
        assert run() == 0
        shutil.copytree(host.state, start, symlinks=True)
        site.repository.release("a", {"two.ndb": b"Two:0:*:74776f2d74776f2d74776f\n"}, sequence=2)
        kills = every_kill(
            CLAMD_RUN, log=tmp_path / "strace", fresh=fresh, check=check, children=False
        )
    finally:
        host.clamd.stop()
        shutil.rmtree(place)
    print(f"an update with a real clamd was killed at {kills} changes")
    assert kills > 30


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(shutil.which("clamd") is not None, reason="done with the real clamd")
def test_killed_at_any_change_of_an_update_a_host_has_the_old_or_the_new_generation(
    site: Site, tmp_path: Path
) -> None:
    need_strace()
    site.repository.release("a", RELEASES[1], sequence=1)
    start = ScannerHost(tmp_path / "start", site)
    assert start.run().exit_code == 0
    site.repository.release("a", RELEASES[2], sequence=2)
    kills = _kill_everywhere(site, tmp_path, start.root, {1, 2}, newest=2)
    print(f"an update was killed at {kills} changes")
    assert kills > 30


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_any_change_of_a_first_install_a_host_has_nothing_or_the_whole(
    site: Site, tmp_path: Path
) -> None:
    need_strace()
    site.repository.release("a", RELEASES[1], sequence=1)
    start = ScannerHost(tmp_path / "start", site)
    kills = _kill_everywhere(site, tmp_path, start.root, {0, 1}, newest=1)
    print(f"a first install was killed at {kills} changes")
    assert kills > 30
