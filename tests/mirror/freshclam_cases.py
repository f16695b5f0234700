"""What freshclam does with every answer of a mirror: a real client, a real mirror, on loopback.

``python -m tests.mirror.freshclam_cases`` runs every case and prints the table of
docs/clients.md; the tests compare each row with that page.
"""

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import aiohttp
from structlog.testing import capture_logs

from keys.credentials import Secret
from mirror.fleet.hosts import Hosts
from mirror.fleet.ledger import customers_file, hosts_file
from mirror.web.errors import RETRY_SECONDS
from tests.mirror.clamav_scene import CLIENTS, Row, Scene, TooSlowError, heading
from tests.mirror.clamav_vendor import CHANNEL, genuine
from tests.mirror.site import BY
from tests.mirror.web_site import PASSWORD, customers, licence

Case = Callable[["Scene"], Awaitable[None]]
CASES: dict[str, Case] = {}
MAX_ATTEMPTS = 5


def case(name: str) -> Callable[[Case], Case]:
    """Put a case into the table; its row tells of its last run of freshclam."""

    def add(function: Case) -> Case:
        CASES[name] = function
        return function

    return add


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
        await scene.noticed()
        await scene.update()


@case("release taken back")
async def taken_back(scene: Scene) -> None:
    await scene.publish(2, days_ago=2)
    await scene.publish(3)
    async with scene.serving():
        await scene.update()
        by, now = BY, datetime.now(UTC)
        await scene.mirror.publishing().point(CHANNEL, "stable", 1, by=by, now=now)
        await scene.noticed()
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
