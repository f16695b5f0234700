"""A replica whose store is somewhere else: what it knows goes on being served."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from pytest_aiohttp import AiohttpClient

from mirror.web.cache.store import CachedStore
from mirror.web.gauges import Facts
from mirror.web.metrics import Metrics
from mirror.web.service import Service
from tests.mirror.faulty_store import FaultyStore
from tests.mirror.site import NOW
from tests.mirror.test_cache import MANY
from tests.mirror.web_site import Browser, WebSite, blob_url

RULE, OTHER = b"rule a { condition: false }\n", b"rule b { condition: false }\n"
BIG = bytes(range(256)) * 8192


class Replica(WebSite):
    """A mirror's repository, copied into a store that can fall silent."""

    def restart(self) -> None:
        """Be another process on the same disk."""
        assert isinstance(self.store, FaultyStore)
        self.keeper = CachedStore(self.store, self.folder / "cache", max_bytes=MANY)

    async def copy(self) -> None:
        """Bring what was published to the store."""
        assert self.store is not None
        async for name in self.mirror.store.names("r"):
            data = await self.mirror.store.read(name, max_bytes=MANY)
            if name.endswith("/timestamp.json"):
                await self.store.replace(name, data)
            elif await self.store.stat(name) is None:
                await self.store.create(name, data)

    @property
    def outage(self) -> FaultyStore:
        assert isinstance(self.store, FaultyStore)
        return self.store


@pytest.fixture
async def replica(tmp_path: Path) -> Replica:
    replica = Replica(tmp_path, FaultyStore())
    await replica.publish({"a.yar": RULE, "big.bin": BIG})
    await replica.copy()
    replica.restart()
    return replica


async def _status(client: Browser, url: str) -> int:
    async with client.get(url) as answer:
        await answer.read()
        return answer.status


async def test_a_replica_sends_what_the_store_holds(
    replica: Replica, aiohttp_client: AiohttpClient
) -> None:
    client = await aiohttp_client(await replica.application())
    for name, data in (("a.yar", RULE), ("big.bin", BIG)):
        async with client.get(blob_url(name, data)) as answer:
            assert await answer.read() == data
        async with client.get(blob_url(name, data), headers={"Range": "bytes=3-5"}) as answer:
            assert (answer.status, await answer.read()) == (206, data[3:6])


async def test_without_its_store_a_replica_sends_what_it_has(
    replica: Replica, aiohttp_client: AiohttpClient
) -> None:
    client = await aiohttp_client(await replica.application())
    assert await _status(client, blob_url("big.bin", BIG)) == 200
    replica.outage.is_silent = True
    await replica.site.refresh()
    for url, status in (
        ("/r/site/metadata/timestamp.json", 200),
        ("/r/site/metadata/1.root.json", 200),
        ("/r/site/metadata/2.root.json", 404),  # as far as anybody here knows
        ("/r/site/metadata/3.root.json", 503),
        (blob_url("big.bin", BIG), 200),
        (blob_url("a.yar", RULE), 503),  # nobody asked for it yet
        ("/healthz", 200),
    ):
        assert await _status(client, url) == status, url
    async with client.get(blob_url("a.yar", RULE)) as answer:
        assert answer.headers["Retry-After"] == "5"
    async with client.get("/readyz") as answer:
        assert (answer.status, (await answer.json())["status"]) == (200, "degraded")
    replica.outage.is_silent = False
    await replica.site.refresh()
    assert await _status(client, blob_url("a.yar", RULE)) == 200
    async with client.get("/readyz") as answer:
        assert (await answer.json())["status"] == "ok"


async def test_a_replica_that_starts_without_its_store_serves_what_it_had(
    replica: Replica, aiohttp_client: AiohttpClient
) -> None:
    client = await aiohttp_client(await replica.application())
    assert await _status(client, blob_url("big.bin", BIG)) == 200
    version = replica.site.snapshot.version if replica.site.snapshot else 0
    replica.outage.is_silent = True
    replica.restart()
    client = await aiohttp_client(await replica.application())
    async with client.get("/readyz") as answer:
        told = await answer.json()
        assert (answer.status, told["status"], told["timestamp"]) == (200, "degraded", version)
    pointer = next(name for name in replica.outage.asked if "/tracks/" in name).partition(" ")[2]
    for url in (blob_url("big.bin", BIG), f"/{pointer}", "/r/site/metadata/1.root.json"):
        assert await _status(client, url) == 200, url
    assert await _status(client, blob_url("a.yar", RULE)) == 503
    replica.outage.is_silent = False
    await replica.publish({"a.yar": OTHER})
    await replica.copy()
    await replica.site.refresh()
    assert await _status(client, blob_url("a.yar", OTHER)) == 200


