"""Plain files below ``/files/``: who gets which bytes under which name, with which headers."""

import hashlib
import json
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import convert, structs
from pytest_aiohttp import AiohttpClient

from keys.model import release
from keys.model.licence import Content
from keys.model.release import Redistribution
from mirror.fleet.doors import CustomersDoor, HostsDoor, OpenDoor
from mirror.fleet.hosts import Hosts
from mirror.fleet.throttle import MAX_FAILURES
from mirror.intake import Label
from mirror.web.access import Proxies
from tests.mirror.site import BY, NOW
from tests.mirror.web_site import Browser, WebSite, auth, blob_url, customers, licence

ELSEWHERE = {"X-Forwarded-For": "203.0.113.9"}
FIXED = "public, max-age=31536000, immutable"
PUBLISHED = "Sun, 01 Mar 2026 12:00:00 GMT"


@pytest.fixture
def site(tmp_path: Path) -> WebSite:
    return WebSite(tmp_path)


@pytest.fixture
async def browser(site: WebSite, aiohttp_client: AiohttpClient) -> Browser:
    return await aiohttp_client(await site.application())


async def put(site: WebSite, contents: dict[str, bytes], **options: Any) -> None:
    await site.publish(contents, **options)
    await site.site.refresh()


async def read(
    browser: Browser, url: str, status: int = 200, headers: Mapping[str, str] | None = None
) -> bytes:
    async with browser.get(url, headers=headers) as answer:
        assert answer.status == status, (url, answer.status)
        return await answer.read()


async def test_latest_is_the_newest_release_and_a_number_always_the_same(
    site: WebSite, browser: Browser
) -> None:
    await put(site, {"a.rules": b"one"})
    await put(site, {"a.rules": b"two"})
    assert await read(browser, "/files/inhouse/latest/a.rules") == b"two"
    assert await read(browser, "/files/inhouse/1/a.rules") == b"one"
    assert await read(browser, "/files/inhouse/2/a.rules") == b"two"
    await read(browser, "/files/inhouse/3/a.rules", 404)
    await read(browser, "/files/inhouse/latest/b.rules", 404)
    await read(browser, "/files/elsewhere/latest/a.rules", 404)


async def test_latest_is_asked_for_each_time_and_a_number_may_be_kept(
    site: WebSite, browser: Browser
) -> None:
    await put(site, {"a.rules": b"one"})
    etag = f'"{hashlib.sha256(b"one").hexdigest()}"'
    for edition, keep in (("latest", "no-cache"), ("1", FIXED)):
        async with browser.get(f"/files/inhouse/{edition}/a.rules") as answer:
            assert answer.headers["Cache-Control"] == keep
            assert answer.headers["ETag"] == etag
            assert answer.headers["Last-Modified"] == PUBLISHED
            assert answer.headers["Accept-Ranges"] == "bytes"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Content-Type"] == "application/octet-stream"


async def test_a_client_that_has_the_bytes_is_told_so(site: WebSite, browser: Browser) -> None:
    await put(site, {"a.rules": b"one"})
    url, etag = "/files/inhouse/latest/a.rules", f'"{hashlib.sha256(b"one").hexdigest()}"'
    assert await read(browser, url, 304, {"If-None-Match": etag}) == b""
    assert await read(browser, url, 304, {"If-Modified-Since": PUBLISHED}) == b""
    assert await read(browser, url, 200, {"If-None-Match": '"other"'}) == b"one"
    both = {"If-None-Match": '"other"', "If-Modified-Since": PUBLISHED}
    assert await read(browser, url, 200, both) == b"one"


async def test_a_release_taken_back_reaches_clients_that_go_by_dates(
    site: WebSite, browser: Browser
) -> None:
    await put(site, {"a.rules": b"one"})
    site.now = NOW + timedelta(days=1)
    await put(site, {"a.rules": b"two, and broken"})
    await site.mirror.publishing().point("inhouse", "stable", 1, by=BY, now=site.now)
    await site.site.refresh()
    since = {"If-Modified-Since": "Mon, 02 Mar 2026 12:00:00 GMT"}
    assert await read(browser, "/files/inhouse/latest/a.rules", 200, since) == b"one"


