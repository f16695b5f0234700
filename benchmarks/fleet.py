"""Ten thousand hosts that report every five minutes, each over a connection of its own."""

import asyncio
import http.client
import os
import statistics
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import msgspec

from benchmarks.row import Measured, lower
from benchmarks.stage import Mirror, Stage
from keys.model.release import encode
from keys.model.report import ChannelRelease, EngineTold, HostReport, decode_report
from mirror.fleet.database import Database
from mirror.fleet.desk import Desk
from mirror.fleet.hosts import Host, Hosts, Token

HOSTS = 10_000
PERIOD_SECONDS = 300.0
MEASURED_SECONDS = 30.0
WORKERS = 8
TOKEN = "benchmark"  # noqa: S105 - of hosts that exist for this row only


def measure(stage: Stage) -> Iterator[Measured]:
    """Send the reports of half a minute at their rate; look at the mirror's CPU and answers."""
    mirror = Mirror(stage).founded()
    admit(mirror.folder / "state" / "hosts.json")
    stage.start("sigmirror", "serve", "--config", mirror.config, log=mirror.log)
    server = stage.servers[-1].pid
    _wait(mirror)
    count = int(HOSTS / PERIOD_SECONDS * MEASURED_SECONDS)
    asyncio.run(_remember(mirror.folder / "state" / "fleet.db", count))
    _send(mirror, 0)  # everything is loaded
    before, begun = _cpu_seconds(server), time.monotonic()
    with ThreadPoolExecutor(WORKERS) as pool:
        taken = list(pool.map(lambda n: _paced(mirror, n, begun), range(1, count + 1)))
    share = (_cpu_seconds(server) - before) / (time.monotonic() - begun)
    detail = f"{count} reports in {time.monotonic() - begun:.0f} s, median {_ms(taken, 50)} ms"
    name = f"{HOSTS} hosts reporting every {PERIOD_SECONDS:.0f} s"
    yield Measured(lower(f"{name}: mirror's share of one core", share, "cores"), detail)
    yield Measured(lower(f"{name}: answer, 99th percentile", float(_ms(taken, 99)), "ms"), detail)


def admit(path: Path) -> None:
    """Write the record of hosts."""
    now = datetime.now(UTC)
    token = Token(sha256(TOKEN.encode()).hexdigest(), now)
    hosts = {_name(number): Host(created=now, tokens=(token,)) for number in range(HOSTS)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(Hosts(hosts)))


async def _remember(path: Path, count: int) -> None:
    """Let every host that will report have reported before."""
    database = Database(f"sqlite:///{path}")
    await database.connect()
    for number in range(count + 1):
        body = _report(_name(number), 1)
        await Desk(database).take(decode_report(body, "report"), body, now=datetime.now(UTC))
    await database.close()


def _name(number: int) -> str:
    return f"mx{number:05}"


def _paced(mirror: Mirror, number: int, begun: float) -> float:
    """Send a host's report when it is due; return the seconds its answer took."""
    due = begun + number * PERIOD_SECONDS / HOSTS
    threading.Event().wait(max(0.0, due - time.monotonic()))
    return _send(mirror, number)


def _send(mirror: Mirror, number: int) -> float:
    name = _name(number)
    login = b64encode(f"{name}:{TOKEN}".encode()).decode()
    started = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", mirror.port, timeout=60)
    try:
        headers = {"Authorization": f"Basic {login}"}
        connection.request("POST", f"/v1/hosts/{name}", _report(name, 2), headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status  # noqa: S101 - a row of refusals is no row
    finally:
        connection.close()
    return time.monotonic() - started


def _report(name: str, number: int) -> bytes:
    channels = {
        channel: ChannelRelease(sequence=41, manifest_sha256="a" * 64, release="20260301")
        for channel in ("clamav", "securiteinfo", "inhouse")
    }
    engine = EngineTold(
        engine="clamd", kind="clamd", version="ClamAV 1.4.6", track="stable", outcome="kept",
        proof="proven", generation=41, channels=channels,
    )  # fmt: skip
    now = datetime.now(UTC)
    return encode(
        HostReport(
            host=name, series="aa", number=number, at=now, system="Debian 12", sigupdate="1",
            refreshed={"site": now}, engines=(engine,),
        )
    )  # fmt: skip


def _wait(mirror: Mirror) -> None:
    deadline = time.monotonic() + 60
    while not (mirror.is_ready() and (mirror.folder / "state" / "fleet.db").exists()):
        assert time.monotonic() < deadline, "the mirror did not come up"  # noqa: S101
        time.sleep(0.05)
    time.sleep(1)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _ms(taken: list[float], percent: int) -> str:
    cuts = statistics.quantiles(taken, n=100)
    return f"{1000 * cuts[percent - 1]:.1f}"
