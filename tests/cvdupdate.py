"""The real cvdupdate in an environment of its own, kept between runs outside the project."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

VERSION = "1.2.0"
MAX_INSTALL_SECONDS = 240
_SKIP = "cvdupdate is not installed: python3 -m venv {0} && {0}/bin/pip install cvdupdate=={1}"

# Its TXT query goes to port 53, which no test may listen on; and it asks for a newer program.
_PROGRAM = """#!{python}
import dns.resolver
from cvdupdate.cvdupdate import CVDUpdate

class Resolver(dns.resolver.Resolver):
    def reset(self):
        super().reset()
        self.port = {port}

dns.resolver.Resolver = Resolver
CVDUpdate.pypi_update_check = lambda self: None
from cvdupdate.__main__ import cli
cli()
"""


def cvdupdate(folder: Path, *, dns_port: int) -> Path:
    """Give the program ``cvd`` whose DNS server listens on this port, or skip the test."""
    python = _environment() / "bin/python"
    program = folder / "cvd"
    program.write_text(_PROGRAM.format(python=python, port=dns_port))
    program.chmod(0o755)
    return program


def _environment() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = cache / f"sigmirror-cvdupdate-{VERSION}"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with place.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (place / "bin/cvd").exists():
                _install(place)
    except (OSError, subprocess.SubprocessError):
        pytest.skip(_SKIP.format(place, VERSION))
    return place


def _install(place: Path) -> None:
    for command in (
        [sys.executable, "-m", "venv", str(place)],
        [str(place / "bin/pip"), "install", "--quiet", f"cvdupdate=={VERSION}"],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=MAX_INSTALL_SECONDS)
