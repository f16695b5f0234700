"""Stores by operation; serving from a replica's disk; publish to proven behind a replica."""

import asyncio
import os
import secrets
import shutil
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import process
from benchmarks.definitions import write_large, write_yara
from benchmarks.row import Measured, Samples, against, lower, seconds
from benchmarks.stage import Host, Mirror, Stage, free_port, wait_for
from mirror.settings import StoreSettings
from mirror.storage import Store, open_store
from tests.mirror import object_stores
from tests.mirror.object_stores import BUCKET, KEY, SECRET, ObjectStore

PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw")
OBJECT_BYTES = 100_000
OPERATIONS = 50
SERVED_BYTES = 64_000_000
DOWNLOADS = 32  # in one sample: the system counts in hundredths of a second
REPETITIONS = 5
SIGNATURES = 1000

Operation = Callable[[Store, str, bytes], Awaitable[object]]


def measure(stage: Stage) -> Iterator[Measured]:
    """Start the object stores, and measure on each."""
    if not all(map(shutil.which, PROGRAMS)):
        print("  radosgw is not installed: apt-get install ceph-mon ceph-osd radosgw ceph-common")
        return
    os.environ.update(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET)
    folder = stage.folder / "objects"
    with object_stores.rclone() as rclone:
        stores = {"rclone": open_store(rclone.settings(folder))}
        yield from _operations(stores)
    with object_stores.radosgw() as radosgw:
        files = open_store(StoreSettings(url=f"file://{folder}/files"))
        yield from _operations(
            {"the file system": files, "radosgw": open_store(radosgw.settings(folder))}
        )
        replica = Replica.made(stage, radosgw)
        yield from _serving(stage, replica)
        yield from _proven(stage, replica)


async def _listed(store: Store, name: str, data: bytes) -> int:
    del data
    return len([found async for found in store.names(name.rpartition("/")[0])])


_OPERATIONS: dict[str, Operation] = {
    "create": lambda store, name, data: store.create(name, data),
    "stat": lambda store, name, _: store.stat(name),
    "read": lambda store, name, _: store.read(name, max_bytes=OBJECT_BYTES),
    "replace": lambda store, name, data: store.replace(name, data),
    "list 50": _listed,
    "delete": lambda store, name, _: store.delete(name),
}


def _operations(stores: dict[str, Store]) -> Iterator[Measured]:
    for place, store in stores.items():
        names = [f"r/{uuid.uuid4().hex}" for _ in range(OPERATIONS)]
        for what, operation in _OPERATIONS.items():
            taken = asyncio.run(_timed(store, operation, names))
            unit = f"ms (median of {OPERATIONS}, 100 kB)"
            row = lower(f"{what} on {place}", 1000 * statistics.median(taken), unit)
            yield Measured(row, f"{1000 * min(taken):.2f} to {1000 * max(taken):.2f} ms")


async def _timed(store: Store, operation: Operation, names: list[str]) -> list[float]:
    taken = []
    for name in names:
        data = secrets.token_bytes(OBJECT_BYTES)
        started = time.monotonic()
        await operation(store, name, data)
        taken.append(time.monotonic() - started)
    return taken


@dataclass
class Replica(Mirror):
    """A mirror in a bucket, served by another process with a cache of its own."""

    @classmethod
    def made(cls, stage: Stage, store: ObjectStore) -> "Replica":  # type: ignore[override] # founded elsewhere
        """Found one and serve it."""
        replica = cls(stage, "replica")
        passphrase = stage.folder / "replica-passphrase"
        process.run(
            "sigmirror", "init", "--folder", replica.folder, "--passphrase-file", passphrase,
            "--store", f"s3://{BUCKET}/{uuid.uuid4().hex}", "--endpoint", store.endpoint,
            "--region", "us-east-1", "--access", "open", "--config", replica.config,
            "--listen", f"127.0.0.1:{replica.port}",
        )  # fmt: skip
        text = replica.config.read_text()
        own = f'[serve]\nmetrics_listen = "127.0.0.1:{free_port()}"'
        replica.config.write_text(text.replace("[serve]", own))
        stage.start("sigmirror", "serve", "--config", replica.config, log=replica.log)
        wait_for(replica.is_ready, "the replica")
        root = process.run("curl", "-sSf", f"{replica.url}/r/site/metadata/1.root.json")
        replica.root.parent.mkdir(parents=True)
        replica.root.write_text(root.output)
        return replica


def _serving(stage: Stage, replica: Replica) -> Iterator[Measured]:
    """Download one file from both again and again; compare what it costs the servers."""
    release = stage.folder / "large"
    write_large(release, SERVED_BYTES)
    plain = Mirror.made(stage)
    servers = {plain.url: stage.servers[-1].pid, replica.url: stage.servers[-2].pid}
    for mirror in (plain, replica):
        mirror.publish("large", release)
    blob = next((plain.folder / "r/site/targets/large/files").glob("*bench.hsb"))
    path = f"r/site/targets/large/files/{blob.name}"
    for url in servers:
        wait_for(lambda u=url: _fetched(u, path), "the file to be served")  # type: ignore[misc] # a default
    taken: dict[str, list[float]] = {url: [] for url in servers}
    for _ in range(REPETITIONS):
        for url, pid in servers.items():
            before = _cpu_seconds(pid)
            process.run("curl", "-sSf", *(["-o", "/dev/null", f"{url}/{path}"] * DOWNLOADS))
            taken[url].append(_cpu_seconds(pid) - before)
    samples = Samples(taken[replica.url], taken[plain.url], "a mirror on a file system")
    name = "serving a 64 MB file from a replica's disk: CPU"
    yield against(name, samples, min, floor=1.11, goal=1.0)


def _fetched(url: str, path: str) -> bool:
    done = process.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"{url}/{path}")
    return done.output == "200"


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _proven(stage: Stage, replica: Replica) -> Iterator[Measured]:
    """Publish by one process, and prove on a host that asks another."""
    release = stage.folder / "rules"
    write_yara(release, SIGNATURES)
    replica.publish("rules", release)
    host = Host(stage, replica, "behind", "yara").make("rules")
    wait_for(lambda: _installed(host), "the first release")
    host.start_engine()
    taken = []
    for _ in range(REPETITIONS):
        sample = write_yara(release, SIGNATURES)
        started = time.monotonic()
        replica.publish("rules", release)
        while not host.finds(sample):
            host.update()
        taken.append(time.monotonic() - started)
    name = f"publish to proven behind a replica of a bucket, YARA, {SIGNATURES}"
    yield Measured(seconds(name, taken, floor=15, goal=8), f"{min(taken):.2f} to {max(taken):.2f}")


def _installed(host: Host) -> bool:
    try:
        host.update("--install-only")
    except process.FailedError:
        return False
    return True
