"""signature-base, three genuine releases: published, served, installed, and found by YARA-X.

Mirror, updater and scanner are processes started by their commands. The releases hold indicator
lists and a LICENSE beside the rules; their rules use externals that have to be declared.
"""

import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3

from tests import short_folders
from tests.loopback import free_port
from tests.real_data import real_data
from tests.updater.yara_host import YaraHost
from tests.updater.yara_site import wait_for

CHANNEL = "signature-base"


@dataclass(frozen=True)
class Step:
    """A release, its files and rules as yara-x counts them, and a rule that is new in it."""

    date: str
    files: int
    rules: int
    new_rule: str = ""
    sample: bytes = b""


STEPS = (
    Step("2025-08-01", 718, 5807),
    Step(
        "2025-08-13",
        721,
        5813,
        "EXPL_RAR_Archive_with_Path_Traversal_Aug25",
        b"PK\x03\x04 ..//../AppData/Roaming/Microsoft/Windows/Start Menu/x.lnk",
    ),
    Step(
        "2025-10-07",
        728,
        5845,
        "MAL_JS_NPM_SupplyChain_Attack_Sep25",
        b"const _0x112fa8=_0x180f;(function(_0x13c8b9,x){})",
    ),
)


class Mirror:
    """One `sigmirror`, founded in a folder of its own and serving everybody on loopback."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{free_port()}"
        self._config = folder / "sigmirror.toml"
        self._process: subprocess.Popen[bytes] | None = None
        passphrase = folder / "passphrase"
        self("init", "--folder", str(folder), "--passphrase-file", str(passphrase))
        self._config.write_text(f"""[store]
url = "file://{folder}"
[signing]
passphrase_file = "{passphrase}"
[serve]
listen = "{self.url.removeprefix("http://")}"
metrics_listen = "127.0.0.1:{free_port()}"
access = "open"
""")

    @property
    def root(self) -> bytes:
        return (self.folder / "r/site/metadata/1.root.json").read_bytes()

    def __call__(self, *arguments: str) -> None:
        done = subprocess.run(
            self._program(*arguments), capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._program("serve"), stdout=log, stderr=log)
        wait_for(self._ready)

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait()

    def publish(self, folder: Path) -> None:
        """Publish a folder and wait until the serving process has noticed."""
        self("publish", CHANNEL, str(folder), "--engine", "yara")
        name = "r/site/metadata/timestamp.json"
        wait_for(lambda: self._get(name) == (200, (self.folder / name).read_bytes()))

    def _ready(self) -> bool:
        return self._get("readyz")[0] == 200

    def _get(self, name: str) -> tuple[int, bytes]:
        try:
            answer = urllib3.request("GET", f"{self.url}/{name}", retries=False)
        except urllib3.exceptions.HTTPError:
            return 0, b""
        return answer.status, answer.data

    def _program(self, *arguments: str) -> list[str]:
        program = [sys.executable, "-c", "from mirror.cli import main; main()"]
        return [*program, *arguments, "--config", str(self._config)]


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    real_data("yara")
    folder = tmp_path / "mirror"
    folder.mkdir()
    mirror = Mirror(folder)
    mirror.start()
    yield mirror
    mirror.stop()


@pytest.fixture
def host(mirror: Mirror) -> Iterator[YaraHost]:
    folder = short_folders.make("su-")
    host = YaraHost(folder, mirror.url, mirror.root, CHANNEL, scan_seconds=20)
    yield host
    host.end()


def unpacked(date: str, folder: Path) -> Path:
    with tarfile.open(real_data(f"yara/signature-base-{date}.tar.gz")) as archive:
        archive.extractall(folder / date, filter="data")
    return folder / date


@pytest.mark.slow
def test_each_release_of_signature_base_brings_its_new_rules_to_a_running_scanner(
    mirror: Mirror, host: YaraHost, tmp_path: Path
) -> None:
    host.start()
    for number, step in enumerate(STEPS, 1):
        mirror.publish(unpacked(step.date, tmp_path))
        before = host.finds_all(step.sample) if number > 1 else []
        expected = f"installed, generation {number} ({CHANNEL} {number}), proven"
        assert expected in host("run")
        if step.new_rule:
            assert step.new_rule not in before
            assert step.new_rule in host.finds_all(step.sample)
        in_force = json.loads(host("status", "--json"))["engines"][0]["in_force"]
        assert in_force["signatures"] == step.rules + 1, "and the marker"
        current = host.folder / "state/engines/yara/current"
        assert len(list((current / CHANNEL).rglob("*.yar*"))) == step.files
        assert not list(current.rglob("LICENSE")) + list(current.rglob("*.txt"))
    assert "kept, generation 3" in host("run")
    assert "all files are as installed" in host("verify")
