"""Repositories over HTTP: caching, ranges, names."""

import asyncio
from pathlib import Path
from urllib.parse import quote

import pytest
from pytest_aiohttp import AiohttpClient
from yarl import URL

from keys.model.release import Pin
from mirror.web.sending import SLICE_BYTES
from tests.mirror.web_site import Browser, WebSite, blob_url

RULE = b"rule a { condition: false }\n"
BIG = bytes(range(256)) * (3 * SLICE_BYTES // 256) + b"tail"


@pytest.fixture
def site(tmp_path: Path) -> WebSite:
    return WebSite(tmp_path)


@pytest.fixture
async def client(site: WebSite, aiohttp_client: AiohttpClient) -> Browser:
    await site.publish({"a.yar": RULE, "big.bin": BIG})
    return await aiohttp_client(await site.application())


async def test_a_definition_arrives_byte_for_byte(client: Browser) -> None:
    for path, data in (("a.yar", RULE), ("big.bin", BIG)):
        answer = await client.get(blob_url(path, data))
        assert answer.status == 200
        assert await answer.read() == data
        assert answer.headers["ETag"] == f'"{Pin.of(data).sha256}"'
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"


async def test_what_the_client_has_is_not_sent_again(client: Browser) -> None:
    for url in ("/r/site/metadata/timestamp.json", "/r/site/metadata/1.root.json",
                blob_url("a.yar", RULE), blob_url("big.bin", BIG)):  # fmt: skip
        first = await client.get(url)
        for known in (first.headers["ETag"], f'"x", W/{first.headers["ETag"]}', "*"):
            again = await client.get(url, headers={"If-None-Match": known})
            assert (again.status, await again.read()) == (304, b"")
            assert again.headers["ETag"] == first.headers["ETag"]
        other = await client.get(url, headers={"If-None-Match": '"x"'})
        assert other.status == 200


async def test_the_timestamp_and_a_missing_root_are_asked_for_each_time(client: Browser) -> None:
    for url, status in (("timestamp.json", 200), ("2.root.json", 404)):
        answer = await client.get(f"/r/site/metadata/{url}")
        assert (answer.status, answer.headers["Cache-Control"]) == (status, "no-cache")


@pytest.mark.parametrize(("path", "data"), [("a.yar", RULE), ("big.bin", BIG)])
@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-", 5, None),
        ("bytes=-7", -7, None),
        ("bytes=3-99999999999", 3, None),
    ],
)
async def test_one_range_is_sent(
    client: Browser, path: str, data: bytes, asked: str, start: int, stop: int | None
) -> None:
    answer = await client.get(blob_url(path, data), headers={"Range": asked})
    assert answer.status == 206
    assert await answer.read() == data[start:stop]
    offsets = range(len(data))[start:stop]
    assert answer.headers["Content-Range"] == f"bytes {offsets[0]}-{offsets[-1]}/{len(data)}"


@pytest.mark.parametrize(
    "asked", ["bytes=0-1,3-4", "lines=0-1", "bytes=9-2", "bytes=-", "bytes=x-"]
)
async def test_a_range_that_does_not_count_gives_everything(client: Browser, asked: str) -> None:
    answer = await client.get(blob_url("a.yar", RULE), headers={"Range": asked})
    assert (answer.status, await answer.read()) == (200, RULE)


async def test_a_range_behind_the_end_is_416(client: Browser) -> None:
    for path, data in (("a.yar", RULE), ("big.bin", BIG)):
        answer = await client.get(blob_url(path, data), headers={"Range": f"bytes={len(data)}-"})
        assert answer.status == 416
        assert answer.headers["Content-Range"] == f"bytes */{len(data)}"


async def test_a_range_counts_only_for_the_same_bytes(client: Browser) -> None:
    url = blob_url("big.bin", BIG)
    for condition, status in ((f'"{Pin.of(BIG).sha256}"', 206), ('"other"', 200),
                              (f'W/"{Pin.of(BIG).sha256}"', 200)):  # fmt: skip
        answer = await client.get(url, headers={"Range": "bytes=1-2", "If-Range": condition})
        assert answer.status == status
        await answer.read()


