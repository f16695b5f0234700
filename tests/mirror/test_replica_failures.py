"""Two replicas and a puller over one bucket, while everything fails in turn.

Clients that never stop asking count what becomes of each request; three hosts with YARA scanners
follow every release. The store is down for ten seconds here, not for a minute.
"""

import contextlib
import hashlib
import http.client
import os
import ssl
import subprocess
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from tests.clocks import faketime, moved
from tests.mirror import postgres
from tests.mirror.object_stores import ObjectStore
from tests.mirror.replica_site import Host, Replica, ReplicaSite
from tests.mirror.serving import wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
]

DOWN_SECONDS = 10.0
AHEAD = "+10m"
CACHE_BYTES = 4 << 20


@dataclass
class Load:
    """A client that asks one replica after the other until each request is answered."""

    site: ReplicaSite
    credential: str
    sent: int = 0
    answered: int = 0
    refused: int = 0  # 429 or 503, and tried again
    unheard: int = 0  # no connection, or a cut one, and tried again
    wrong: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def running(self) -> Iterator["Load"]:
        thread = threading.Thread(target=self._ask)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def _ask(self) -> None:
        while not self._stop.wait(0.05):
            names = ["metadata/timestamp.json", *self.site.blobs]
            name = names[self.sent % len(names)]
            self.sent += 1
            while not self._once(name):
                time.sleep(0.05)
            self.answered += 1

    def _once(self, name: str) -> bool:
        replica = self.site.replicas[(self.sent + self.refused + self.unheard) % 2]
        context = ssl.create_default_context(cafile=str(self.site.folder / "ca.pem"))
        address = f"127.0.0.1:{replica.port}"
        connection = http.client.HTTPSConnection(address, context=context, timeout=30)
        try:
            login = b64encode(self.credential.encode()).decode()
            connection.request(
                "GET", f"/r/site/{name}", headers={"Authorization": f"Basic {login}"}
            )
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException):
            self.unheard += 1
            return False
        finally:
            connection.close()
        if answer.status in {429, 503}:
            self.refused += 1
            return False
        sha256 = hashlib.sha256(data).hexdigest()
        if answer.status != 200 or ("targets/" in name and sha256 not in name):
            self.wrong.append(f"{answer.status} {name}")
        return True


@dataclass
class Trial:
    """What is done to the site, and that every host is proven on the newest release after it."""

    site: ReplicaSite
    hosts: list[Host]
    runs: int = 0
    unproven: list[str] = field(default_factory=list)

    def settle(self, what: str) -> None:
        """Let every host run until it is proven on the newest release."""
        number = self.site.releases
        for host in self.hosts:
            wait_for(partial(self.is_at, host, number), f"{host.name} after: {what}")
        print(f"{what}: release {number} proven on {len(self.hosts)} hosts")

    def is_at(self, host: Host, number: int) -> bool:
        return self.run(host) == number

    def run(self, host: Host) -> int:
        """Let a host run once; return the release that it is proven on."""
        self.runs += 1
        report = host.run()
        if [engine["proof"] for engine in report["engines"]] != ["proven"]:
            self.unproven.append(f"{host.name}: {report}")
            return 0
        engine = report["engines"][0]
        return int(engine["releases"]["inhouse"]["sequence"])

    def kill(self, replica: Replica) -> None:
        replica.kill()
        self.site.publish()
        self.settle(f"replica {replica.name} killed")
        replica.start()

    def kill_puller(self) -> None:
        last = self.site.releases
        for after in (3, 9):
            self.site.publish_and_die(after=after)
            self.site.releases = last
            assert {self.run(host) for host in self.hosts} <= {last, last + 1}
        self.site.sigmirror("publish", "inhouse", self.site.release())
        self.site.releases = self.site.newest()
        self.settle("puller killed in mid-publish")

    def take_the_store_away(self) -> None:
        here, there = self.site.replicas
        self.site.tap.off()
        ends = time.monotonic() + DOWN_SECONDS
        here.kill()
        here.start()  # with what it kept
        answers = 'sigmirror_store_reachable{repository="site"}'
        wait_for(lambda: here.running.metrics()[answers] == 0, "the replica to notice")
        self.settle("store down")
        while time.monotonic() < ends:
            self.run(self.hosts[0])
        assert not there.running.ended
        self.site.tap.on()
        self.site.publish()
        self.settle("store back")

    def put_a_clock_forward(self) -> None:
        replica = self.site.replicas[1]
        replica.stop()
        replica.start(*moved(AHEAD))
        self.site.publish()
        self.settle("one clock 10 minutes ahead")

    def swap_the_certificate(self) -> None:
        self.site.new_certificate(2)
        for replica in self.site.replicas:
            swapped = partial(replica.running.told, "reloaded", what="certificate")
            wait_for(swapped, "the new certificate")
        self.site.publish()
        self.settle("certificate swapped")

    def fill_the_disk(self, disk: Path) -> None:
        with contextlib.suppress(OSError), (disk / "full").open("wb") as file:
            while True:
                file.write(b"x" * 4096)
        self.site.publish()
        self.settle("cache disk full")
        metrics = self.site.replicas[0].running.metrics()
        assert metrics['sigmirror_cache_requests_total{outcome="passed"}'] > 0


@pytest.fixture
def database() -> Iterator[str]:
    with postgres.running() as url:
        yield url


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system, where mounting is permitted; else a plain folder."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        yield folder
        return
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_whatever_fails_every_request_is_answered_and_every_host_stays_proven(
    radosgw: ObjectStore, database: str, disk: Path
) -> None:
    faketime()
    settings = f"cache_max_bytes = {CACHE_BYTES}\n"
    with ReplicaSite.founded(radosgw, database, store_settings=settings) as site:
        site.publish()
        here, there = site.replica("here", cache=disk / "cache"), site.replica("there")
        hosts = [
            site.host("mx1", here, there),
            site.host("mx2", there, here),
            site.host("mx3", here, there),
        ]
        trial = Trial(site, hosts)
        for host in hosts:
            host.start_engine()
            wait_for(host.is_admitted, f"{host.name} to be admitted")
        with Load(site, (hosts[0].folder / "cred").read_text().strip()).running() as load:
            trial.settle("nothing")
            trial.kill(here)
            trial.kill(there)
            trial.kill_puller()
            trial.take_the_store_away()
            trial.put_a_clock_forward()
            trial.swap_the_certificate()
            if disk.is_mount():
                trial.fill_the_disk(disk)
            else:
                print("only root may mount a small file system: no full disk")
        print(
            f"requests sent {load.sent} = answered {load.answered}; tried again: "
            f"{load.refused} after 429 or 503, {load.unheard} without an answer; "
            f"wrong bytes {len(load.wrong)}; runs {trial.runs}, unproven {len(trial.unproven)}"
        )
        assert (load.sent, load.wrong) == (load.answered, [])
        assert load.answered > 100
        assert trial.unproven == []
