"""Run a Python program and kill it at each of its file system changes in turn."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

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


def need_strace() -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: apt-get install strace")


def count(
    program: str, arguments: list[str], *, log: Path, children: bool = True
) -> dict[str, int]:
    """Run a program to its end; tell how often it makes each kind of change."""
    _strace(program, arguments, log, [], children=children)
    counted: dict[str, int] = {}
    for line in log.read_text(errors="replace").splitlines():
        if found := re.match(r"(?:\d+\s+)?(\w+)\(", line):
            counted[found[1]] = counted.get(found[1], 0) + 1
    return counted


def points(counted: dict[str, int]) -> Iterator[tuple[str, int]]:
    for call, times in sorted(counted.items()):
        for number in range(1, times + 1):
            yield call, number


def kill_at(
    program: str,
    arguments: list[str],
    *,
    log: Path,
    call: str,
    number: int,
    children: bool = True,
) -> None:
    """Run a program that dies as it enters the numbered call; it must not end by itself."""
    rule = f"inject={call}:signal=SIGKILL:when={number}"
    ended = _strace(program, arguments, log, [rule], children=children)
    assert ended != 0, f"{call} #{number} was never reached"


def _strace(
    program: str, arguments: list[str], log: Path, inject: list[str], *, children: bool
) -> int:
    options = [item for rule in inject for item in ("-e", rule)] + ["-f"] * children
    done = subprocess.run(
        ["strace", "-qq", "-o", str(log), "-e", f"trace={CHANGES}", *options,
         sys.executable, "-B", "-c", PREAMBLE + program, *arguments],
        check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert inject or done.returncode == 0, done.stderr
    return done.returncode


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
    for call, number in points(count(program, fresh(), log=log, children=children)):
        kill_at(program, fresh(), log=log, call=call, number=number, children=children)
        check(f"killed at {call} #{number}")
        kills += 1
    return kills