async def test_a_range_continues_a_download_of_the_same_bytes_only(
    site: WebSite, browser: Browser
) -> None:
    await put(site, {"a.rules": b"0123456789"})
    url, etag = "/files/inhouse/latest/a.rules", f'"{hashlib.sha256(b"0123456789").hexdigest()}"'
    part = {"Range": "bytes=4-"}
    assert await read(browser, url, 206, part) == b"456789"
    assert await read(browser, url, 206, part | {"If-Range": etag}) == b"456789"
    assert await read(browser, url, 200, part | {"If-Range": '"old"'}) == b"0123456789"
    await read(browser, url, 416, {"Range": "bytes=10-"})


async def test_originals_are_served_beside_what_was_made_of_them(
    site: WebSite, browser: Browser
) -> None:
    archive = b"\x1f\x8b archive"
    digest = hashlib.md5(archive).hexdigest().encode()  # noqa: S324 - the vendor's own sidecar
    await put(
        site,
        {"rules/a.rules": b"alert"},
        channel="et",
        originals={"emerging.rules.tar.gz": archive, "emerging.rules.tar.gz.md5": digest},
    )
    assert await read(browser, "/files/et/latest/emerging.rules.tar.gz") == archive
    assert await read(browser, "/files/et/latest/emerging.rules.tar.gz.md5") == digest
    assert await read(browser, "/files/et/latest/rules/a.rules") == b"alert"
    page = json.loads(await read(browser, "/files/et/latest/index.json"))
    assert [file["path"] for file in page["files"]] == [
        "emerging.rules.tar.gz", "emerging.rules.tar.gz.md5", "rules/a.rules",
    ]  # fmt: skip


async def test_a_database_made_of_a_container_is_not_a_plain_file(
    site: WebSite, browser: Browser
) -> None:
    await put(
        site,
        {"daily.cld": b"made", "own.cld": b"the vendor's own form"},
        channel="clamav",
        originals={"daily.cvd": b"container"},
    )
    assert await read(browser, "/files/clamav/latest/daily.cvd") == b"container"
    assert await read(browser, "/files/clamav/latest/own.cld") == b"the vendor's own form"
    for name in ("daily.cld", "daily.cld.sha256"):
        await read(browser, f"/files/clamav/latest/{name}", 404)
    page = json.loads(await read(browser, "/files/clamav/latest/?json"))
    assert [file["path"] for file in page["files"]] == ["daily.cvd", "own.cld"]


async def test_each_file_has_a_checksum_that_sha256sum_reads(
    site: WebSite, browser: Browser
) -> None:
    await put(site, {"sub/a.rules": b"one"})
    expected = f"{hashlib.sha256(b'one').hexdigest()}  a.rules\n".encode()
    for edition in ("latest", "1"):
        assert await read(browser, f"/files/inhouse/{edition}/sub/a.rules.sha256") == expected
    await read(browser, "/files/inhouse/latest/sub/a.rules.sha256.sha256", 404)
    await read(browser, "/files/inhouse/latest/sub/b.rules.sha256", 404)


async def test_a_file_named_like_a_sidecar_is_itself(site: WebSite, browser: Browser) -> None:
    names = ("a.yar.sha256", "a.yar.minisig", "minisign.pub", "index.json")
    site.signs_files = True
    await put(site, {"a.yar": b"rule"} | {name: name.encode() for name in names})
    for name in names:
        assert await read(browser, f"/files/inhouse/latest/{name}") == name.encode()
    own = await read(browser, "/files/inhouse/latest/a.yar.sha256.sha256")
    assert own == f"{hashlib.sha256(b'a.yar.sha256').hexdigest()}  a.yar.sha256\n".encode()
    assert b"untrusted comment" in await read(browser, "/files/inhouse/minisign.pub")


