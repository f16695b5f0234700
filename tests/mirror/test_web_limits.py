"""What one client cannot do to a mirror, and what a mirror tells about itself."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from aiohttp import ClientPayloadError
from aiohttp.test_utils import TestClient, TestServer
from pytest_aiohttp import AiohttpClient
from structlog.testing import capture_logs

from keys.credentials import Secret
from keys.errors import StoreError
from keys.model.release import Assurance
from keys.model.standing import state_at
from mirror import logs
from mirror.fleet.doors import HostsDoor
from mirror.fleet.hosts import Hosts
from mirror.pulls import Failure, Pulled
from mirror.settings import ServeSettings
from mirror.storage import MemoryStore
from mirror.web.gauges import Facts
from mirror.web.metrics import Metrics, application
from mirror.web.service import RequestLog
from tests.mirror.site import NOW
from tests.mirror.web_site import WebSite, auth, blob_url, licence

TIMESTAMP = "/r/site/metadata/timestamp.json"
BIG = b"x" * (3 << 20)


class SlowStore(MemoryStore):
    """A store whose big objects come one chunk at a time, when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = asyncio.Event()

    async def chunks(self, name: str, start: int, stop: int) -> AsyncIterator[bytes]:
        async for chunk in super().chunks(name, start, stop):
            yield chunk
            await self.go_on.wait()


@pytest.fixture
async def slow(tmp_path: Path) -> WebSite:
    """A mirror over a slow store with one big file."""
    site = WebSite(tmp_path)
    await site.publish({"big.bin": BIG})
    store = SlowStore()
    async for name in site.mirror.store.names("r"):
        await store.create(name, await site.mirror.store.read(name, max_bytes=1 << 30))
    site.store = store
    return site


async def test_too_many_requests_are_told_to_come_back(
    slow: WebSite, aiohttp_client: AiohttpClient
) -> None:
    slow.serve = ServeSettings(max_requests_in_flight=2)
    client = await aiohttp_client(await slow.application())
    busy = [await client.get(blob_url("big.bin", BIG)) for _ in range(2)]
    shed = await client.get(TIMESTAMP)
    assert (shed.status, shed.headers["Retry-After"]) == (429, "5")
    assert (await shed.json())["error"] == "busy"
    assert (await client.get("/healthz")).status == 200
    assert isinstance(slow.store, SlowStore)
    slow.store.go_on.set()
    for answer in busy:
        assert await answer.read() == BIG
    assert (await client.get(TIMESTAMP)).status == 200


async def test_a_request_that_takes_too_long_is_cut(
    slow: WebSite, aiohttp_client: AiohttpClient
) -> None:
    slow.serve = ServeSettings(max_request_seconds=1)
    client = await aiohttp_client(await slow.application())
    answer = await client.get(blob_url("big.bin", BIG))
    with pytest.raises(ClientPayloadError):
        await answer.read()


async def test_a_file_that_is_cut_short_cuts_the_connection(
    tmp_path: Path, aiohttp_client: AiohttpClient
) -> None:
    class Torn(MemoryStore):
        async def chunks(self, name: str, start: int, stop: int) -> AsyncIterator[bytes]:
            async for chunk in super().chunks(name, start, stop - 1):
                yield chunk
            raise StoreError("torn")

    site = WebSite(tmp_path)
    await site.publish({"big.bin": BIG})
    torn = Torn()
    async for name in site.mirror.store.names("r"):
        await torn.create(name, await site.mirror.store.read(name, max_bytes=1 << 30))
    site.store = torn
    client = await aiohttp_client(await site.application())
    answer = await client.get(blob_url("big.bin", BIG))
    with pytest.raises(ClientPayloadError):
        await answer.read()


async def test_a_store_that_fails_is_503_and_says_no_more(
    tmp_path: Path, aiohttp_client: AiohttpClient
) -> None:
    class Failing(MemoryStore):
        async def read(self, name: str, *, max_bytes: int) -> bytes:
            raise StoreError(f"{name}: the disk at /secret/place is on fire ({max_bytes})")

    site = WebSite(tmp_path, store=Failing())
    client = await aiohttp_client(await site.application())
    answer = await client.get("/r/site/metadata/1.root.json")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert "secret" not in await answer.text()


async def test_a_mistake_of_ours_is_500_without_a_traceback(
    tmp_path: Path, aiohttp_client: AiohttpClient
) -> None:
    class Wrong(MemoryStore):
        async def read(self, name: str, *, max_bytes: int) -> bytes:
            raise ZeroDivisionError(name, max_bytes)

    site = WebSite(tmp_path, store=Wrong())
    client = await aiohttp_client(await site.application())
    with capture_logs() as logged:
        answer = await client.get("/r/site/metadata/1.root.json")
    assert await answer.json() == {"error": "internal", "message": "internal error"}
    assert [type(line["exc_info"]) for line in logged] == [ZeroDivisionError]


async def send(site: WebSite, aiohttp_client: AiohttpClient, data: bytes) -> bytes:
    """Send raw bytes and return the first line of the answer."""
    client = await aiohttp_client(await site.application())
    assert client.port
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    try:
        writer.write(data)
        return await reader.readline()
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    "data",
    [
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 10_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
    ids=["long-header", "long-line", "many-headers", "two-lengths", "nonsense"],
)
async def test_what_is_not_http_as_we_know_it_is_400(
    tmp_path: Path, aiohttp_client: AiohttpClient, data: bytes
) -> None:
    site = WebSite(tmp_path)
    assert (await send(site, aiohttp_client, data)).startswith(b"HTTP/1.0 400 ")


