"""Programs whose clock is moved."""

from pathlib import Path

import pytest


def faketime() -> Path:
    """Find the library that moves a program's clock."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        pytest.skip("faketime is not installed: apt-get install faketime")
    return found[0]


def moved(clock: str) -> list[str]:
    """Return the words before a command that move its clock: ``+2h``, ``@2061-01-01 00:00:00``.

    The program `faketime` itself would outlive signals sent to it, and stumbles over what others
    of its kind left behind when they were killed.
    """
    return ["env", f"LD_PRELOAD={faketime()}", f"FAKETIME={clock}"]
