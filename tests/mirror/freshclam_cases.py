"""What freshclam does with every answer of a mirror: a real client, a real mirror, on loopback.

``python -m tests.mirror.freshclam_cases`` runs every case and prints the table of
docs/clients.md; the tests compare each row with that page.
"""

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from structlog.testing import capture_logs

from keys.credentials import Secret
from mirror.app import running
from mirror.fleet.hosts import Hosts
from mirror.fleet.ledger import customers_file, hosts_file
from mirror.inforce import InForce
from mirror.storage import FilesystemStore
from mirror.web.errors import RETRY_SECONDS
from tests.mirror.clamav_vendor import CHANNEL, brought, bytecode, genuine
from tests.mirror.cvdupdate_client import MODE, CvdUpdate
from tests.mirror.freshclam import MODES, Freshclam, detects
from tests.mirror.site import BY, Mirror
from tests.mirror.web_site import PASSWORD, customers, licence

Case = Callable[["Scene"], Awaitable[None]]
CASES: dict[str, Case] = {}
CLIENTS = (*MODES, MODE)
MAX_ATTEMPTS = 5
HEADINGS = ("case", "client", "requests seen", "version", "exit", "EICAR found")


def case(name: str) -> Callable[[Case], Case]:
    """Put a case into the table; its row tells of its last run of freshclam."""

    def add(function: Case) -> Case:
        CASES[name] = function
        return function

    return add


def heading() -> str:
    """Write the table's head."""
    return f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}"


@dataclass(frozen=True, slots=True)
class Row:
    """What was seen of one case."""

    case: str
    mode: str
    requests: tuple[str, ...]
    version: int | None
    exit_code: int
    detects: bool

    def line(self) -> str:
        """Write it as a row of the table."""
        cells = (
            self.case,
            self.mode,
            ", ".join(self.requests) or "none",
            str(self.version or "none"),
            str(self.exit_code),
            "yes" if self.detects else "no",
        )
        return f"| {' | '.join(cells)} |"


class TooSlowError(Exception):
    """This machine took longer than the case allows."""


class HeldStore(FilesystemStore):
    """Stops after the first piece of a large object until it is let go."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.begun, self.let_go = asyncio.Event(), asyncio.Event()

    async def local_path(self, name: str) -> Path | None:
        """Have no files, so that every byte passes here."""
        await super().local_path(name)
        return None

    async def chunks(self, name: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Send the first half, and the other when it may."""
        if stop - start <= 512:
            async for data in super().chunks(name, start, stop):
                yield data
            return
        middle = (start + stop) // 2
        async for data in super().chunks(name, start, middle):
            yield data
        self.begun.set()
        await self.let_go.wait()
        async for data in super().chunks(name, middle, stop):
            yield data


