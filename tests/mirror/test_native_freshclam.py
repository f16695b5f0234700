"""Debian's freshclam against a running mirror: each row of docs/clients.md, seen again."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from tests.mirror.clamav_scene import CLIENTS, Scene, heading
from tests.mirror.freshclam import Freshclam, detects, need_freshclam
from tests.mirror.freshclam_cases import CASES, measure
from tests.mirror.site import BY, candidate
from tests.samples import Sample

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


async def test_text_definitions_behind_a_custom_url_follow_each_release(tmp_path: Path) -> None:
    need_freshclam()
    scene = Scene(tmp_path / "scene", "DatabaseCustomURL", [])
    scene.client = Freshclam(
        tmp_path / "scene/client", scene.mode, custom="/files/inhouse/latest/samples.ndb"
    )
    samples = [Sample.fresh(f"Sample-{number}") for number in range(3)]
    async with contextlib.AsyncExitStack() as serving:
        for number, sample in enumerate(samples):
            folder = tmp_path / f"release-{number}"
            await scene.mirror.publishing().release(
                candidate(folder, {"samples.ndb": sample.ndb().encode()}),
                channel="inhouse", track="stable", by=BY, now=scene.now,
            )  # fmt: skip
            if number == 0:
                await serving.enter_async_context(scene.serving())
            await asyncio.sleep(1)  # freshclam asks for what is newer by whole seconds
            await scene.noticed()
            await scene.update()
            assert scene.exit_code == 0
            found = [await detects(scene.client.databases, one.data) for one in samples]
            assert found == [one is sample for one in samples]
