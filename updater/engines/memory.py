"""How much memory a second engine needs, and whether this host has it free."""

from collections.abc import Mapping
from pathlib import Path

from keys.errors import HostError
from updater.engines.databases import LOADED, extension

MEMINFO = Path("/proc/meminfo")
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


def read_available() -> int | None:
    """Ask the kernel."""
    try:
        return available_bytes(MEMINFO.read_text("ascii"))
    except OSError:
        return None