@dataclass
class Scene:
    """One mirror with what the vendor published, and one client of it, by its name."""

    folder: Path
    mode: str
    logs: list[MutableMapping[str, Any]]
    access: str = "open"
    credential: str = ""
    exit_code: int = -1
    requests: tuple[str, ...] = ()
    address: str = "127.0.0.1:0"
    limits: str = ""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    client: Freshclam | CvdUpdate = field(init=False)
    mirror: Mirror = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        folder = self.folder / "client"
        self.client = CvdUpdate(folder) if self.mode == MODE else Freshclam(folder, self.mode)
        self.mirror = Mirror.found(self.folder / "mirror", now=self.now - timedelta(days=30))

    async def publish(self, version: int, *, days_ago: int = 1, **how: Any) -> None:
        """Have a version of the vendor's, since some days."""
        folder = self.folder / f"brought-{len(list(self.folder.iterdir()))}"
        await self._release(brought(folder, version, **how), days_ago)
        signed = (self.now - timedelta(days=days_ago)).timestamp()
        for path in (self.mirror.folder / "r/site/metadata").glob(f"*.{CHANNEL}.json"):
            os.utime(path, (signed, signed))

    async def publish_bytecode(self, version: int) -> None:
        """Have a database large enough that a client can be cut off in it."""
        folder = self.folder / f"brought-{len(list(self.folder.iterdir()))}"
        await self._release(bytecode(folder, version), 0)

    async def _release(self, candidate: Any, days_ago: int) -> None:
        await self.mirror.publishing().release(
            candidate, channel=CHANNEL if candidate.release.startswith("test") else "bytecode",
            track="stable", by=BY, now=self.now - timedelta(days=days_ago),
        )  # fmt: skip

    @contextlib.asynccontextmanager
    async def serving(self, *, held: bool = False) -> AsyncIterator[HeldStore]:
        """Run the mirror for the length of the block; ``held`` stops it in large objects."""
        config = self.folder / "sigmirror.toml"
        config.write_text(
            f'[store]\nurl = "file://{self.mirror.folder}"\n'
            f'[serve]\nlisten = "{self.address}"\nmetrics_listen = ""\naccess = "{self.access}"\n'
            f"shutdown_grace_seconds = 0\n{self.limits}\n"
        )
        in_force = await InForce.start(config, signs=False, clock=lambda: datetime.now(UTC))
        store = HeldStore(self.mirror.folder)
        if held:
            in_force.repositories = replace(in_force.repositories, store=store)
        async with running(in_force) as (self.address, _):
            yield store

    async def update(self) -> None:
        """Run freshclam once; note what it asked for and how it ended."""
        already = len(self.logs)
        credential = f"{self.credential}@" if self.credential else ""
        self.exit_code = await self.client.run(f"http://{credential}{self.address}")
        seen = self.logs[already:]
        self.requests = tuple(_request(event) for event in seen if event["event"] == "request")

    async def row(self, name: str) -> Row:
        """Tell what was seen."""
        return Row(
            name, self.mode, self.requests, self.client.version, self.exit_code,
            await detects(self.client.databases),
        )  # fmt: skip


def _request(event: Mapping[str, Any]) -> str:
    name, status = event["path"].removeprefix("/clamav/"), event["status"]
    if event.get("cut"):
        return f"{name} cut off"
    empty = " empty" if status == 200 and not event["bytes"] else ""
    return f"{name} {status}{empty}"


async def measure(name: str, mode: str, folder: Path) -> Row:
    """Run one case."""
    for attempt in range(MAX_ATTEMPTS):
        with capture_logs() as logs, contextlib.suppress(TooSlowError):
            scene = Scene(folder / str(attempt), mode, logs)
            await CASES[name](scene)
            return await scene.row(name)
    raise TooSlowError


@case("first load")
async def first_load(scene: Scene) -> None:
    await scene.publish(3)
    async with scene.serving():
        await scene.update()


@case("no change")
async def no_change(scene: Scene) -> None:
    await scene.publish(3)
    async with scene.serving():
        await scene.update()
        await scene.update()


@case("one step")
async def one_step(scene: Scene) -> None:
    scene.client.hold(genuine("test-2.cvd"))
    await scene.publish(3)
    async with scene.serving():
        await scene.update()


@case("two steps at once")
async def two_steps(scene: Scene) -> None:
    scene.client.hold(genuine("test-1.cvd"))
    await scene.publish(3)
    async with scene.serving():
        await scene.update()


@case("gap: no cdiff to 2")
async def gap(scene: Scene) -> None:
    scene.client.hold(genuine("test-1.cvd"))
    await scene.publish(3, lost=[2])
    async with scene.serving():
        await scene.update()


@case("lost cdiff, one behind")
async def lost_cdiff(scene: Scene) -> None:
    scene.client.hold(genuine("test-2.cvd"))
    await scene.publish(3, lost=[3])
    async with scene.serving():
        await scene.update()


@case("released while it runs")
async def released_under_way(scene: Scene) -> None:
    await scene.publish(2)
    async with scene.serving():
        await scene.update()
        await scene.publish(3, days_ago=0)
        await asyncio.sleep(1)  # it is noticed within half of that
        await scene.update()


@case("release taken back")
async def taken_back(scene: Scene) -> None:
    await scene.publish(2, days_ago=2)
    await scene.publish(3)
    async with scene.serving():
        await scene.update()
        by, now = BY, datetime.now(UTC)
        await scene.mirror.publishing().point(CHANNEL, "stable", 1, by=by, now=now)
        await asyncio.sleep(1)  # it is noticed within half of that
        await scene.update()


