"""Installing a 180 MB release: the CPU of download and verification, and the peak of memory."""

import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import process
from benchmarks.definitions import write_clamav, write_large
from benchmarks.process import Account
from benchmarks.row import Measured, Samples, against, lower
from benchmarks.stage import Host, Mirror, Stage

RELEASE_BYTES = 180_000_000
REPETITIONS = 5
MEGABYTE = 1e6
REFERENCE = "curl, then sha256sum"


def measure(stage: Stage) -> Iterator[Measured]:
    """Install from nothing, again and again, between downloads by the reference."""
    release, little = stage.folder / "release", stage.folder / "little"
    write_large(release, RELEASE_BYTES)
    write_clamav(little, 10)
    mirror = Mirror.made(stage)
    published = process.account("sigmirror", "publish", "large", release, "--config", mirror.config)
    mirror.publish("little", little)
    mirror.wait_until_served()
    large, small = _host(stage, mirror, "large"), _host(stage, mirror, "little")
    ours, rest, theirs = [], [], []
    for _ in range(REPETITIONS):
        ours.append(_first_run(large))
        rest.append(_first_run(small))
        theirs.append(_reference(stage, mirror))
    yield from _cpu(ours, rest, theirs)
    bare = process.account(sys.executable, "-c", "pass")
    yield _peak("`sigupdate run` of a 180 MB release: peak memory", max_of(ours), bare)
    yield _peak("`sigmirror publish` of a 180 MB release: peak memory", published, bare)
    pulled = _pull(stage, mirror)
    yield _peak("`sigmirror pull` of a 180 MB release: peak memory", pulled, bare)


def _cpu(ours: list[Account], rest: list[Account], theirs: list[float]) -> Iterator[Measured]:
    """Compare the whole process, and what it costs beyond installing next to nothing."""
    whole = [one.cpu_seconds for one in ours]
    least = min(one.cpu_seconds for one in rest)
    beyond = Samples([cpu - least for cpu in whole], theirs, REFERENCE)
    yield against("download + verify 180 MB: CPU", beyond, min, floor=0.75, goal=0.5)
    name = "first `sigupdate run` of a 180 MB release, whole: CPU"
    yield against(name, Samples(whole, theirs, REFERENCE), min, floor=0.75, goal=0.5)


def max_of(accounts: list[Account]) -> Account:
    """Return the account with the highest peak."""
    return max(accounts, key=lambda one: one.peak_bytes)


def _peak(name: str, ours: Account, bare: Account) -> Measured:
    above = (ours.peak_bytes - bare.peak_bytes) / MEGABYTE
    row = lower(name, above, "MB above `python -c pass` (maximum)", floor=64, goal=64)
    detail = f"{ours.peak_bytes / MEGABYTE:.1f} MB; bare {bare.peak_bytes / MEGABYTE:.1f} MB"
    return Measured(row, detail)


def _pull(stage: Stage, vendor: Mirror) -> Account:
    """Let another mirror pass the vendor's repository through."""
    upstream = f'[[upstream]]\nname = "vendor"\nkind = "tuf"\nurl = "{vendor.url}/r/site"\n'
    site = Mirror(stage, "site").founded(f'{upstream}root = "{vendor.root}"\n')
    pulled = process.account("sigmirror", "pull", "--config", site.config)
    passed = site.folder / "r/vendor/targets/large/files"
    assert next(passed.glob("*bench.hsb")).stat().st_size >= RELEASE_BYTES  # noqa: S101 - sanity
    return pulled


def _host(stage: Stage, mirror: Mirror, channel: str) -> Host:
    """Make a host whose engine takes every file: what a loader costs is not measured here."""
    host = Host(stage, mirror, f"host-{channel}", "command").make(channel)
    with host.config.open("a") as file:
        file.write('test_command = ["true"]\nreload_command = ["true"]\nprobe_command = ["true"]\n')
    return host


def _first_run(host: Host) -> Account:
    host.forget()
    return host.account("--install-only")


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
