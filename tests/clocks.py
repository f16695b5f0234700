"""Programs whose clock is moved."""

from pathlib import Path

import pytest


def faketime() -> Path:
    """Find the library that moves a program's clock."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        pytest.skip("faketime is not installed: apt-get install faketime")
    return found[0]