async def test_without_a_key_there_are_checksums_and_no_signatures(
    site: WebSite, browser: Browser
) -> None:
    await put(site, {"a.yar": b"rule"})
    await read(browser, "/files/inhouse/latest/a.yar.minisig", 404)
    await read(browser, "/files/inhouse/minisign.pub", 404)
    await read(browser, "/files/inhouse/latest/minisign.pub", 404)


@pytest.mark.parametrize(
    ("word", "status"), [("public", 200), ("licensed-hosts", 401), ("none", 402)]
)
async def test_redistribution_holds_for_files_and_not_for_pages_and_checksums(
    site: WebSite, browser: Browser, word: Redistribution, status: int
) -> None:
    await put(site, {"a.yar": b"rule"}, label=Label(redistribution=word))
    site.door(OpenDoor(), proxies=Proxies(("127.0.0.1",), required=False))
    await site.site.refresh()
    for edition in ("latest", "1"):
        await read(browser, f"/files/inhouse/{edition}/a.yar", status, ELSEWHERE)
        await read(browser, f"/files/inhouse/{edition}/a.yar.sha256", 200, ELSEWHERE)
        await read(browser, f"/files/inhouse/{edition}/", 200, ELSEWHERE)


async def test_what_a_visitor_may_not_have_is_not_listed_for_him(
    site: WebSite, browser: Browser
) -> None:
    hosts, token = Hosts().add("mx1", now=NOW)
    words: dict[str, Redistribution] = {"free": "public", "paid": "licensed-hosts", "mine": "none"}
    for channel, word in words.items():
        await site.publish({"a.yar": b"rule"}, channel=channel, label=Label(redistribution=word))
    site.door(OpenDoor(hosts), proxies=Proxies(("127.0.0.1",), required=False))
    await site.site.refresh()

    async def listed(headers: Mapping[str, str]) -> list[str]:
        page = json.loads(await read(browser, "/files/index.json", 200, headers))
        return [channel["channel"] for channel in page["channels"]]

    assert await listed(ELSEWHERE) == ["free"]
    assert await listed(ELSEWHERE | auth("mx1", token.reveal())) == ["free", "paid"]


async def test_a_stranger_is_refused_everywhere_and_slowed_down(
    site: WebSite, aiohttp_client: AiohttpClient
) -> None:
    await site.publish({"a.yar": b"rule"})
    hosts, token = Hosts().add("mx1", now=NOW)
    browser = await aiohttp_client(await site.application(HostsDoor(hosts)))
    for url in ("/files/", "/files/inhouse/", "/files/inhouse/latest/a.yar", "/files/no/1/a"):
        async with browser.get(url) as answer:
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    known = auth("mx1", token.reveal())
    async with browser.get("/files/inhouse/1/a.yar", headers=known) as answer:
        assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    for _ in range(MAX_FAILURES):
        await read(browser, "/files/", 401, auth("mx1", "guess"))
    await read(browser, "/files/", 429, auth("mx1", "guess"))


async def test_latest_is_what_a_customers_licence_covers(
    site: WebSite, aiohttp_client: AiohttpClient
) -> None:
    march, april = licence("EAV-1", date(2026, 3, 31)), licence("EAV-2", date(2026, 4, 30))
    await site.publish({"a.yar": b"march", "kept.yar": b"kept"})
    site.now = NOW + timedelta(days=31)  # the first of April
    await site.publish({"a.yar": b"april", "kept.yar": b"kept"})
    door = CustomersDoor(customers({"EAV-1": march, "EAV-2": april}))
    browser = await aiohttp_client(await site.application(door))
    first, second = auth("EAV-1"), auth("EAV-2")
    assert await read(browser, "/files/inhouse/latest/a.yar", 200, first) == b"march"
    assert await read(browser, "/files/inhouse/latest/a.yar", 200, second) == b"april"
    assert await read(browser, "/files/inhouse/1/a.yar", 200, first) == b"march"
    assert await read(browser, "/files/inhouse/2/kept.yar", 200, first) == b"kept"
    async with browser.get("/files/inhouse/2/a.yar", headers=first) as answer:
        assert answer.status == 402
        assert answer.headers["Licence-Ends-On"] == "2026-03-31"
        assert answer.headers["Licence-Tz"] == "Asia/Tokyo"
    page = json.loads(await read(browser, "/files/inhouse/index.json", 200, first))
    assert (page["latest"]["sequence"], len(page["releases"])) == (1, 2)


