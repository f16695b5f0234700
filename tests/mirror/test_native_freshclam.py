"""Debian's freshclam against a running mirror: each row of docs/clients.md, seen again."""

from pathlib import Path

import pytest

from tests.mirror.freshclam import need_freshclam
from tests.mirror.freshclam_cases import CASES, CLIENTS, heading, measure

DOCUMENT = Path(__file__).parents[2] / "docs/clients.md"


def told() -> list[str]:
    return DOCUMENT.read_text().partition(heading())[2].partition("\n\n")[0].strip().splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("mode", CLIENTS)
@pytest.mark.parametrize("name", CASES)
async def test_freshclam_does_what_the_page_tells(name: str, mode: str, tmp_path: Path) -> None:
    need_freshclam()
    row = await measure(name, mode, tmp_path)
    assert row.line() in told()


def test_the_page_tells_every_case_once() -> None:
    rows = [line.split(" | ")[:2] for line in told()]
    assert rows == [[f"| {name}", mode] for name in CASES for mode in CLIENTS]


@pytest.mark.parametrize("mode", CLIENTS)
@pytest.mark.parametrize("name", ["lost cdiff, one behind", "gap: no cdiff to 2"])
async def test_a_client_that_misses_a_patch_ends_on_the_new_version(
    name: str, mode: str, tmp_path: Path
) -> None:
    need_freshclam()
    row = await measure(name, mode, tmp_path)
    assert (row.version, row.exit_code, row.detects) == (3, 0, True)
