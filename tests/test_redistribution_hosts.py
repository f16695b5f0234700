"""Real clients of an open mirror that keeps a paid feed to its own hosts: processes, over HTTP."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.mirror.operator import Operator
from tests.mirror.serving import Process
from tests.plain_clients import PythonTuf, RefusedByClientError

pytestmark = pytest.mark.slow

SIGUPDATE = [sys.executable, "-c", "from updater.cli import main; main()"]
# Clients of the test come from this machine; a proxy's name makes them strangers.
SERVE = """[serve]
listen = "127.0.0.1:0"
metrics_listen = ""
trusted_proxies = ["127.0.0.1"]
"""


@dataclass
class Net:
    """A mirror with a free and a paid channel, and a host of it."""

    folder: Path
    url: str
    root: bytes
    credential: str

    def update(self, *channels: str, credential: bool = False) -> dict[str, Any]:
        """Run `sigupdate` with an engine that only keeps files; return the report."""
        host = self.folder / "host"
        host.mkdir(exist_ok=True)
        (host / "root.json").write_bytes(self.root)
        shown = f'credential_file = "{self.credential}"\n' if credential else ""
        (host / "sigupdate.toml").write_text(
            f'mirrors = ["{self.url}"]\nstate = "{host}/state"\n{shown}'
            f'[[repository]]\nname = "site"\nroot = "{host}/root.json"\n'
            f'[[engine]]\nname = "store"\nkind = "command"\nchannels = {json.dumps(channels)}\n'
            'test_command = ["true"]\nprobe_command = ["true"]\n[report]\nenabled = false\n'
        )
        words = ["run", "--json", "--config", str(host / "sigupdate.toml")]
        done = subprocess.run(
            [*SIGUPDATE, *words], capture_output=True, text=True, check=False, timeout=120
        )
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def installed(self) -> dict[str, bytes]:
        current = self.folder / "host/state/engines/store/current"
        return {path.name: path.read_bytes() for path in current.rglob("*.yar")}


@pytest.fixture
def net(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Net]:
    operator = Operator(tmp_path, capsys)
    operator.write(SERVE)
    for channel, word in (("free", "public"), ("paid", "licensed-hosts")):
        folder = tmp_path / f"in-{channel}"
        folder.mkdir()
        (folder / f"{channel}.yar").write_text(f"rule {channel} {{ condition: true }}\n")
        words = ("publish", channel, str(folder), "--redistribution", word)
        assert operator.types(*words)[0] == 0
    credential = str(tmp_path / "mx1.cred")
    assert operator.types("host", "add", "mx1", "--out", credential)[0] == 0
    root = (operator.mirror.folder / "r/site/metadata/1.root.json").read_bytes()
    with Process.started(operator.config, tmp_path / "log", command="serve") as process:
        yield Net(tmp_path, f"http://{process.address}", root, credential)


def test_a_host_without_a_credential_updates_from_public_channels(net: Net) -> None:
    assert net.update("free")["exit_code"] == 0
    assert net.installed() == {"free.yar": b"rule free { condition: true }\n"}


def test_a_paid_channel_needs_the_credential_and_stops_no_other(net: Net) -> None:
    assert net.update("free", "paid")["exit_code"] == 4
    assert net.installed().keys() == {"free.yar"}
    assert net.update("free", "paid", credential=True)["exit_code"] == 0
    assert net.installed().keys() == {"free.yar", "paid.yar"}


def test_python_tuf_reads_public_channels_and_is_refused_the_paid_file(net: Net) -> None:
    url = f"{net.url}/r/site"
    client = PythonTuf.trusting(net.root, net.folder / "tuf", url)
    assert client.read("free/files/free.yar")["free/files/free.yar"]
    with pytest.raises(RefusedByClientError, match="401"):
        client.read("paid/files/paid.yar")
