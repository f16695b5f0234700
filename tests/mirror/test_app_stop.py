"""A mirror that is told to stop, or cannot begin."""

import socket
import subprocess
from pathlib import Path

import aiohttp
import pytest

from tests.mirror.clamav_scene import Scene
from tests.mirror.operator import Operator
from tests.mirror.serving import SIGMIRROR


async def test_a_mirror_without_grace_stops_though_a_client_still_reads(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "scene", "DatabaseMirror", [])
    await scene.publish_bytecode(333)
    async with aiohttp.ClientSession() as client:
        async with scene.serving(held=True) as store:  # with shutdown_grace_seconds = 0
            answer = await client.get(f"http://{scene.address}/clamav/bytecode.cvd")
            await store.begun.wait()
        with pytest.raises(aiohttp.ClientPayloadError):  # it is told that this is not all
            await answer.read()


@pytest.mark.parametrize("taken", ["listen", "metrics_listen"])
def test_an_address_that_is_taken_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], taken: str
) -> None:
    operator = Operator(tmp_path, capsys)
    with socket.create_server(("127.0.0.1", 0)) as other:
        places = {"listen": "127.0.0.1:0", "metrics_listen": "127.0.0.1:0"}
        places[taken] = f"127.0.0.1:{other.getsockname()[1]}"
        lines = "".join(f'{name} = "{where}"\n' for name, where in places.items())
        operator.write(f"[serve]\n{lines}")
        command = [str(SIGMIRROR), "run", "--config", str(operator.config)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    *before, last = done.stderr.splitlines()  # before: what the schedule had begun with
    assert last.startswith(f"error: serve.{taken}: {places[taken]}: ")
    assert not [line for line in before if "Traceback" in line or "asyncio" in line]