async def test_head_tells_the_same_without_a_body(client: Browser) -> None:
    for url in (
        "/r/site/metadata/timestamp.json",
        blob_url("a.yar", RULE),
        blob_url("big.bin", BIG),
    ):
        got, told = await client.get(url), await client.head(url)
        body = await got.read()
        assert (told.status, await told.read()) == (200, b"")
        assert told.headers["Content-Length"] == str(len(body))
        assert told.headers["ETag"] == got.headers["ETag"]


async def test_other_methods_are_not_allowed(client: Browser) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        answer = await client.request(method, "/r/site/metadata/timestamp.json")
        assert answer.status == 405
        assert set(answer.headers["Allow"].split(",")) == {"GET", "HEAD"}
        assert (await answer.json())["error"] == "method"


OUTSIDE = f"""
    / /r /r/ /r/site /r/site/ /r/site/metadata /r/site/metadata/ /r/site/targets/
    /state/hosts.json /keys/online/online.pem /r/other/metadata/timestamp.json
    /r/site/metadata/root.json /r/site/metadata/0.root.json /r/site/metadata/01.root.json
    /r/site/metadata/../../keys/online/online.pem /r/site/../../keys/online/online.pem
    /r/site/metadata/%2e%2e/%2e%2e/keys/online/online.pem /r/site/metadata/..%2f..%2fkeys
    /r/site%2fmetadata%2ftimestamp.json /r/site/metadata%2ftimestamp.json
    /r/site/metadata/.timestamp.json /r/site/metadata/timestamp.json/
    /r/site/metadata//timestamp.json /r/site/metadata/timestamp.json%00
    /r/site/metadata/%252e%252e /r/%73ite/metadata/.locks /r/.locks/metadata/timestamp.json
    /r/site/targets/inhouse/files/a.yar /r/site/targets/inhouse/files/{"0" * 64}.a.yar
    /r/site/targets/{"a/" * 30}{"0" * 64}.x /r/site/metadata/{"x" * 5000}
"""


@pytest.mark.parametrize("path", OUTSIDE.split())
async def test_no_other_name_exists(client: Browser, path: str) -> None:
    answer = await client.get(URL(path, encoded=True))
    assert answer.status in {404, 400}, await answer.text()
    if answer.status == 404:
        assert (await answer.json())["error"] == "not-found"


async def test_a_client_may_percent_encode_a_name(client: Browser, site: WebSite) -> None:
    await site.publish({"規則+1.yar": RULE})
    url = blob_url("規則+1.yar", RULE)
    assert "@" in url
    answer = await client.get(URL(quote(url), encoded=True))
    assert (answer.status, await answer.read()) == (200, RULE)


async def test_a_publish_by_another_process_is_noticed(client: Browser, site: WebSite) -> None:
    before = await (await client.get("/r/site/metadata/timestamp.json")).read()
    await site.publish({"a.yar": RULE + b"// 2\n"})
    await site.site.refresh()
    after = await (await client.get("/r/site/metadata/timestamp.json")).read()
    assert after != before
    assert after == (site.mirror.folder / "r/site/metadata/timestamp.json").read_bytes()


async def test_no_request_fails_while_releases_are_published(
    client: Browser, site: WebSite
) -> None:
    urls = [
        "/r/site/metadata/timestamp.json",
        "/r/site/metadata/1.root.json",
        blob_url("big.bin", BIG),
    ]
    stop = asyncio.Event()

    async def load() -> int:
        count = 0
        while not stop.is_set():
            for url in urls:
                answer = await client.get(url)
                await answer.read()
                assert answer.status == 200
                count += 1
        return count

    loads = [asyncio.create_task(load()) for _ in range(4)]
    for number in range(5):
        await site.publish({"a.yar": RULE + b"// %d\n" % number})
        await site.site.refresh()
    stop.set()
    assert all(count > 0 for count in await asyncio.gather(*loads))


async def test_a_broken_timestamp_leaves_the_last_one_in_force(
    client: Browser, site: WebSite
) -> None:
    good = await (await client.get("/r/site/metadata/timestamp.json")).read()
    (site.mirror.folder / "r/site/metadata/timestamp.json").write_bytes(b"{}")
    await site.site.refresh()
    answer = await client.get("/r/site/metadata/timestamp.json")
    assert (answer.status, await answer.read()) == (200, good)
    assert "not signed metadata" in site.site.problem
