"""From publishing a release to the proof that a running engine runs it, on one machine.

The reference is the least an operator can do by hand: copy the file to where the engine reads,
have it loaded, and scan until the new definition is found.
"""

import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import process
from benchmarks.definitions import Sample
from benchmarks.process import FailedError
from benchmarks.row import Measured, Samples, against, seconds
from benchmarks.stage import (
    ENGINES,
    WRITERS,
    Host,
    Mirror,
    Stage,
    finds,
    start_clamd,
    wait_for,
)  # fmt: skip
from updater.engines import instream


@dataclass(frozen=True, slots=True)
class Size:
    """How many signatures, how often to measure them, and how many seconds they may take."""

    signatures: int
    repetitions: int
    floor: float
    goal: float


@dataclass(frozen=True, slots=True)
class Taken:
    """The seconds of one update: publishing, until it is served, and the host's run."""

    publish: float
    served: float
    run: float

    @property
    def total(self) -> float:
        """The whole."""
        return self.publish + self.served + self.run


SIZES = (Size(10, 5, floor=5, goal=2), Size(400_000, 3, floor=15, goal=6))
BY_HAND = {"clamd": "cp + RELOAD until found", "yara": "yara-x: compile + scan"}
YARA_BY_HAND = """
import sys, yara_x
rules = yara_x.compile(open(sys.argv[1]).read())
assert list(rules.scan(sys.argv[2].encode()).matching_rules)
"""


def measure(stage: Stage) -> Iterator[Measured]:
    """Measure each engine that is here with each size."""
    mirror = Mirror.made(stage)
    for engine in ENGINES:
        for size in SIZES:
            yield from _measure(stage, mirror, engine, size)


def _measure(stage: Stage, mirror: Mirror, engine: str, size: Size) -> Iterator[Measured]:
    name = f"{engine}-{size.signatures}"
    release = stage.folder / f"release-{name}"
    sample = WRITERS[engine](release, size.signatures)
    mirror.publish(name, release)
    mirror.wait_until_served()
    host = Host(stage, mirror, name, engine).make(name)
    host.update("--install-only")
    host.start_engine()
    by_hand = _by_clamd(stage, release, sample) if engine == "clamd" else _by_yara
    ours, theirs = [], []
    for _ in range(size.repetitions):
        sample = WRITERS[engine](release, size.signatures)
        ours.append(_ours(host, mirror, name, release, sample))
        theirs.append(by_hand(release, sample))
    title = f"publish to proven, {engine}, {size.signatures:,} signatures"
    totals = [one.total for one in ours]
    row = seconds(title, totals, floor=size.floor, goal=size.goal)
    yield Measured(row, "publish + until served + run: " + _parts(ours))
    samples = Samples(totals, theirs, BY_HAND[engine])
    yield against(f"{title}: ratio", samples, statistics.median)


def _parts(taken: list[Taken]) -> str:
    return ", ".join(f"{one.publish:.2f} + {one.served:.2f} + {one.run:.2f} s" for one in taken)


def _ours(host: Host, mirror: Mirror, channel: str, release: Path, sample: Sample) -> Taken:
    publish = mirror.publish(channel, release).wall_seconds
    start = time.monotonic()
    mirror.wait_until_served()
    served = time.monotonic() - start
    run = host.update().wall_seconds
    if not host.finds(sample):
        raise FailedError(f"{host.name}: the run says proven, and the sample is not found")
    return Taken(publish, served, run)


def _by_clamd(stage: Stage, release: Path, first: Sample) -> Callable[[Path, Sample], float]:
    """Start a second clamd whose folder is written by hand."""
    folder = stage.folder / f"{release.name}-by-hand"
    database = folder / "database"
    shutil.copytree(release, database)
    at = folder / "socket"
    start_clamd(stage, folder, database, at)
    wait_for(lambda: finds(at, first), "the clamd that is fed by hand")
    address = instream.Address.parse(str(at))

    def by_hand(release: Path, sample: Sample) -> float:
        start = time.monotonic()
        for path in release.iterdir():
            shutil.copy(path, database)
        instream.ask(address, "RELOAD", timeout_seconds=30)
        wait_for(lambda: finds(at, sample), "clamd's reload")
        return time.monotonic() - start

    return by_hand


def _by_yara(release: Path, sample: Sample) -> float:
    """Compile in a fresh process and scan once."""
    rules, text = release / "bench.yar", sample.text.decode()
    return process.run(sys.executable, "-c", YARA_BY_HAND, rules, text).wall_seconds