async def test_readiness_needs_a_timestamp_that_has_not_expired(
    tmp_path: Path, aiohttp_client: AiohttpClient
) -> None:
    site = WebSite(tmp_path)
    client = await aiohttp_client(await site.application())
    assert (await client.get("/readyz")).status == 200
    site.now = NOW + timedelta(days=4)
    answer = await client.get("/readyz")
    assert answer.status == 503
    assert "expired" in (await answer.json())["message"]
    assert (await client.get("/healthz")).status == 200


async def test_an_empty_store_is_not_ready_and_still_healthy(
    tmp_path: Path, aiohttp_client: AiohttpClient
) -> None:
    site = WebSite(tmp_path, store=MemoryStore())
    client = await aiohttp_client(await site.application())
    assert (await client.get("/readyz")).status == 503
    assert (await client.get("/healthz")).status == 200
    assert (await client.get(TIMESTAMP)).status == 404


async def test_metrics_tell_what_is_known(aiohttp_client: AiohttpClient) -> None:
    standing = state_at([licence("EAV-1", (NOW + timedelta(days=30)).date())], NOW)
    failure = Failure(NOW, "FetchError", "no answer", "", 1)
    metrics = Metrics(
        lambda: Facts(
            now=NOW,
            expires={"site": {"timestamp": NOW + timedelta(days=3)}},
            assurance={"site": {"rules": Assurance.digest}},
            upstreams={
                "acme": Pulled(last_success=NOW - timedelta(hours=2), failure=failure),
                "busy": Pulled(last_success=NOW, not_before=NOW + timedelta(hours=4)),
                "new": Pulled(),
            },
            held={"acme": (), "busy": ("rules",)},
            licences={"av": standing, "broken": None},
        )
    )
    metrics.answered(200, 100)
    metrics.answered(402, 0)
    metrics.reloaded("certificate", accepted=False)
    client = await aiohttp_client(application(metrics))
    text = await (await client.get("/metrics")).text()
    for line in (
        'sigmirror_requests_total{status="200"} 1.0',
        'sigmirror_requests_total{status="402"} 1.0',
        "sigmirror_sent_bytes_total 100.0",
        'sigmirror_role_expires_in_seconds{repository="site",role="timestamp"} 259200.0',
        'sigmirror_upstream_age_seconds{upstream="acme"} 7200.0',
        'sigmirror_upstream_failed{upstream="acme"} 1.0',
        'sigmirror_upstream_state{state="failed",upstream="acme"} 1.0',
        'sigmirror_upstream_state{state="held",upstream="busy"} 1.0',
        'sigmirror_upstream_state{state="ok",upstream="busy"} 0.0',
        'sigmirror_upstream_state{state="never pulled",upstream="new"} 1.0',
        'sigmirror_upstream_cool_down_seconds{upstream="busy"} 14400.0',
        'sigmirror_upstream_cool_down_seconds{upstream="acme"} 0.0',
        'sigmirror_held{channel="rules",upstream="busy"} 1.0',
        'sigmirror_release_assurance{assurance="digest",channel="rules",repository="site"} 1.0',
        'sigmirror_release_assurance{assurance="signed",channel="rules",repository="site"} 0.0',
        'sigmirror_upstream_last_success_timestamp_seconds{upstream="new"} 0.0',
        'sigmirror_licence_days_left{licence="av",organisation="株式会社例"} 30.0',
        'sigmirror_licence_state{licence="av",state="expiring"} 1.0',
        'sigmirror_licence_state{licence="broken",state="unusable"} 1.0',
        'sigmirror_reloads_total{outcome="refused",what="certificate"} 1.0',
        'sigmirror_reload_refused{what="certificate"} 1.0',
    ):
        assert line in text.splitlines(), text
    assert (await client.get("/")).status == 404


async def test_each_request_is_one_line_without_secrets(
    tmp_path: Path,
) -> None:
    site = WebSite(tmp_path)
    hosts, token = Hosts().add("mx1", now=NOW)
    app = await site.application(HostsDoor(hosts))
    server = TestServer(app)
    await server.start_server(access_log_class=RequestLog)
    with capture_logs() as lines:
        async with TestClient(server) as client:
            url = f"{TIMESTAMP}?token={token.reveal()}"
            body = await (await client.get(url, headers=auth("mx1", token.reveal()))).read()
            await (await client.get(TIMESTAMP, headers=auth("mx1", "wrong"))).read()
    first, second = (line for line in lines if line["event"] == "request")
    assert first["path"] == TIMESTAMP
    assert (first["host"], first["status"], second["status"]) == ("mx1", 200, 401)
    assert first["bytes"] >= len(body)
    assert token.reveal() not in json.dumps(lines, default=str)


def test_logs_are_json_with_secrets_stripped(tmp_path: Path) -> None:
    path = tmp_path / "log"
    before = structlog.get_config()
    try:
        with path.open("wb") as stream:
            logs.start(stream)
            structlog.get_logger().info(
                "pull",
                password=Secret("hunter2"),
                cause="GET https://user:hunter2@vendor.example/a?key=hunter2 failed",
            )
    finally:
        structlog.configure(**before)
    line = json.loads(path.read_text())
    assert line["password"] == "***"  # noqa: S105 - what a secret is shown as
    assert line["cause"] == "GET https://***@vendor.example/a failed"
    assert line["level"] == "info"
    assert "hunter2" not in path.read_text()
