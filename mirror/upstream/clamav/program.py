"""Another program does the asking: run with limits, as the folder's owner, its words kept."""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keys.errors import HostError, LimitError, SettingsError
from mirror.feeds import UpstreamSettings
from mirror.upstream.redaction import Redactor

MAX_OUTPUT_BYTES = 1 << 20  # what comes after is read and forgotten
MAX_TOLD_CHARACTERS = 300
_PASSED_ON = (
    "LANG", "PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "TZ",
    "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ran:
    """A program that ended by itself: its exit code and what it wrote, secrets taken out."""

    code: int
    output: str

    def told(self, *marks: str) -> str:
        """Return its last line that holds one of these marks, or else its last line."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        marked = [line for line in lines if any(mark in line for mark in marks)]
        return (marked or lines or ["it said nothing"])[-1][:MAX_TOLD_CHARACTERS]


def locate(written: str, name: str, *places: str, hint: str) -> str:
    """Find a program: the one the settings name, or else on PATH, or else at known places.

    Raises:
        SettingsError: it is nowhere.

    """
    if written:
        if shutil.which(written):
            return written
        raise SettingsError(f"program: {written}: there is no such program", hint=hint)
    for candidate in (name, *places):
        if found := shutil.which(candidate):
            return found
    raise SettingsError(f"program: {name} is not installed", hint=hint)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a program may take, and how large a file of its may become."""

    max_pull_seconds: float
    max_release_bytes: int

    @classmethod
    def of(cls, settings: UpstreamSettings) -> "Limits":
        """Take those of an upstream."""
        return cls(settings.max_pull_seconds, settings.max_release_bytes)


async def run(
    command: Sequence[str], *, folder: Path, limits: Limits, redactor: Redactor, ca_file: str = ""
) -> Ran:
    """Run a program in a folder, as its owner; it and what it started end with this call.

    Raises:
        HostError: it cannot be started.
        LimitError: it took longer than ``max_pull_seconds``.

    """
    process = await _start(_bounded(command, limits), folder, ca_file)
    try:
        async with asyncio.timeout(limits.max_pull_seconds):
            output = await _read(process)
            code = await process.wait()
    except TimeoutError as exc:
        told = f"max_pull_seconds={limits.max_pull_seconds:g}"
        raise LimitError(f"{command[0]}: not done after {told}") from exc
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    return Ran(code, redactor.text(output.decode("utf-8", "replace")))


def _bounded(command: Sequence[str], limits: Limits) -> Sequence[str]:
    """Let no file of a program grow beyond the limit: the shell sets it, then becomes it."""
    blocks = -(-limits.max_release_bytes // 512)
    return ("/bin/sh", "-c", 'ulimit -f "$1" && shift && exec "$@"', "sh", str(blocks), *command)


async def _start(
    command: Sequence[str], folder: Path, ca_file: str
) -> asyncio.subprocess.Process:  # fmt: skip
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env=_environment(folder, ca_file),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            umask=0o022,
            **_as_owner(folder),
        )
    except OSError as exc:
        raise HostError(f"{command[0]}: {exc.strerror or exc}") from exc


def _environment(home: Path, ca_file: str) -> Mapping[str, str]:
    """Tell what a program sees of our environment: where to find things, proxies, whom to trust."""
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {"HOME": str(home), **passed, **({"CURL_CA_BUNDLE": ca_file} if ca_file else {})}


def _as_owner(folder: Path) -> dict[str, Any]:
    """Let root's program write as the folder's owner, so that the service can read it all."""
    owner = folder.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        return {}
    return {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": ()}


async def _read(process: asyncio.subprocess.Process) -> bytes:
    """Read all it writes, so that it never waits for us, and keep the beginning."""
    assert process.stdout is not None, "started without a pipe"  # noqa: S101
    kept = bytearray()
    while data := await process.stdout.read(1 << 16):
        kept += data[: MAX_OUTPUT_BYTES - len(kept)]
    return bytes(kept)
