"""From the vendor's server to a scanning engine: one database, release by release."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.keys.signing_site import PASSPHRASE
from tests.mirror.clamav_vendor_server import ClamavServer, in_background
from tests.mirror.serving import SIGMIRROR, Process, wait_until_served
from tests.mirror.site import Mirror
from tests.real_data import real_data
from tests.updater.clamd_process import Clamd, need_clamd, short_folder

EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
SIGUPDATE = SIGMIRROR.with_name("sigupdate")


class Chain:
    """A vendor, a mirror and a host with a real clamd."""

    def __init__(self, folder: Path, server: ClamavServer) -> None:
        self.folder = folder
        self.server = server
        self.mirror = Mirror.found(folder / "mirror", now=datetime.now(UTC))
        self.mirror_config = folder / "sigmirror.toml"
        (folder / "passphrase").write_text(PASSPHRASE.reveal())
        self.mirror_config.write_text(f"""
[store]
url = "file://{self.mirror.folder}"
[signing]
passphrase_file = "{folder}/passphrase"
[serve]
listen = "127.0.0.1:0"
metrics_listen = "127.0.0.1:0"
[[upstream]]
name = "official"
kind = "clamav"
channel = "clamav"
engine = "clamd"
url = "{server.url}"
databases = ["test", "bytecode"]
""")
        self.config = folder / "sigupdate.toml"
        self.state = folder / "state"
        self.clamd = Clamd(folder, self.state / "engines/clamd/current")

    def write_host(self, address: str) -> None:
        self.url = f"http://{address}"
        root = self.mirror.folder / "r/site/metadata/1.root.json"
        (self.folder / "root.json").write_bytes(root.read_bytes())
        self.config.write_text(f"""
mirrors = ["http://{address}"]
state = "{self.state}"
[[repository]]
name = "site"
root = "{self.folder}/root.json"
[[engine]]
name = "clamd"
kind = "clamd"
socket = "{self.clamd.socket}"
channels = ["clamav"]
reload_timeout_seconds = 60
memory_per_definition_byte = 0
""")

    def pull(self) -> dict[str, object]:
        told = run(SIGMIRROR, "pull", "official", "--json", "--config", self.mirror_config)
        result: dict[str, object] = json.loads(told)["pulls"][0]
        return result

    def update(self, *, code: int = 0) -> None:
        wait_until_served(self.url, self.mirror.folder / "r/site")
        run(SIGUPDATE, "run", "--config", self.config, code=code)


def run(*words: object, code: int = 0) -> str:
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture
def chain() -> Iterator[Chain]:
    need_clamd()
    with in_background(ClamavServer()) as server, short_folder() as folder:
        yield Chain(folder, server)


@pytest.mark.slow
def test_genuine_databases_arrive_in_clamd_as_official_ones(chain: Chain) -> None:
    """Three releases of the vendor's: mirrored, signed, installed, proven in the engine."""
    bytecode = real_data("clamav/bytecode/bytecode-268.cvd")  # the first two of test hold nothing
    chain.server.files["bytecode.cvd"] = bytecode.read_bytes()
    chain.server.genuine(1)
    assert chain.pull()["release"] == "test-1-bytecode-268"
    with Process.started(chain.mirror_config, chain.folder / "mirror.log", command="serve") as it:
        chain.write_host(it.address)
        chain.update(code=6)
        chain.clamd.start()
        try:
            follow(chain)
            for name in ("test.cvd", "test-3.cdiff", "test-3.cvd.sign"):
                with urllib.request.urlopen(f"http://{it.address}/clamav/{name}") as answer:
                    assert answer.read() == chain.server.files[name]
        finally:
            chain.clamd.stop()


def follow(chain: Chain) -> None:
    for version in (2, 3):
        chain.server.genuine(version)
        pulled = chain.pull()
        assert (pulled["outcome"], pulled["release"]) == (
            "published",
            f"test-{version}-bytecode-268",
        )
        chain.update()
    assert chain.clamd.found(EICAR) == "Eicar-Test-Signature", "not UNOFFICIAL"
    chain.server.forget()
    unchanged = chain.pull()
    assert (unchanged["outcome"], unchanged["requests"], unchanged["received_bytes"]) == (
        "unchanged", 2, 0,
    )  # fmt: skip
    chain.update()
    databases = chain.state / "engines/clamd/current"
    assert {path.name for path in databases.glob("*.c[lv]d")} == {"bytecode.cld", "test.cld"}
    sample = chain.folder / "sample"
    sample.write_bytes(EICAR)
    official = ("clamscan", "--official-db-only=yes", f"--database={databases}", sample)
    assert "Eicar-Test-Signature FOUND" in run(*official, code=1)
