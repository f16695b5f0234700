"""Run a Python program and kill it at each of its file system changes in turn.

What the program imports is loaded once: each run is a fork of that, traced from its first line.
"""

import contextlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

CHANGES = (
    "rename,renameat,renameat2,link,linkat,symlink,symlinkat,fsync,fdatasync,unlink,unlinkat,mkdir"
)


# strace counts calls per thread, so the program does everything in one.
PREAMBLE = """
import asyncio, concurrent.futures, sys
from pathlib import Path

class Inline(concurrent.futures.ThreadPoolExecutor):
    def submit(self, work, /, *args, **kwargs):
        done = concurrent.futures.Future()
        try:
            done.set_result(work(*args, **kwargs))
        except Exception as exc:
            done.set_exception(exc)
        return done

def run(main):
    async def inline():
        asyncio.get_running_loop().set_default_executor(Inline())
        return await main
    return asyncio.run(inline())
"""

# Reads the arguments of one run after the other; tells its process, and then how it ended.
FORKS = """
import ast, ctypes, json, os, sys, time
source = ast.parse(sys.argv[1] + sys.argv[2])
first = len(ast.parse(sys.argv[1]).body)
while isinstance(source.body[first], ast.Import | ast.ImportFrom):
    first += 1
parts = [ast.Module(part, []) for part in (source.body[:first], source.body[first:])]
imports, program = (compile(part, "<program>", "exec") for part in parts)
scope = {"__name__": "__main__"}
exec(imports, scope)
PR_SET_PTRACER, ANYBODY = 0x59616D61, ctypes.c_ulong(-1)

def traced():
    with open("/proc/self/status") as status:
        return any(line.startswith("TracerPid:") and line.split()[1] != "0" for line in status)

for line in sys.stdin:
    if (process := os.fork()) == 0:
        ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANYBODY, 0, 0, 0)
        while not traced():
            time.sleep(0.001)
        time.sleep(0.02)  # until the tracer has stopped it once
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0), os.dup2(nothing, 1)
        sys.argv[1:] = json.loads(line)
        exec(program, scope)
        sys.exit(0)
    print(process, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
"""


def need_strace() -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: apt-get install strace")


@dataclass(frozen=True)
class Program:
    """A program that is loaded; without ``children`` those it starts are left alone."""

    log: Path
    children: bool
    asks: IO[str]
    told: IO[str]

    def count(self, arguments: list[str]) -> dict[str, int]:
        """Run it to its end; tell how often it makes each kind of change."""
        ended = self._run(arguments)
        assert ended == 0, self.log.with_suffix(".err").read_text()
        counted: dict[str, int] = {}
        for line in self.log.read_text(errors="replace").splitlines():
            if found := re.match(r"(?:\d+\s+)?(\w+)\(", line):
                counted[found[1]] = counted.get(found[1], 0) + 1
        return counted

    def kill_at(self, arguments: list[str], call: str, number: int) -> None:
        """Let it die as it enters the numbered call; it must not end by itself."""
        ended = self._run(arguments, "-e", f"inject={call}:signal=SIGKILL:when={number}")
        assert ended != 0, f"{call} #{number} was never reached"

    def _run(self, arguments: list[str], *inject: str) -> int:
        self.asks.write(json.dumps(arguments) + "\n")
        self.asks.flush()
        process = self.told.readline().strip()
        follow = ["-f"] * self.children
        subprocess.run(
            ["strace", "-qq", "-o", str(self.log), "-e", f"trace={CHANGES}", *inject, *follow,
             "-p", process],
            check=False, capture_output=True, timeout=120,
        )  # fmt: skip
        return int(self.told.readline())


@contextlib.contextmanager
def loaded(program: str, *, log: Path, children: bool = True) -> Iterator[Program]:
    """Load a program, to be run again and again."""
    with log.with_suffix(".err").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-B", "-c", FORKS, PREAMBLE, program],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
        with process:
            assert process.stdin
            assert process.stdout
            yield Program(log, children, process.stdin, process.stdout)


def points(counted: dict[str, int]) -> Iterator[tuple[str, int]]:
    for call, times in sorted(counted.items()):
        for number in range(1, times + 1):
            yield call, number


def every_kill(
    program: str,
    *,
    log: Path,
    fresh: Callable[[], list[str]],
    check: Callable[[str], None],
    children: bool = True,
) -> int:
    """Kill a program at each change, on a fresh state each time; return how many kills.

    Without ``children`` the changes of the programs it runs are left alone.
    """
    kills = 0
    with loaded(program, log=log, children=children) as once:
        for call, number in points(once.count(fresh())):
            once.kill_at(fresh(), call, number)
            check(f"killed at {call} #{number}")
            kills += 1
    return kills
