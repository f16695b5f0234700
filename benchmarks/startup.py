"""A run that finds nothing new, against the bare interpreter."""

import sys
from collections.abc import Iterator

from benchmarks import process
from benchmarks.row import Measured, Samples, against
from benchmarks.stage import ENGINES, WRITERS, Host, Mirror, Stage

REPETITIONS = 15
SIGNATURES = 10


def measure(stage: Stage) -> Iterator[Measured]:
    """Alternate both commands and compare the least CPU time of each."""
    mirror, engine = Mirror.made(stage), ENGINES[0]
    WRITERS[engine](stage.folder / "release", SIGNATURES)
    mirror.publish("bench", stage.folder / "release")
    mirror.wait_until_served()
    host = Host(stage, mirror, "host", engine).make("bench")
    host.update("--install-only")
    host.start_engine()
    host.update()
    ours, bare = [], []
    for _ in range(REPETITIONS):
        ours.append(host.update().cpu_seconds)
        bare.append(process.run(sys.executable, "-c", "pass").cpu_seconds)
    name = f"no-change `sigupdate run`, proving {engine}: CPU"
    yield against(name, Samples(ours, bare, "`python -c pass`"), min, floor=14, goal=6)
