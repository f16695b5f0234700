"""From publishing a release to the proof that a running engine runs it, on one machine.

The reference is the least an operator can do by hand: copy the file to where the engine reads,
have it loaded, and scan until the new definition is found.
"""

import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
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

SIZES = {10: 5, 400_000: 3}  # signatures: repetitions
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
        for signatures, repetitions in SIZES.items():
            yield from _measure(stage, mirror, engine, signatures, repetitions)


def _measure(
    stage: Stage, mirror: Mirror, engine: str, signatures: int, repetitions: int
) -> Iterator[Measured]:
    name = f"{engine}-{signatures}"
    release = stage.folder / f"release-{name}"
    sample = WRITERS[engine](release, signatures)
    mirror.publish(name, release)
    host = Host(stage, mirror, name, engine).make(name)
    host.update("--install-only")
    host.start_engine()
    by_hand = _by_clamd(stage, release, sample) if engine == "clamd" else _by_yara
    ours, theirs = [], []
    for _ in range(repetitions):
        sample = WRITERS[engine](release, signatures)
        ours.append(_ours(host, mirror, name, release, sample))
        theirs.append(by_hand(release, sample))
    title = f"publish to proven, {engine}, {signatures:,} signatures"
    yield seconds(title, ours)
    samples = Samples(ours, theirs, BY_HAND[engine])
    yield against(f"{title}: ratio", samples, statistics.median)


def _ours(host: Host, mirror: Mirror, channel: str, release: Path, sample: Sample) -> float:
    start = time.monotonic()
    mirror.publish(channel, release)
    host.update()
    taken = time.monotonic() - start
    if not host.finds(sample):
        raise FailedError(f"{host.name}: the run says proven, and the sample is not found")
    return taken


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
