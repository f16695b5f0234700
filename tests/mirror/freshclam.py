"""Debian's own freshclam and clamscan as clients of a mirror."""

import asyncio
import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from keys.trust.vendor.header import HEADER_BYTES, parse_header

EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
MODES = ("DatabaseMirror", "PrivateMirror", "DatabaseCustomURL")
OFFICIAL = ("main", "daily", "bytecode")
CLIENT_SECONDS = 120.0
NOWHERE = "http://127.0.0.1:9"  # a mirror must be named, even where only a custom URL is read


def need_freshclam() -> None:
    """Skip where ClamAV's own programs are missing."""
    if shutil.which("freshclam") is None:
        pytest.skip("freshclam is not installed: apt-get install clamav clamav-freshclam")
    if shutil.which("clamscan") is None:
        pytest.skip("clamscan is not installed: apt-get install clamav")


@dataclass(frozen=True, slots=True)
class Freshclam:
    """One client; its folder holds its databases and what it remembers of mirrors.

    ``custom`` is the path of its custom URL.
    """

    folder: Path
    mode: str
    database: str = "test"
    custom: str = ""

    @property
    def databases(self) -> Path:
        """Where its databases lie."""
        return self.folder / "db"

    def hold(self, data: bytes) -> None:
        """Have a version of the database from an earlier day."""
        self.databases.mkdir(parents=True, exist_ok=True)
        path = self.databases / f"{self.database}.cvd"
        path.write_bytes(data)
        os.utime(path, (path.stat().st_mtime - 86400,) * 2)

    async def run(self, url: str) -> int:
        """Update from the mirror at this URL; return the exit code."""
        self.databases.mkdir(parents=True, exist_ok=True)
        config = self.folder / "freshclam.conf"
        config.write_text("".join(f"{line}\n" for line in self._config(url)))
        log = self.folder / "freshclam.log"
        with log.open("ab") as output:
            return await run_client(
                ["freshclam", f"--config-file={config}", "--stdout", "--no-dns"], output.fileno()
            )

    def _config(self, url: str) -> list[str]:
        lines = [
            f"DatabaseDirectory {self.databases}",
            f"DatabaseOwner {pwd.getpwuid(os.getuid()).pw_name}",
            "MaxAttempts 2",
            *(f"ExcludeDatabase {name}" for name in OFFICIAL if name != self.database),
        ]
        if self.mode == "DatabaseCustomURL":
            custom = f"DatabaseCustomURL {url}{self.custom or f'/clamav/{self.database}.cvd'}"
            excluded = [f"ExcludeDatabase {name}" for name in OFFICIAL if name == self.database]
            return [*lines, *excluded, f"DatabaseMirror {NOWHERE}", custom]
        extra = [] if self.database in OFFICIAL else [f"ExtraDatabase {self.database}"]
        return [*lines, *extra, f"{self.mode} {url}/clamav"]

    @property
    def version(self) -> int | None:
        """The version of the database it holds."""
        return held(self.databases, self.database)


def held(databases: Path, database: str) -> int | None:
    """Tell the version of a database in a folder; None where there is none."""
    for suffix in ("cvd", "cld"):
        path = databases / f"{database}.{suffix}"
        if path.exists():
            with path.open("rb") as file:
                return parse_header(file.read(HEADER_BYTES), path.name, "database").version
    return None


async def detects(databases: Path, sample: bytes = EICAR) -> bool:
    """Tell whether clamscan finds a sample with the databases of a folder."""
    path = databases.parent / "sample"
    path.write_bytes(sample)
    words = ["clamscan", f"--database={databases}", "--no-summary", str(path)]
    return await run_client(words, asyncio.subprocess.DEVNULL) == 1


async def run_client(words: list[str], output: int) -> int:
    """Run a program to its end; return its exit code."""
    process = await asyncio.create_subprocess_exec(
        *words, stdout=output, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(CLIENT_SECONDS):
            return await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