@case("mirror restarted in mid-download")
async def restarted(scene: Scene) -> None:
    scene.client = replace(scene.client, database="bytecode")
    await scene.publish_bytecode(333)
    async with contextlib.AsyncExitStack() as first:
        store = await first.enter_async_context(scene.serving(held=True))
        run = asyncio.create_task(scene.update())
        await store.begun.wait()
        await first.aclose()  # the client has half a database
        scene.logs.append(
            {"event": "request", "path": "bytecode.cvd", "status": 200, "bytes": 0, "cut": True}
        )
        async with scene.serving():
            await run


@case("licence ended: first load")
async def licence_ended(scene: Scene) -> None:
    await _licensed(scene, covers=2)
    async with scene.serving():
        await scene.update()


@case("licence ended: holds what it covers")
async def licence_ended_no_change(scene: Scene) -> None:
    await _licensed(scene, covers=2)
    async with scene.serving():
        await scene.update()
        await scene.update()


@case("licence covers nothing")
async def licence_covers_nothing(scene: Scene) -> None:
    scene.client.hold(genuine("test-2.cvd"))
    await _licensed(scene, covers=0)
    async with scene.serving():
        await scene.update()


async def _licensed(scene: Scene, *, covers: int) -> None:
    """Have versions 2 and 3, ten days apart, and a customer whose licence covers up to one."""
    ends = scene.now.date() - timedelta(days={2: 5, 0: 20}[covers])
    customer = licence(
        "mx1", ends, starts_on=date(ends.year - 1, 1, 1), feeds=(CHANNEL,), issued_at=scene.now
    )
    records = customers_file(scene.mirror.folder)
    with records.changing():
        records.write(customers({"mx1": customer}))
    scene.access, scene.credential = "licences", f"mx1:{_url(PASSWORD)}"
    await scene.publish(2, days_ago=10)
    await scene.publish(3)


def _url(password: Secret) -> str:
    return password.reveal().replace(" ", "%20")


@case("wrong credential")
async def wrong_credential(scene: Scene) -> None:
    scene.client.hold(genuine("test-2.cvd"))
    await _host(scene)
    scene.credential = "mx1:wrong"
    await scene.publish(3)
    async with scene.serving():
        await scene.update()


@case("right credential at the next run")
async def right_credential(scene: Scene) -> None:
    scene.client.hold(genuine("test-2.cvd"))
    right = await _host(scene)
    await scene.publish(3)
    async with scene.serving():
        scene.credential = "mx1:wrong"
        await scene.update()
        scene.credential = right
        await scene.update()


async def _host(scene: Scene) -> str:
    hosts, token = Hosts().add("mx1", now=scene.now)
    records = hosts_file(scene.mirror.folder)
    with records.changing():
        records.write(hosts)
    scene.access = "hosts"
    return f"mx1:{token.reveal()}"


@case("load shedding")
async def load_shedding(scene: Scene) -> None:
    await _shed(scene)


@case("next run, within Retry-After")
async def within_retry_after(scene: Scene) -> None:
    await _shed(scene)
    sent_away = asyncio.get_running_loop().time()
    async with scene.serving():
        await scene.update()
    if asyncio.get_running_loop().time() - sent_away > RETRY_SECONDS - 1:
        raise TooSlowError


@case("next run, after Retry-After")
async def after_retry_after(scene: Scene) -> None:
    await _shed(scene)
    await asyncio.sleep(RETRY_SECONDS + 1)
    async with scene.serving():
        await scene.update()


async def _shed(scene: Scene) -> None:
    """Run freshclam while somebody else takes all there is."""
    scene.client.hold(genuine("test-2.cvd"))
    scene.limits = "max_requests_in_flight = 1"
    await scene.publish(3)
    await scene.publish_bytecode(333)
    async with (
        scene.serving(held=True) as store,
        aiohttp.ClientSession() as other,
        other.get(f"http://{scene.address}/clamav/bytecode.cvd"),
    ):
        await store.begun.wait()
        await scene.update()
    scene.limits = ""


async def _table() -> None:
    print(heading())
    for name in CASES:
        for mode in CLIENTS if not sys.argv[1:] or name in sys.argv[1:] else ():
            with tempfile.TemporaryDirectory(prefix="freshclam-") as folder:
                print((await measure(name, mode, Path(folder))).line(), flush=True)


if __name__ == "__main__":
    asyncio.run(_table())
