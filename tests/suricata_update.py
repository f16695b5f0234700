"""The real suricata-update in an environment of its own, kept between runs outside the project."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

VERSION = "1.3.3"
MAX_INSTALL_SECONDS = 240
_PLACE = "sigmirror-suricata-update"
_SKIP = "suricata-update is not installed: python3 -m venv {0} && {0}/bin/pip install {1}"
_PACKAGES = (f"suricata-update=={VERSION}", "pyyaml", "setuptools<80")

# Suricata itself, as far as suricata-update asks it: its version, its build, and a test of rules.
SURICATA = """#!/bin/sh
echo "This is Suricata version 7.0.3 RELEASE"
"""


def suricata_update() -> Path:
    """Return the installed program, or skip the test."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = cache / f"{_PLACE}-{VERSION}"
    program = place / "bin/suricata-update"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with place.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not program.exists():
                _install(place)
    except (OSError, subprocess.SubprocessError):
        pytest.skip(_SKIP.format(place, " ".join(_PACKAGES)))
    return program


def _install(place: Path) -> None:
    for command in (
        [sys.executable, "-m", "venv", str(place)],
        [str(place / "bin/pip"), "install", "--quiet", *_PACKAGES],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=MAX_INSTALL_SECONDS)
