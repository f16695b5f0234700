"""Every way clamd says it runs definitions that it does not run, each met by an update.

The real clamd, the updater's own commands. What happens on a host between the test of a
generation and its reload is done by the program that the settings name as ``clamscan``: the real
one, which then does it.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from keys.errors import UnprovenError
from tests.real_data import real_data
from tests.samples import Sample, hash_lines
from tests.tuf_repository import ChannelRepository
from tests.updater.clamd_host import Command
from tests.updater.clamd_process import Clamd, need_clamd, other_user, short_folder, wait_for
from tests.updater.site import Site, served

LINES = 400_000
NO_MARKER = "the engine shows no marker of ours"
RELOAD = f"""{sys.executable} -c '
import socket, sys, time
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b"zRELOAD\\0"); s.recv(99)
time.sleep(float(sys.argv[2]))'"""


@pytest.fixture
def site() -> Iterator[Site]:
    with served(ChannelRepository("a")) as serving:
        yield serving


@pytest.fixture
def host(site: Site) -> Iterator["Host"]:
    need_clamd()
    with short_folder() as folder:
        host = Host(folder, site)
        try:
            yield host
        finally:
            host.clamd.stop()


class Host(Command):
    """A host whose clamd is configured anew for each lie."""

    def __init__(self, folder: Path, site: Site) -> None:
        super().__init__(folder, site)
        self.site = site
        self.current = self.state / "engines/clamd/current"
        self.choose_clamd()

    def choose_clamd(self, *lines: str, databases: Path | None = None) -> None:
        self.clamd.stop()
        self.clamd = Clamd(self.folder, databases or self.current, *lines)
        self.set()

    def set(self, **engine: object) -> None:
        """Write the settings with these keys of the engine."""
        keys = {"clamd_config": str(self.clamd.config), "scan_timeout_seconds": 2.0, **engine}
        self.write_settings(self.site.url, engine=keys)

    def after_test(self, event: str) -> None:
        """Have a command run when clamscan is done; ``$generation`` is what it loaded."""
        program = self.folder / "clamscan"
        program.write_text(
            '#!/bin/sh\nclamscan "$@"; code=$?\n'
            'for a in "$@"; do case $a in --database=*) generation=${a#--database=};; esac; done\n'
            f"{event}\nexit $code\n"
        )
        program.chmod(0o755)
        self.set(clamscan=str(program))

    def release(self, sequence: int, *samples: Sample, **files: bytes) -> None:
        rules = "".join(sample.ndb() for sample in samples).encode()
        self.site.repository.release("a", {"rules.ndb": rules, **named(files)}, sequence=sequence)

    def install(self, *samples: Sample, **files: bytes) -> None:
        """Bring release 1 into force, proven."""
        self.release(1, *samples, **files)
        self("run", "--install-only")
        self.clamd.start()
        self("prove")

    def in_force(self) -> int:
        """Tell the sequence of what ``current`` holds."""
        told = json.loads(self("status", "--json"))
        sequence: int = told["engines"][0]["in_force"]["releases"]["a"]["sequence"]
        return sequence

    def proof(self) -> str:
        """Tell how far the generation in force is proven."""
        told = json.loads(self("status", "--json"))
        proof: str = told["engines"][0]["in_force"]["proof"]
        return proof


