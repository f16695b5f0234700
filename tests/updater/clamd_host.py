"""A host with a private clamd, updated by `sigupdate` as an operator calls it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.updater.clamd_process import Clamd
from tests.updater.site import Site


class Command:
    """`sigupdate` with the settings of one host."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.folder = folder
        self.config = folder / "sigupdate.toml"
        self.state = folder / "state"
        self.clamd = Clamd(folder, self.state / "engines/clamd/current")
        self.environment = {**os.environ, "SIGUPDATE_CONFIG": str(self.config)}
        (folder / "root.json").write_bytes(site.repository.first_root)
        self.write_settings(site.url)

    def write_settings(
        self, url: str, more: str = "", engine: Mapping[str, object] | None = None
    ) -> None:
        """Write the settings; ``engine`` are keys of the engine, also in place of these."""
        keys = {
            "name": "clamd",
            "kind": "clamd",
            "socket": str(self.clamd.socket),
            "channels": ["a"],
            "reload_timeout_seconds": 20,
            "memory_per_definition_byte": 0,
            **(engine or {}),
        }
        lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in keys.items())
        self.config.write_text(
            f"""mirrors = ["{url}"]
state = "{self.state}"
{more}
[limits]
max_attempts = 1
[[repository]]
name = "site"
root = "{self.folder}/root.json"
[[engine]]
{lines}
"""
        )

    def __call__(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-c", "from updater.cli import main; main()", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr
