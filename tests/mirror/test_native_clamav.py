"""``/clamav/``: status codes, headers and bytes, over a vendor's genuine databases."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from pytest_aiohttp import AiohttpClient
from structlog.testing import capture_logs

from keys.model.release import Assurance
from mirror.fleet.doors import CustomersDoor, HostsDoor
from mirror.fleet.hosts import Hosts
from mirror.intake import Label
from tests.mirror.clamav_vendor import CHANNEL, brought, genuine
from tests.mirror.site import NOW
from tests.mirror.web_site import Browser, WebSite, auth, customers, licence

BUILT = {1: "Tue, 22 Jun 2021 18:58:22 GMT", 3: "Wed, 23 Jun 2021 00:40:09 GMT"}
ORIGINALS = (
    "test.cvd", "test-3.cvd.sign", "test-2.cdiff", "test-2.cdiff.sign", "test-3.cdiff",
    "test-3.cdiff.sign",
)  # fmt: skip


async def publish(
    site: WebSite,
    version: int,
    *,
    channel: str = CHANNEL,
    label: Label | None = None,
    **how: object,
) -> None:
    folder = site.folder / f"brought-{channel}-{version}-{len(list(site.folder.iterdir()))}"
    candidate = brought(folder, version, **how)  # type: ignore[arg-type]  # the caller's words
    await site.release(candidate, channel=channel, label=label or Label("clamav"))


@pytest.fixture
def site(tmp_path: Path) -> WebSite:
    return WebSite(tmp_path)


@pytest.fixture
async def browser(site: WebSite, aiohttp_client: AiohttpClient) -> Browser:
    """An open mirror of the vendor's third version."""
    await publish(site, 3)
    return await aiohttp_client(await site.application())


@pytest.mark.parametrize("name", ORIGINALS)
async def test_every_original_is_served_byte_for_byte(browser: Browser, name: str) -> None:
    answer = await browser.get(f"/clamav/{name}")
    source = "test-3.cvd" if name == "test.cvd" else name
    assert (answer.status, await answer.read()) == (200, genuine(source))
    assert answer.headers["Content-Type"] == "application/octet-stream"


async def test_a_database_is_dated_by_its_header_and_not_by_its_file(browser: Browser) -> None:
    answer = await browser.get("/clamav/test.cvd")
    assert answer.headers["Last-Modified"] == BUILT[3]
    assert answer.headers["Cache-Control"] == "no-cache"
    assert "Last-Modified" not in (await browser.get("/clamav/test-3.cdiff")).headers


async def test_the_probe_of_freshclam_gets_the_header(browser: Browser) -> None:
    probe = {"Range": "bytes=0-511", "If-Modified-Since": BUILT[1]}
    answer = await browser.get("/clamav/test.cvd", headers=probe)
    assert (answer.status, await answer.read()) == (206, genuine("test-3.cvd")[:512])
    assert answer.headers["Content-Range"] == f"bytes 0-511/{len(genuine('test-3.cvd'))}"
    assert answer.headers["Last-Modified"] == BUILT[3]


@pytest.mark.parametrize(
    ("since", "status"),
    [
        pytest.param("Wed, 23 Jun 2021 00:40:08 GMT", 200, id="a second before"),
        pytest.param("Wed, 23 Jun 2021 00:40:09 GMT", 304, id="the header's time"),
        pytest.param("Wed, 23 Jun 2021 00:40:10 GMT", 200, id="a newer version, taken back"),
        pytest.param("yesterday", 200, id="no date"),
    ],
)
async def test_a_client_that_sends_the_headers_time_has_the_database(
    browser: Browser, since: str, status: int
) -> None:
    answer = await browser.get("/clamav/test.cvd", headers={"If-Modified-Since": since})
    assert answer.status == status
    assert len(await answer.read()) == (0 if status == 304 else len(genuine("test-3.cvd")))


async def test_nobody_is_sent_an_older_time_than_he_asked_after(browser: Browser) -> None:
    """libcurl, so freshclam, would throw the answer away and keep the old database."""
    for since, told in (("Wed, 23 Jun 2021 00:40:08 GMT", BUILT[3]), (BUILT[3], BUILT[3])):
        answer = await browser.get("/clamav/test.cvd", headers={"If-Modified-Since": since})
        assert answer.headers["Last-Modified"] == told
    later = {"If-Modified-Since": "Wed, 23 Jun 2021 00:40:10 GMT"}
    assert "Last-Modified" not in (await browser.get("/clamav/test.cvd", headers=later)).headers


@pytest.mark.parametrize(
    ("minutes", "status"),
    [
        pytest.param(-1, 200, id="before this release came"),
        pytest.param(5, 200, id="too close to tell"),
        pytest.param(20, 304, id="after it"),
        pytest.param(90, 200, id="in the future"),
    ],
)
async def test_a_client_that_sends_the_time_of_its_download_has_what_was_served_then(
    browser: Browser, site: WebSite, minutes: int, status: int
) -> None:
    published = datetime.now(UTC)  # as the store saw it, whatever the vendor's time of it
    site.now = published + timedelta(hours=1)
    since = format_datetime(published + timedelta(minutes=minutes), usegmt=True)
    answer = await browser.get("/clamav/test.cvd", headers={"If-Modified-Since": since})
    assert answer.status == status
    answer = await browser.get("/clamav/test-3.cdiff", headers={"If-Modified-Since": since})
    assert answer.status == 200  # a time says nothing of a name that is new with each version


async def test_a_hash_counts_more_than_a_time(browser: Browser) -> None:
    etag = (await browser.get("/clamav/test.cvd")).headers["ETag"]
    other = {"If-None-Match": f'"{"0" * 64}"', "If-Modified-Since": BUILT[3]}
    assert (await browser.get("/clamav/test.cvd", headers=other)).status == 200
    same = {"If-None-Match": etag, "If-Modified-Since": BUILT[1]}
    assert (await browser.get("/clamav/test.cvd", headers=same)).status == 304
    assert (await browser.get("/clamav/test-3.cdiff", headers=same)).status == 200


async def test_head_tells_what_get_would(browser: Browser) -> None:
    for name in ORIGINALS:
        asked, told = await browser.get(f"/clamav/{name}"), await browser.head(f"/clamav/{name}")
        assert (told.status, await told.read()) == (200, b"")
        assert told.headers["Content-Length"] == asked.headers["Content-Length"]
        assert told.headers["ETag"] == asked.headers["ETag"]


async def test_the_version_in_cvdupdates_query_changes_nothing(browser: Browser) -> None:
    answer = await browser.get("/clamav/test.cvd", params={"version": "3"})
    assert (answer.status, await answer.read()) == (200, genuine("test-3.cvd"))


@pytest.mark.parametrize(
    "name",
    [
        "test.cld", "daily.cld", "test.info", "daily.cvd", "test-3.cvd", "test-2.cvd.sign",
        "test-4.cdiff", "test-4.cdiff.sign", "test-0.cdiff", "test-03.cdiff", "main-1.cdiff",
        "test-3.cdiff.sign.sign", "test-99999999999.cdiff", "test.cvd.sign", "test", "TEST.cvd",
        ".cvd", "-3.cdiff", "..%2Ftest.cvd", "test.cvd%00", "",
    ],
)  # fmt: skip
async def test_no_other_name_is_there(browser: Browser, name: str) -> None:
    assert (await browser.get(f"/clamav/{name}")).status == 404


async def test_a_folder_below_clamav_is_not_there(browser: Browser) -> None:
    assert (await browser.get("/clamav/old/test.cvd")).status == 404
    assert (await browser.post("/clamav/test.cvd")).status == 405


async def test_a_lost_cdiff_is_empty_so_that_the_whole_database_is_taken(
    site: WebSite, aiohttp_client: AiohttpClient
) -> None:
    await publish(site, 3, lost=[2, 3])
    browser = await aiohttp_client(await site.application())
    for version, status in ((1, 200), (2, 200), (3, 200), (4, 404)):
        answer = await browser.get(f"/clamav/test-{version}.cdiff")
        assert (answer.status, len(await answer.read()) if status == 200 else 0) == (status, 0)
    assert (await browser.get("/clamav/test-3.cdiff.sign")).status == 404


async def test_a_new_version_is_served_whole_at_once(
    site: WebSite, aiohttp_client: AiohttpClient
) -> None:
    await publish(site, 2)
    browser = await aiohttp_client(await site.application())
    assert (await browser.get("/clamav/test-3.cdiff")).status == 404
    await publish(site, 3)
    await site.site.refresh()
    for name in ORIGINALS:
        assert (await browser.get(f"/clamav/{name}")).status == 200
    assert (await browser.get("/clamav/test-2.cvd.sign")).status == 404


async def test_only_what_the_vendor_signed_is_served(
    site: WebSite, aiohttp_client: AiohttpClient
) -> None:
    await publish(site, 3, assurance=Assurance.none)
    browser = await aiohttp_client(await site.application())
    assert (await browser.get("/clamav/test.cvd")).status == 404


async def test_hosts_show_their_token(site: WebSite, aiohttp_client: AiohttpClient) -> None:
    hosts, token = Hosts().add("mx1", now=NOW)
    await publish(site, 3)
    browser = await aiohttp_client(await site.application(HostsDoor(hosts)))
    nobody = await browser.get("/clamav/test.cvd")
    assert (nobody.status, nobody.headers["WWW-Authenticate"].split()[0]) == (401, "Basic")
    assert (await browser.get("/clamav/test.cvd", headers=auth("mx1", "wrong"))).status == 401
    known = await browser.get("/clamav/test.cvd", headers=auth("mx1", token.reveal()))
    assert (known.status, known.headers["Cache-Control"]) == (200, "private, no-cache")


async def test_what_is_for_licensed_hosts_is_not_for_everybody(
    site: WebSite, aiohttp_client: AiohttpClient
) -> None:
    await publish(site, 3, label=Label("clamav", redistribution="licensed-hosts"))
    browser = await aiohttp_client(await site.application())
    through_a_proxy = {"Via": "1.1 proxy"}
    for name in ("test.cvd", "test-3.cdiff", "test-1.cdiff", "test-3.cvd.sign"):
        assert (await browser.get(f"/clamav/{name}", headers=through_a_proxy)).status == 401
    here = await browser.get("/clamav/test.cvd")
    assert (here.status, here.headers["Cache-Control"]) == (200, "private, no-cache")


@pytest.fixture
async def vendor(site: WebSite, aiohttp_client: AiohttpClient) -> Browser:
    """Two versions, a month apart; one customer's licence ended in between, one's before."""
    door = CustomersDoor(
        customers(
            {
                name: licence(name, ends, feeds=("clamav",))
                for name, ends in (
                    ("early", date(2026, 2, 28)),
                    ("between", date(2026, 3, 15)),
                    ("late", date(2026, 5, 31)),
                )
            }
        )
    )
    await publish(site, 2)
    site.now = datetime(2026, 4, 1, tzinfo=UTC)
    await publish(site, 3)
    return await aiohttp_client(await site.application(door))


@pytest.mark.parametrize(
    ("who", "name", "status", "source"),
    [
        ("late", "test.cvd", 200, "test-3.cvd"),
        ("late", "test-3.cdiff", 200, "test-3.cdiff"),
        ("between", "test.cvd", 200, "test-2.cvd"),
        ("between", "test-2.cvd.sign", 200, "test-2.cvd.sign"),
        ("between", "test-2.cdiff", 200, "test-2.cdiff"),
        ("between", "test-3.cdiff", 402, ""),
        ("between", "test-3.cvd.sign", 402, ""),
        ("between", "test-4.cdiff", 404, ""),
        ("early", "test.cvd", 402, ""),
        ("early", "main.cvd", 404, ""),
        ("early", "test.cld", 404, ""),
    ],
)
async def test_a_licence_picks_the_newest_release_it_covers(
    vendor: Browser, who: str, name: str, status: int, source: str
) -> None:
    answer = await vendor.get(f"/clamav/{name}", headers=auth(who))
    assert answer.status == status
    if source:
        assert await answer.read() == genuine(source)
    if status == 402 and who == "between":
        assert answer.headers["Licence-Ends-On"] == "2026-03-15"
        assert answer.headers["Licence-Tz"] == "Asia/Tokyo"


async def test_a_renewal_counts_at_the_next_request(vendor: Browser, site: WebSite) -> None:
    gate = site.repositories.gate
    renewed = {"between": licence("between", date(2027, 3, 15), feeds=("clamav",))}
    door = CustomersDoor(customers(renewed))
    site.repositories = replace(site.repositories, gate=gate.with_door(door))
    answer = await vendor.get("/clamav/test.cvd", headers=auth("between"))
    assert await answer.read() == genuine("test-3.cvd")


async def test_a_customers_download_tells_nothing_of_what_he_may_have_now(
    vendor: Browser, site: WebSite
) -> None:
    site.now = datetime.now(UTC) + timedelta(hours=1)
    since = format_datetime(site.now - timedelta(minutes=1), usegmt=True)
    headers = {**auth("late"), "If-Modified-Since": since}
    assert (await vendor.get("/clamav/test.cvd", headers=headers)).status == 200


async def test_of_two_channels_with_one_database_the_first_is_served_and_both_are_named(
    site: WebSite, aiohttp_client: AiohttpClient
) -> None:
    await publish(site, 2, channel="another")
    await publish(site, 3, channel="clamav")
    browser = await aiohttp_client(await site.application())
    with capture_logs() as logs:
        answer = await browser.get("/clamav/test.cvd")
        assert await answer.read() == genuine("test-2.cvd")
        assert (await browser.get("/clamav/test-3.cdiff")).status == 404  # of the other channel
    told = [event["cause"] for event in logs if event["event"] == "clash"]
    assert told == ["/clamav/test.cvd: in site/another and in site/clamav; the first is served"]


async def test_databases_of_several_channels_are_one_folder(
    site: WebSite, aiohttp_client: AiohttpClient
) -> None:
    await publish(site, 2, channel="another", database="extra")
    await publish(site, 3, channel="clamav")
    browser = await aiohttp_client(await site.application())
    for name in ("extra.cvd", "extra-2.cdiff", "test.cvd", "test-3.cdiff"):
        assert (await browser.get(f"/clamav/{name}")).status == 200


async def test_a_damaged_channel_is_named_and_keeps_no_other_from_being_served(
    site: WebSite, aiohttp_client: AiohttpClient
) -> None:
    await publish(site, 2, channel="another", database="extra")
    await publish(site, 3, channel="clamav")
    browser = await aiohttp_client(await site.application())
    folder = site.mirror.folder / "r/site/targets/another/tracks"
    pointer = next(folder.glob("*.stable.json"))
    whole = pointer.read_bytes()
    pointer.write_bytes(b"{}")
    with capture_logs() as logs:
        for _ in range(3):
            answer = await browser.get("/clamav/extra.cvd")
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            assert (await browser.get("/clamav/test.cvd")).status == 200
    assert len([event for event in logs if event["event"] == "channel"]) == 1
    pointer.write_bytes(whole)


async def test_a_damaged_file_is_not_passed_on(
    site: WebSite, aiohttp_client: AiohttpClient
) -> None:
    await publish(site, 3)
    for name in ("test-3.cdiff", "test.cvd"):
        blob = next((site.mirror.folder / "r/site/targets/clamav/files").glob(f"*.{name}"))
        blob.chmod(0o644)
        blob.write_bytes(b"not it")
    browser = await aiohttp_client(await site.application())
    assert (await browser.get("/clamav/test-3.cdiff")).status == 503
    assert (await browser.get("/clamav/test.cvd")).status == 503
