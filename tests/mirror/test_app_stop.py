"""A mirror that is told to stop."""

from pathlib import Path

import aiohttp
import pytest

from tests.mirror.clamav_scene import Scene


async def test_a_mirror_without_grace_stops_though_a_client_still_reads(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "scene", "DatabaseMirror", [])
    await scene.publish_bytecode(333)
    async with aiohttp.ClientSession() as client:
        async with scene.serving(held=True) as store:  # with shutdown_grace_seconds = 0
            answer = await client.get(f"http://{scene.address}/clamav/bytecode.cvd")
            await store.begun.wait()
        with pytest.raises(aiohttp.ClientPayloadError):  # it is told that this is not all
            await answer.read()