def named(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Write ``big_hsb`` for the file ``big.hsb``."""
    return {name.replace("_", "."): data for name, data in files.items()}


def samples(*names: str) -> tuple[Sample, ...]:
    return tuple(Sample.fresh(name) for name in names)


def test_a_broken_yar_among_good_ones_is_refused_though_the_marker_would_be_found(
    host: Host,
) -> None:
    one, two = samples("one", "two")
    host.install(one)
    broken = b'rule broken { strings: $a = "text" condition: $b }\n'
    good = two.yara().encode()
    assert marker_alone_passes(host, {"broken.yar": broken, "good.yar": good})
    host.release(2, one, broken_yar=broken, good_yar=good)
    told = host("run", code=5)
    assert "broken.yar" in told
    assert "refused, generation 1" in told
    assert (host.in_force(), host.proof()) == (1, "proven")
    assert host.clamd.finds(one.data)
    assert not host.clamd.finds(two.data)


def marker_alone_passes(host: Host, files: Mapping[str, bytes]) -> bool:
    """Load files as they are beside a marker, and look at nothing but the marker's verdict."""
    folder = host.folder / "marker-alone"
    folder.mkdir()
    marker = Sample.fresh("marker-alone")
    for name, data in {**files, "marker.ndb": marker.ndb().encode()}.items():
        (folder / name).write_bytes(data)
    (host.folder / "sample").write_bytes(marker.data)
    done = subprocess.run(
        ["clamscan", f"--database={folder}", str(host.folder / "sample")],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 1 and "marker-alone.UNOFFICIAL FOUND" in done.stdout


@pytest.mark.slow
def test_a_reload_dropped_during_a_load_of_400000_lines_is_sent_again(host: Host) -> None:
    one, two = samples("one", "two")
    host.install(one, big_hsb=hash_lines(LINES).encode())
    host.release(2, two)
    host.after_test(f"{RELOAD} {host.clamd.socket} 0")
    before = host.clamd.loads()
    assert "installed, generation 2 (a 2), proven" in host("run")
    assert (host.clamd.finds(two.data), host.clamd.finds(one.data)) == (True, False)
    wait_for(lambda: host.clamd.loads() >= before + 2)  # the one under way, and ours


@pytest.mark.slow
def test_current_swapped_during_a_load_ends_in_the_whole_new_generation(host: Host) -> None:
    kept = Sample.fresh("kept")
    host.install(kept, big_hsb=hash_lines(LINES, seed="1").encode())
    before = kept
    for sequence, delay in ((2, 0.0), (3, 0.4), (4, 0.8)):
        small, last = samples(f"small-{sequence}", f"last-{sequence}")
        big = hash_lines(LINES, seed=str(sequence)) + hash_line(last)
        host.release(sequence, small, big_hsb=big.encode())
        host.after_test(f"{RELOAD} {host.clamd.socket} {delay}")
        assert f"generation {sequence} (a {sequence}), proven" in host("run")
        assert host.clamd.finds(small.data), sequence
        assert host.clamd.finds(last.data), sequence
        assert not host.clamd.finds(before.data), sequence
        before = last


def hash_line(sample: Sample) -> str:
    return f"{hashlib.sha256(sample.data).hexdigest()}:{len(sample.data)}:{sample.name}:73\n"


def test_a_wedged_clamd_that_answers_ping_is_unproven(host: Host) -> None:
    one, two = samples("one", "two")
    host.choose_clamd("ConcurrentDatabaseReload no")
    host.install(one)
    broken = host.current / "broken.ndb"
    broken.write_text("this is no definition\n")
    host.clamd.ask("RELOAD")
    wait_for(lambda: "reload failed" in host.clamd.log.read_text().lower())
    broken.unlink()
    with pytest.raises(UnprovenError):
        host.clamd.finds(one.data, timeout_seconds=1)
    assert host.clamd.ask("PING") == "PONG"
    told = host("run", code=6)
    assert "unproven" in told
    assert "ConcurrentDatabaseReload no" in told
    host.release(2, two)
    assert "installed, generation 2 (a 2), unproven" in host("run", code=6)
    host.clamd.stop()
    host.clamd.start()
    assert "proven" in host("prove")
    assert host.clamd.finds(two.data)


def test_another_clamd_on_the_socket_proves_nothing(host: Host) -> None:
    one, two = samples("one", "two")
    host.install(one)
    host.choose_clamd(databases=of_another_product(host, one, two))
    host.clamd.start()
    assert host.clamd.finds(one.data)
    assert NO_MARKER in host("prove", code=6)
    host.release(2, one, two)
    told = host("run", code=6)
    assert "installed, generation 2 (a 2), unproven" in told
    assert NO_MARKER in told
    host.choose_clamd()
    host.clamd.start()
    assert "proven" in host("prove")


def test_a_clamd_that_reads_another_folder_is_unproven_and_the_cause_is_named(host: Host) -> None:
    one, two = samples("one", "two")
    elsewhere = of_another_product(host, one, two)
    host.choose_clamd(databases=elsewhere)
    host.release(1, one)
    host("run", "--install-only")
    host.clamd.start()
    host.release(2, one, two)
    told = host("run", code=6)
    assert host.clamd.finds(two.data)
    assert NO_MARKER in told
    assert f"DatabaseDirectory {elsewhere}: definitions are installed as {host.current}" in told


def of_another_product(host: Host, *found: Sample) -> Path:
    folder = host.folder / "elsewhere"
    folder.mkdir()
    (folder / "rules.ndb").write_text("".join(sample.ndb() for sample in found))
    return folder


def test_official_databases_only_is_unproven_and_the_cause_is_named(host: Host) -> None:
    official = real_data("clamav/bytecode/bytecode-333.cvd").read_bytes()
    one, two = samples("one", "two")
    host.install(one, bytecode_cvd=official)
    host.choose_clamd("OfficialDatabaseOnly yes")
    host.clamd.start()
    host.release(2, one, two, bytecode_cvd=official)
    told = host("run", code=6)
    assert "installed, generation 2 (a 2), unproven" in told
    assert "OfficialDatabaseOnly yes: only ClamAV's own databases load" in told
    assert not host.clamd.finds(one.data)


def test_a_file_that_clamds_user_cannot_read_brings_the_old_generation_back(host: Host) -> None:
    one, two = samples("one", "two")
    host.choose_clamd(*other_user(host.folder))
    host.install(one)
    host.release(2, two)
    host.after_test('chmod 000 "$generation"/*rules.ndb')
    host.set(clamscan=str(host.folder / "clamscan"), reload_timeout_seconds=3)
    told = host("run", code=5)
    assert "undone, generation 1" in told
    assert (host.in_force(), host.proof()) == (1, "proven")
    assert (host.clamd.finds(one.data), host.clamd.finds(two.data)) == (True, False)
    host.clamd.stop()
    host.clamd.start()
    assert host.clamd.finds(one.data)


def test_a_suppressing_file_of_an_untrusted_channel_never_reaches_clamd(host: Host) -> None:
    one, two = samples("one", "two")
    host.install(one)
    host.release(2, one, two, quiet_ign2=b"one\n")
    told = host("run", code=3)
    assert "'quiet.ign2' can switch detections off" in told
    assert (host.in_force(), host.proof()) == (1, "proven")
    assert host.clamd.finds(one.data)
    host.set(may_suppress=["a"])
    assert "installed, generation 2 (a 2), proven" in host("run")
    assert (host.clamd.finds(one.data), host.clamd.finds(two.data)) == (False, True)