async def test_who_has_no_licence_for_a_channel_gets_402_and_does_not_see_it_listed(
    site: WebSite, aiohttp_client: AiohttpClient
) -> None:
    await site.publish({"a.yar": b"rule"}, channel="other")
    door = CustomersDoor(customers({"EAV-1": licence("EAV-1", date(2026, 3, 31))}))
    browser = await aiohttp_client(await site.application(door))
    await read(browser, "/files/other/latest/a.yar", 402, auth("EAV-1"))
    await read(browser, "/files/other/1/a.yar", 402, auth("EAV-1"))
    assert (
        json.loads(await read(browser, "/files/index.json", 200, auth("EAV-1")))["channels"] == []
    )


@pytest.mark.parametrize("content", ["programs", "documents"])
async def test_programs_and_documents_are_for_licences_that_bring_them(
    site: WebSite, aiohttp_client: AiohttpClient, content: release.Content
) -> None:
    whole = licence("EAV-1", date(2026, 3, 31))
    definitions_only = structs.replace(
        licence("EAV-2", date(2026, 3, 31)), content=(Content.definitions,)
    )
    manifest = await site.publish({"setup-4.1.deb": b"deb"}, label=Label(content=content))
    door = CustomersDoor(customers({"EAV-1": whole, "EAV-2": definitions_only}))
    browser = await aiohttp_client(await site.application(door))
    file, blob = "/files/inhouse/latest/setup-4.1.deb", blob_url("setup-4.1.deb", b"deb")
    for url in (file, blob):
        assert await read(browser, url, 200, auth("EAV-1")) == b"deb"
        await read(browser, url, 402, auth("EAV-2"))
    assert manifest.content == content


async def test_a_page_of_downloads_groups_programs_and_documents(
    site: WebSite, browser: Browser
) -> None:
    for channel, name, content in (
        ("manuals", "手引き-4.1.pdf", "documents"),
        ("scanner", "scanner-4.10.2.deb", "programs"),
        ("rules", "a.yar", "definitions"),
    ):
        label = Label(content=convert(content, release.Content))
        await put(site, {name: name.encode()}, channel=channel, label=label)
    page = (await read(browser, "/files/")).decode()
    assert page.index(">Programs<") < page.index("scanner-4.10.2.deb</a>")
    assert page.index("scanner-4.10.2.deb</a>") < page.index(">Documents<")
    assert page.index(">Documents<") < page.index("手引き-4.1.pdf</a>") < page.index("Definitions")
    assert "<td>4.10.2</td>" in page
    assert hashlib.sha256(b"scanner-4.10.2.deb").hexdigest() in page
    assert "a.yar" not in page
    async with browser.get("/files/manuals/latest/手引き-4.1.pdf") as answer:
        assert answer.headers["Content-Type"] == "application/pdf"


async def test_a_damaged_list_is_503_there_and_nowhere_else(
    site: WebSite, aiohttp_client: AiohttpClient
) -> None:
    await site.publish({"a.yar": b"rule"}, channel="broken")
    await site.publish({"a.yar": b"rule"}, channel="whole")
    browser = await aiohttp_client(await site.application())
    listed = next((site.mirror.folder / "r/site/targets/broken/files/@list").iterdir())
    listed.write_bytes(b"damaged")
    await read(browser, "/files/broken/latest/a.yar", 503)
    assert await read(browser, "/files/whole/latest/a.yar") == b"rule"
