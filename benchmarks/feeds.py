"""Plain feeds, from a vendor's archive to a published release; a pull that finds nothing new."""

import json
import shutil
import statistics
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from benchmarks import process
from benchmarks.definitions import genuine, write_archive
from benchmarks.process import Run
from benchmarks.relay import relaying
from benchmarks.row import Measured, Samples, against, count
from benchmarks.stage import Mirror, Stage, free_port, wait_for

REPETITIONS = 5
LITTLE = "little"
ARCHIVES = {
    "signature-base": "yara/signature-base-2025-12-05.tar.gz",
    "et-open": "suricata/emerging.rules-2019-08-30.tar.gz",
}
REFERENCE = "curl, tar xzf, sha256sum of each file"
UNIT_BYTES = "bytes of HTTP, both ways, headers included"


@dataclass(frozen=True)
class Vendor:
    """A web server on loopback with archives and their checksums."""

    folder: Path
    url: str

    @classmethod
    def made(cls, stage: Stage) -> "Vendor":
        """Serve a folder with Python's own web server."""
        folder, port = stage.folder / "vendor", free_port()
        folder.mkdir()
        words = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
        stage.start(*words, "--directory", folder, log=stage.folder / "vendor.log")
        vendor = cls(folder, f"http://127.0.0.1:{port}")
        wait_for(vendor._answers, "the vendor")
        return vendor

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url, timeout=5) as answer:  # noqa: S310 - loopback
                return bool(answer.status == 200)
        except OSError:
            return False

    def offer(self, name: str, archive: Path) -> None:
        """Put an archive and its checksum there."""
        copy = self.folder / f"{name}.tar.gz"
        shutil.copyfile(archive, copy)
        digest = sha256(copy.read_bytes()).hexdigest()
        copy.with_name(f"{copy.name}.sha256").write_text(f"{digest}  {copy.name}\n")


def measure(stage: Stage) -> Iterator[Measured]:
    """Pull into one empty mirror after the other, between runs of the reference."""
    found = {name: genuine(path) for name, path in ARCHIVES.items()}
    if not all(found.values()):
        print("  skipped: the genuine archives are not at hand; SIGMIRROR_REAL_DATA names them")
        return
    vendor = Vendor.made(stage)
    write_archive(stage.folder / "little.tar.gz")
    vendor.offer(LITTLE, stage.folder / "little.tar.gz")
    for name, archive in found.items():
        assert archive is not None  # noqa: S101 - all are there
        vendor.offer(name, archive)
    mirrors = [_mirror(stage, vendor.url, number) for number in range(REPETITIONS)]
    little = [_pull(mirror, LITTLE) for mirror in mirrors]
    for name in ARCHIVES:
        ours, theirs = [], []
        for mirror in mirrors:
            ours.append(_pull(mirror, name))
            theirs.append(_reference(stage, f"{vendor.url}/{name}.tar.gz"))
        yield from _compare(name, ours, theirs, little)
    with relaying("127.0.0.1", int(vendor.url.rpartition(":")[2])) as relay:
        mirror = _mirror(stage, relay.url, REPETITIONS)
        _pull(mirror, "et-open")
        relay.reset()
        again = json.loads(_pull(mirror, "et-open", "--json", word="unchanged").output)
        total = relay.total
    requests, name = again["pulls"][0]["requests"], "no-change `sigmirror pull` of et-open"
    detail = f"{requests} requests, {total} bytes"
    yield Measured(count(f"{name}: requests", requests, "requests", floor=2, goal=1), detail)
    yield Measured(count(f"{name}: bytes", total, UNIT_BYTES, floor=2048, goal=1024), detail)


def _mirror(stage: Stage, vendor: str, number: int) -> Mirror:
    """Found a mirror that knows every feed and has pulled none."""
    tables = "".join(
        f'[[upstream]]\nname = "{name}"\nkind = "http"\nchannel = "{name}"\n'
        f'url = "{vendor}/{name}.tar.gz"\narchive = "tar.gz"\nverify = ["sha256"]\n'
        'version = "sidecar"\nallow_unsigned = true\n'
        for name in (*ARCHIVES, LITTLE)
    )
    return Mirror(stage, f"site-{number}").founded(tables)


def _pull(mirror: Mirror, name: str, *more: str, word: str = "published") -> Run:
    done = process.run("sigmirror", "pull", name, *more, "--config", mirror.config)
    assert word in done.output, done.output  # noqa: S101 - a benchmark's own sanity
    return done


def _reference(stage: Stage, url: str) -> Run:
    """Fetch, unpack and hash the same archive; nothing is verified, kept or signed."""
    folder = stage.folder / "unpacked"
    folder.mkdir()
    archive = folder / "archive.tar.gz"
    steps = [
        process.run("curl", "-sSf", "-o", archive, url),
        process.run("tar", "xzf", archive, "-C", folder),
        process.run("sha256sum", *(path for path in folder.rglob("*") if path.is_file())),
    ]
    shutil.rmtree(folder)
    cpu, wall = (sum(step.cpu_seconds for step in steps), sum(step.wall_seconds for step in steps))
    return Run("", cpu, wall)


def _compare(
    name: str, ours: Sequence[Run], theirs: Sequence[Run], little: Sequence[Run]
) -> Iterator[Measured]:
    cpu, reference = [run.cpu_seconds for run in ours], [run.cpu_seconds for run in theirs]
    whole = Samples(cpu, reference, REFERENCE)
    yield against(f"pull to published, {name}, whole: CPU", whole, min, floor=12, goal=8)
    least = min(run.cpu_seconds for run in little)
    beyond = Samples([one - least for one in cpu], reference, REFERENCE)
    yield against(f"pull to published, {name}: CPU", beyond, min, floor=8, goal=5)
    wall = Samples(
        [run.wall_seconds for run in ours], [run.wall_seconds for run in theirs], REFERENCE
    )
    yield against(f"pull to published, {name}: time", wall, statistics.median, floor=15, goal=10)
