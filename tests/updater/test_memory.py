"""How much memory a loader test may take: the machine's, or what a container's limit leaves."""

from pathlib import Path

import pytest

from updater.engines import memory

MIB = 1 << 20


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """Lay out what the kernel says of a machine with 800 MiB to give."""
    (tmp_path / "meminfo").write_text("MemTotal: 1048576 kB\nMemAvailable:  819200 kB\n")
    (tmp_path / "group").mkdir()
    return tmp_path


def limited(kernel: Path, limit: str, *, used: int, cached: int = 0) -> int | None:
    group = kernel / "group"
    (group / "memory.max").write_text(f"{limit}\n")
    (group / "memory.current").write_text(f"{used}\n")
    (group / "memory.stat").write_text(f"anon 1\ninactive_file {cached}\nactive_file 7\n")
    return memory.read_available(kernel / "meminfo", group)


def test_a_containers_limit_counts_where_it_leaves_less_than_the_machine(kernel: Path) -> None:
    assert limited(kernel, str(512 * MIB), used=100 * MIB) == 412 * MIB
    assert limited(kernel, str(512 * MIB), used=500 * MIB, cached=300 * MIB) == 312 * MIB
    assert limited(kernel, str(4096 * MIB), used=100 * MIB) == 800 * MIB


def test_without_a_limit_the_machine_counts(kernel: Path) -> None:
    assert limited(kernel, "max", used=100 * MIB) == 800 * MIB
    assert memory.read_available(kernel / "meminfo", kernel / "none") == 800 * MIB


def test_where_the_kernel_says_nothing_nothing_is_known(kernel: Path) -> None:
    assert memory.read_available(kernel / "none", kernel / "none") is None
