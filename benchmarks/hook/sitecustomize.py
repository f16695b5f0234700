"""Loaded by each Python process of a measured command: tells what the process itself has cost.

The kernel's account of an ended child adds its own children (a loader, a compiler); this one,
written as the process ends, does not. ``VmHWM`` is the peak since exec, so a large parent does not
count, as it does in ``ru_maxrss``.
"""

import atexit
import os
import resource
from pathlib import Path


def _tell(folder: str) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = status.partition("VmHWM:")[2].split()[0]
    text = f"{used.ru_utime + used.ru_stime} {peak}"
    (Path(folder) / str(os.getpid())).write_text(text, encoding="ascii")


if "SIGMIRROR_BENCH_ACCOUNTS" in os.environ:
    atexit.register(_tell, os.environ["SIGMIRROR_BENCH_ACCOUNTS"])
