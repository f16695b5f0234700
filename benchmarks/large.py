"""Installing a 180 MB release: the CPU of download and verification, and the peak of memory."""

import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import process
from benchmarks.definitions import write_large
from benchmarks.process import Account
from benchmarks.row import Measured, Samples, against, lower
from benchmarks.stage import Host, Mirror, Stage

RELEASE_BYTES = 180_000_000
REPETITIONS = 5
MEGABYTE = 1e6
REFERENCE = "curl, then sha256sum"


def measure(stage: Stage) -> Iterator[Measured]:
    """Install from nothing, again and again, between downloads by the reference."""
    release = stage.folder / "release"
    write_large(release, RELEASE_BYTES)
    mirror = Mirror.made(stage)
    published = process.account("sigmirror", "publish", "large", release, "--config", mirror.config)
    mirror.publish("large", release)
    host = Host(stage, mirror, "host", "command").make("large")
    _take_anything(host)
    ours, theirs = [], []
    for _ in range(REPETITIONS):
        host.forget()
        ours.append(host.account("--install-only"))
        theirs.append(_reference(stage, mirror))
    samples = Samples([one.cpu_seconds for one in ours], theirs, REFERENCE)
    name = "first `sigupdate run` of a 180 MB release: CPU"
    yield against(name, samples, min, floor=0.75, goal=0.5)
    bare = process.account(sys.executable, "-c", "pass")
    yield _peak("`sigupdate run` of a 180 MB release: peak memory", max_of(ours), bare)
    yield _peak("`sigmirror publish` of a 180 MB release: peak memory", published, bare)


def max_of(accounts: list[Account]) -> Account:
    """Return the account with the highest peak."""
    return max(accounts, key=lambda one: one.peak_bytes)


def _peak(name: str, ours: Account, bare: Account) -> Measured:
    above = (ours.peak_bytes - bare.peak_bytes) / MEGABYTE
    row = lower(name, above, "MB above `python -c pass` (maximum)", floor=64, goal=64)
    detail = f"{ours.peak_bytes / MEGABYTE:.1f} MB; bare {bare.peak_bytes / MEGABYTE:.1f} MB"
    return Measured(row, detail)


def _take_anything(host: Host) -> None:
    """Let the engine's test accept every file: what a loader costs is not measured here."""
    with host.config.open("a") as file:
        file.write('test_command = ["true"]\nreload_command = ["true"]\nprobe_command = ["true"]\n')


def _reference(stage: Stage, mirror: Mirror) -> float:
    """Fetch the same bytes from the same mirror and hash them; return the CPU time."""
    blob = next((mirror.folder / "r/site/targets/large/files").glob("*bench.hsb"))
    url = f"{mirror.url}/r/site/targets/large/files/{blob.name}"
    target = stage.folder / "fetched"
    fetched = process.run("curl", "-sSf", "-o", target, url)
    hashed = process.run("sha256sum", target)
    assert hashed.output.split()[0] == _digest(blob), hashed.output  # noqa: S101 - sanity
    target.unlink()
    return fetched.cpu_seconds + hashed.cpu_seconds


def _digest(blob: Path) -> str:
    return blob.name.partition(".")[0]