async def test_a_replica_that_starts_without_its_store_and_without_a_disk_is_not_ready(
    replica: Replica, aiohttp_client: AiohttpClient
) -> None:
    replica.outage.is_silent = True
    client = await aiohttp_client(await replica.application())
    assert await _status(client, "/readyz") == 503
    assert await _status(client, "/healthz") == 200
    assert await _status(client, "/r/site/metadata/timestamp.json") == 503
    replica.outage.is_silent = False
    await replica.site.refresh()
    assert await _status(client, "/readyz") == 200


@pytest.mark.parametrize(
    ("role", "was", "becomes"),
    [
        pytest.param("*.snapshot.json", b'"sig":"', b'"sig":"0', id="a signature"),
        pytest.param("*.channels.json", b"{", b"\0", id="no JSON"),
        pytest.param("1.root.json", b"{", b"", id="a root"),
    ],
)
async def test_a_role_that_the_disk_damaged_is_brought_anew(
    replica: Replica, aiohttp_client: AiohttpClient, role: str, was: bytes, becomes: bytes
) -> None:
    await aiohttp_client(await replica.application())
    (kept,) = (replica.folder / "cache/kept/r/site/metadata").glob(role)
    whole = kept.read_bytes()
    kept.write_bytes(whole.replace(was, becomes, 1))
    replica.restart()
    client = await aiohttp_client(await replica.application())
    async with client.get(f"/r/site/metadata/{kept.name}") as answer:
        assert (answer.status, await answer.read()) == (200, whole)
    assert kept.read_bytes() == whole


async def test_what_is_kept_never_goes_back(
    replica: Replica, aiohttp_client: AiohttpClient
) -> None:
    """A slower process, which shares the disk, settles an older snapshot after a newer one."""
    await aiohttp_client(await replica.application())
    slow, old = replica.keeper, replica.site.snapshot
    assert slow
    assert old
    await replica.publish({"a.yar": OTHER})
    await replica.copy()
    replica.restart()
    await aiohttp_client(await replica.application())
    newer = replica.site.snapshot
    await slow.settle("site", old)
    replica.outage.is_silent = True
    replica.restart()
    await aiohttp_client(await replica.application())
    assert newer
    assert replica.site.snapshot
    assert replica.site.snapshot.version == newer.version > old.version


async def test_what_is_kept_long_out_of_force_goes(
    replica: Replica, aiohttp_client: AiohttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica.keep = 1
    await aiohttp_client(await replica.application())
    kept = replica.folder / "cache/kept/r/site"
    before = {path.name for path in kept.rglob("*.json*")}
    for number in range(3):
        await replica.publish({"a.yar": OTHER + b"%d" % number})
        replica.now = NOW + timedelta(minutes=number + 1)
    await replica.copy()
    monkeypatch.setattr("mirror.web.cache.kept.KEEP_SECONDS", -10)
    await replica.site.refresh()
    after = {path.name for path in kept.rglob("*.json*")}
    assert "timestamp.json" in before & after
    assert any(name.endswith("1.json.zst") for name in before - after)
    assert "1.root.json" in after


async def test_a_repository_with_a_hole_is_served_but_does_not_replace_what_is_kept(
    replica: Replica, aiohttp_client: AiohttpClient
) -> None:
    await aiohttp_client(await replica.application())
    whole = replica.site.snapshot
    await replica.publish({"a.yar": OTHER})
    await replica.copy()
    pointer = [name async for name in replica.outage.names("r/site/targets/inhouse/tracks")]
    for name in pointer:
        await replica.outage.delete(name)
    await replica.site.refresh()
    client = await aiohttp_client(await _served(replica))
    assert await _status(client, blob_url("a.yar", OTHER)) == 200
    replica.outage.is_silent = True
    replica.restart()
    await aiohttp_client(await replica.application())
    assert whole
    assert replica.site.snapshot
    assert replica.site.snapshot.version == whole.version


async def test_strangers_cannot_make_a_replica_ask_its_store_again_and_again(
    replica: Replica, aiohttp_client: AiohttpClient
) -> None:
    client = await aiohttp_client(await replica.application())
    replica.outage.asked.clear()
    urls = [blob_url("a.yar", b"%d" % number) for number in range(40)]
    assert await asyncio.gather(*(_status(client, url) for url in urls)) == [404] * 40
    assert replica.outage.asked["stat r/site/metadata/timestamp.json"] <= 3


async def _served(replica: Replica) -> web.Application:
    """Serve what is in force, without another look at the store."""
    return Service(replica, Metrics(lambda: Facts(replica.now)), lambda: replica.now).application()
