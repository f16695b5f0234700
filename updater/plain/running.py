"""What a running clamd says and shows: its version, since when it runs, what it finds."""

import contextlib
import os
import re
import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from keys.errors import UnprovenError
from updater.engines import databases, instream
from updater.engines.base import Verdict
from updater.engines.clamd import UNOFFICIAL
from updater.engines.instream import Address
from updater.plain.disk import Database
from updater.plain.place import PlainClamd
from updater.plain.samples import Sample

TIMEOUT_SECONDS = 10.0
SYSTEMD = 1  # the process that listens for a clamd it starts when asked
_VERSION = re.compile(r"ClamAV [^/\s]{1,40}(?:/(?P<daily>[0-9]{1,9})/.{0,60})?")
_CREDENTIALS = struct.Struct("3i")  # SO_PEERCRED: pid, uid, gid
_BEFORE_START = 19  # fields of /proc/<pid>/stat behind the name, before the one wanted


@dataclass(frozen=True, slots=True)
class Seen:
    """What scans showed of one file: a definition of it that is found, missed, or hidden."""

    found: str = ""
    missed: str = ""
    hidden: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    """A clamd that answers, or ``problem``.

    ``daily`` is the version of the database of that name it says it loaded, 0 for none.
    """

    version: str = ""
    daily: int = 0
    started: datetime | None = None
    seen: Mapping[str, Seen] = field(default_factory=dict)
    problem: str = ""


def ask(place: PlainClamd, files: Iterable[Database], *, scans: bool) -> Running:
    """Ask clamd for its version, and let it scan the samples made of each file."""
    try:
        reply = instream.ask(place.address, "VERSION", timeout_seconds=TIMEOUT_SECONDS)
        version = _VERSION.fullmatch(reply)
        if version is None:
            return Running(problem=f"{place.address}: no clamd: it answers {reply[:100]!r}")
        seen = {one.name: _scan(place.address, one) for one in files} if scans else {}
    except UnprovenError as exc:
        return Running(problem=str(exc))
    return Running(reply, int(version["daily"] or 0), _started(place), seen)


def _scan(address: Address, file: Database) -> Seen:
    found = missed = hidden = ""
    for sample in file.samples:
        verdict, name = instream.scan(address, sample.data, timeout_seconds=TIMEOUT_SECONDS)
        if verdict is Verdict.clean:
            missed = missed or sample.name
        elif name == _reported(file, sample):
            found = found or sample.name
        else:
            hidden = hidden or sample.name
    return Seen(found, missed, hidden)


def _reported(file: Database, sample: Sample) -> str:
    official = file.signed_by or file.form in databases.CONTAINERS
    return sample.name if official else sample.name + UNOFFICIAL


def _started(place: PlainClamd) -> datetime | None:
    """Tell since when the clamd runs that listens there; None where that cannot be known."""
    listening = _listening(place.address)
    activated = _only() if listening == SYSTEMD else 0
    for pid in (listening, _written(place.pid_file), activated):
        with contextlib.suppress(OSError, ValueError, IndexError, StopIteration):
            if pid and _is_clamd(Path(f"/proc/{pid}")):
                return _start_of(pid)
    return None


def _start_of(pid: int) -> datetime:
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[_BEFORE_START]
    lines = Path("/proc/stat").read_text().splitlines()
    booted = next(int(line.split()[1]) for line in lines if line.startswith("btime "))
    return datetime.fromtimestamp(booted + int(ticks) / os.sysconf("SC_CLK_TCK"), tz=UTC)


def _listening(address: Address) -> int:
    """Ask the kernel who listens on a unix socket; under socket activation that is systemd."""
    if not address.path:
        return 0
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT_SECONDS)
        connection.connect(address.path)
        size = _CREDENTIALS.size
        told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        return int(_CREDENTIALS.unpack(told)[0])
    return 0


def _only() -> int:
    """Return the one process of this name, where there is one and no other."""
    found = [
        int(folder.name)
        for folder in Path("/proc").iterdir()
        if folder.name.isdecimal() and _is_clamd(folder)
    ]
    return found[0] if len(found) == 1 else 0


def _is_clamd(process: Path) -> bool:
    with contextlib.suppress(OSError):
        return (process / "comm").read_text() == "clamd\n"
    return False


def _written(path: Path | None) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text()[:20]) if path else 0
    return 0
