"""How much memory a second engine needs, and whether this host has it free."""

from collections.abc import Mapping
from pathlib import Path

from keys.errors import HostError
from updater.engines.databases import LOADED, extension

MEMINFO = Path("/proc/meminfo")
GROUP = Path("/sys/fs/cgroup")  # a container's own, in version 2
COMPRESSED = 4.0  # a .cvd unpacks to about this many times its size
_COMPRESSED_FORMS = frozenset({".cvd", ".cud"})


def needed_bytes(sizes: Mapping[str, int], per_byte: float) -> int:
    """Estimate the memory one engine takes for these files."""
    weighed = sum(
        size * (COMPRESSED if extension(name) in _COMPRESSED_FORMS else 1.0)
        for name, size in sizes.items()
        if extension(name) in LOADED
    )
    return int(weighed * per_byte)


def available_bytes(meminfo: str) -> int | None:
    """Read how much memory programs can still take, or None where the kernel does not say."""
    for line in meminfo.splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return None


def group_bytes(limit: str, used: str, statistics: str) -> int | None:
    """Read how much memory this process' group may still take, or None where it has no limit.

    Cached files count as free, as the kernel frees them first.
    """
    if not limit.strip().isdecimal():
        return None
    cached = dict(line.split(maxsplit=1) for line in statistics.splitlines() if " " in line)
    return int(limit) - int(used) + int(cached.get("inactive_file", 0))


def check(needed: int, available: int | None) -> None:
    """Refuse to load a second engine that does not fit.

    Raises:
        HostError: less memory is available than needed.

    """
    if available is not None and available < needed:
        raise HostError(
            f"{available >> 20} MiB of memory available, "
            f"about {needed >> 20} MiB needed to load a second engine",
            hint="add memory, or lower memory_per_definition_byte for this engine (0: no check)",
        )


def read_available(meminfo: Path = MEMINFO, group: Path = GROUP) -> int | None:
    """Ask the kernel: the less of what the machine and a container's limit leave."""
    found = [number for number in (_machine(meminfo), _group(group)) if number is not None]
    return min(found, default=None)


def _machine(meminfo: Path) -> int | None:
    try:
        return available_bytes(meminfo.read_text("ascii"))
    except OSError:
        return None


def _group(group: Path) -> int | None:
    try:
        limit, used, statistics = (
            (group / name).read_text("ascii")
            for name in ("memory.max", "memory.current", "memory.stat")
        )
    except OSError:
        return None
    return group_bytes(limit, used, statistics)
