"""Genuine definitions of several vendors, kept beside the checkout and never copied into it."""

import os
from pathlib import Path

import pytest

VARIABLE = "SIGMIRROR_REAL_DATA"
_BESIDE = Path(__file__).parents[2] / "shared" / "data"


def real_data(name: str) -> Path:
    """Locate a genuine file or folder, or skip the test where the set is absent."""
    root = Path(os.environ.get(VARIABLE) or _BESIDE)
    if not root.is_dir():
        pytest.skip(f"no genuine definitions in {root}: set {VARIABLE} to their folder")
    path = root / name
    assert path.exists(), f"{path}: missing from the set of genuine definitions"
    return path
