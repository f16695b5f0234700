"""A ClamAV database verified and expanded, against sigtool, which only verifies."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import process
from benchmarks.definitions import BESIDE, VARIABLE, hash_lines
from benchmarks.row import Measured, Samples, against, lower
from benchmarks.stage import Stage
from keys.trust.vendor.rsa import CLAMAV, Keys
from tests.clamav_library import substituted
from tests.clamav_vendor import VENDOR, Issue

EXPANDED_BYTES = 180_000_000
REPETITIONS = 7
MEGABYTE = 1e6
SIGTOOL = "sigtool --info"
EXPAND = Path(__file__).parent / "expand.py"
GENUINE = Path("clamav/bytecode/bytecode-333.cvd")


def measure(stage: Stage) -> Iterator[Measured]:
    """Measure a genuine small database and a generated large one."""
    env = substituted(stage.folder / "lib")
    if env is None:
        print("sigtool is not installed: apt-get install clamav")
        return
    genuine = Path(os.environ.get(VARIABLE) or BESIDE) / GENUINE
    if genuine.exists():
        yield from _small(stage, genuine)
    yield from _large(stage, env)


def _small(stage: Stage, genuine: Path) -> Iterator[Measured]:
    """Leave our start-up out: a mirror starts once and verifies many."""
    shutil.copyfile(genuine, cvd := stage.folder / genuine.name)
    ours, theirs = [], []
    for _ in range(REPETITIONS):
        ours.append(float(process.run(*_expand(stage, cvd, CLAMAV)).output))
        theirs.append(process.run("sigtool", f"--info={cvd}").cpu_seconds)
    name = "verify + expand bytecode-333 (0.3 MB), start-up left out: CPU"
    yield against(name, Samples(ours, theirs, SIGTOOL), min, goal=1.5)


def _large(stage: Stage, env: dict[str, str]) -> Iterator[Measured]:
    """Compare whole processes; sigtool believes the key the database was signed with."""
    cvd = _generated(stage.folder / "daily.cvd")
    ours, theirs = [], []
    for _ in range(REPETITIONS):
        ours.append(process.account(*_expand(stage, cvd, VENDOR.keys)))
        theirs.append(process.run("sigtool", f"--info={cvd}", env=env).cpu_seconds)
    whole = [one.cpu_seconds for one in ours]
    name = "verify + expand a 180 MB database, whole process: CPU"
    yield against(name, Samples(whole, theirs, SIGTOOL), min, floor=1.5, goal=1.5)
    peak = max(one.peak_bytes for one in ours) / MEGABYTE
    name = "verify + expand a 180 MB database, whole process: peak memory"
    yield Measured(lower(name, peak, "MB (maximum)", floor=96, goal=96), f"{peak:.1f} MB")


def _expand(stage: Stage, cvd: Path, keys: Keys) -> list[str | Path]:
    """Write the command that verifies and expands with these keys."""
    numbers = [[key.name, key.modulus, key.exponent] for key in (keys.header, keys.info)]
    return [sys.executable, EXPAND, cvd, stage.folder / "expanded.cld", json.dumps(numbers)]


def _generated(path: Path) -> Path:
    """Write a database of hash signatures that expands to ``EXPANDED_BYTES``."""
    line = len("0" * 64 + ":1000000:Bench.0000000\n")
    text = "".join(hash_lines(EXPANDED_BYTES // line + 1, "containers")).encode()
    path.write_bytes(VENDOR.cvd(Issue("daily", 1, (("daily.hsb", text),))))
    return path
