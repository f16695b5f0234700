"""Who is let in, and what a licence covers, over HTTP."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from multidict import CIMultiDict
from pytest_aiohttp import AiohttpClient

from keys.model.release import Manifest, blob_name, file_list_target, manifest_target
from mirror.fleet.customers import Customers
from mirror.fleet.doors import CustomersDoor, HostsDoor
from mirror.fleet.hosts import Hosts
from mirror.fleet.throttle import MAX_FAILURES
from mirror.web.access import Proxies, basic
from tests.mirror.site import NOW
from tests.mirror.web_site import Browser, WebSite, auth, blob_url, customers, licence

TIMESTAMP = "/r/site/metadata/timestamp.json"
MARCH = licence("EAV-0123456", date(2026, 3, 31))
APRIL = licence("EAV-0654321", date(2026, 4, 15))


@pytest.fixture
def site(tmp_path: Path) -> WebSite:
    return WebSite(tmp_path)


@pytest.fixture
async def vendor(site: WebSite, aiohttp_client: AiohttpClient) -> Browser:
    """A vendor with two customers."""
    door = CustomersDoor(customers({"EAV-0123456": MARCH, "EAV-0654321": APRIL}))
    return await aiohttp_client(await site.application(door))


async def test_a_host_is_let_in_by_its_token_only(
    site: WebSite, aiohttp_client: AiohttpClient
) -> None:
    hosts, token = Hosts().add("scanner-1", now=NOW)
    client = await aiohttp_client(await site.application(HostsDoor(hosts)))
    for username, password, status in (
        ("scanner-1", token.reveal(), 200),
        ("scanner-1", token.reveal() + "x", 401),
        ("scanner-2", token.reveal(), 401),
        ("scanner-1", "", 401),
    ):
        answer = await client.get(TIMESTAMP, headers=auth(username, password))
        assert answer.status == status
    nobody = await client.get(TIMESTAMP)
    assert nobody.status == 401
    assert nobody.headers["WWW-Authenticate"] == 'Basic realm="sigmirror", charset="UTF-8"'
    assert (await nobody.json())["error"] == "credential"


async def test_a_host_may_keep_what_it_got_but_proxies_may_not(
    site: WebSite, aiohttp_client: AiohttpClient
) -> None:
    hosts, token = Hosts().add("scanner-1", now=NOW)
    await site.publish({"a.yar": b"a"})
    client = await aiohttp_client(await site.application(HostsDoor(hosts)))
    answer = await client.get(blob_url("a.yar", b"a"), headers=auth("scanner-1", token.reveal()))
    assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"


async def test_both_tokens_count_while_a_rotation_overlaps(
    site: WebSite, aiohttp_client: AiohttpClient
) -> None:
    hosts, old = Hosts().add("scanner-1", now=NOW)
    hosts, new = hosts.rotate("scanner-1", now=NOW, overlap=timedelta(hours=24))
    client = await aiohttp_client(await site.application(HostsDoor(hosts)))
    for hours, old_status in ((0, 200), (23, 200), (24, 401)):
        site.now = NOW + timedelta(hours=hours)
        for token, status in ((old, old_status), (new, 200)):
            answer = await client.get(TIMESTAMP, headers=auth("scanner-1", token.reveal()))
            assert answer.status == status


async def test_who_guesses_has_to_wait_and_nobody_else(
    site: WebSite, aiohttp_client: AiohttpClient
) -> None:
    hosts, token = Hosts().add("scanner-1", now=NOW)
    hosts, other = hosts.add("scanner-2", now=NOW)
    client = await aiohttp_client(await site.application(HostsDoor(hosts)))
    for _ in range(MAX_FAILURES):
        assert (await client.get(TIMESTAMP, headers=auth("scanner-1", "guess"))).status == 401
    waits = await client.get(TIMESTAMP, headers=auth("scanner-1", token.reveal()))
    assert waits.status == 429
    assert 0 < int(waits.headers["Retry-After"]) <= 60
    assert (await client.get(TIMESTAMP, headers=auth("scanner-2", other.reveal()))).status == 200


async def test_a_customer_is_let_in_by_his_password_only(vendor: Browser) -> None:
    for username, password, status in (
        ("EAV-0123456", "correct horse", 200),
        ("EAV-0123456", "correct horse", 200),
        ("EAV-0123456", "correct horsf", 401),
        ("eav-0123456", "correct horse", 401),
        ("EAV-0123457", "correct horse", 401),
    ):
        assert (await vendor.get(TIMESTAMP, headers=auth(username, password))).status == status


async def test_a_removed_customer_is_let_in_no_longer(vendor: Browser, site: WebSite) -> None:
    assert (await vendor.get(TIMESTAMP, headers=auth("EAV-0123456"))).status == 200
    site.door(CustomersDoor(customers({"EAV-0654321": APRIL})))
    await site.site.refresh()
    assert (await vendor.get(TIMESTAMP, headers=auth("EAV-0123456"))).status == 401


async def test_a_licence_gates_definitions_and_never_metadata(
    vendor: Browser, site: WebSite
) -> None:
    site.now = datetime(2026, 4, 2, 12, tzinfo=UTC)
    manifest = await site.publish({"a.yar": b"a"})
    for url in documents(site, manifest):
        assert (await vendor.get(url, headers=auth("EAV-0123456"))).status == 200, url
    covered = await vendor.get(blob_url("a.yar", b"a"), headers=auth("EAV-0654321"))
    assert covered.status == 200
    refused = await vendor.get(blob_url("a.yar", b"a"), headers=auth("EAV-0123456"))
    assert refused.status == 402
    assert refused.headers["Licence-Ends-On"] == "2026-03-31"
    assert refused.headers["Licence-Tz"] == "Asia/Tokyo"
    assert await refused.json() == {
        "error": "licence",
        "message": "the licence covers releases of channel inhouse up to 2026-03-31 (Asia/Tokyo)",
    }


def documents(site: WebSite, manifest: Manifest) -> list[str]:
    """List the URLs of all signed metadata, the manifest and the file list."""
    repository = site.mirror.folder / "r/site"
    metadata = [f"/r/site/metadata/{path.name}" for path in (repository / "metadata").iterdir()]
    listed = file_list_target("inhouse", manifest.sequence)
    folder = repository / "targets" / manifest_target("inhouse", manifest.sequence)
    found = next(folder.parent.glob(f"*.{manifest.sequence}.json"))
    return [
        *metadata,
        f"/r/site/{found.relative_to(repository)}",
        f"/r/site/targets/{blob_name(listed, manifest.file_list.sha256)}",
    ]


async def test_a_release_of_the_last_evening_in_tokyo_is_covered(
    vendor: Browser, site: WebSite
) -> None:
    for minute, status in ((59, 200), (60, 402)):
        site.now = datetime(2026, 3, 31, 14, 0, 30, tzinfo=UTC) + timedelta(minutes=minute)
        data = b"at %d" % minute
        await site.publish({"a.yar": data})
        answer = await vendor.get(blob_url("a.yar", data), headers=auth("EAV-0123456"))
        assert answer.status == status


async def test_a_file_an_early_release_named_stays_covered(vendor: Browser, site: WebSite) -> None:
    site.now = datetime(2026, 3, 20, 12, tzinfo=UTC)
    await site.publish({"a.yar": b"old", "b.yar": b"same"})
    site.now = datetime(2026, 4, 20, 12, tzinfo=UTC)
    await site.publish({"a.yar": b"new", "b.yar": b"same"})
    for path, data, status in (
        ("a.yar", b"old", 200),
        ("b.yar", b"same", 200),
        ("a.yar", b"new", 402),
    ):
        answer = await vendor.get(blob_url(path, data), headers=auth("EAV-0123456"))
        assert answer.status == status


async def test_a_blob_published_a_moment_ago_is_not_refused(vendor: Browser, site: WebSite) -> None:
    """Another process published; this one was not told yet."""
    await site.publish({"a.yar": b"a"})
    answer = await vendor.get(blob_url("a.yar", b"a"), headers=auth("EAV-0654321"))
    assert answer.status == 200


async def test_the_licence_of_another_channel_covers_nothing(
    vendor: Browser, site: WebSite
) -> None:
    await site.publish({"a.yar": b"a"}, channel="other")
    answer = await vendor.get(blob_url("a.yar", b"a", channel="other"), headers=auth("EAV-0123456"))
    assert answer.status == 402
    assert "Licence-Ends-On" not in answer.headers


async def test_a_licence_that_has_not_begun_covers_nothing(
    site: WebSite, aiohttp_client: AiohttpClient
) -> None:
    pending = licence("EAV-1", date(2027, 3, 31), starts_on=date(2026, 4, 1))
    client = await aiohttp_client(
        await site.application(CustomersDoor(customers({"EAV-1": pending})))
    )
    await site.publish({"a.yar": b"a"})
    assert (await client.get(TIMESTAMP, headers=auth("EAV-1"))).status == 200
    assert (await client.get(blob_url("a.yar", b"a"), headers=auth("EAV-1"))).status == 402


async def test_an_early_renewal_is_held_beside(
    site: WebSite, aiohttp_client: AiohttpClient
) -> None:
    early = licence("EAV-0123456", date(2027, 3, 31), starts_on=date(2026, 4, 1), sequence=2)
    held = customers({"EAV-0123456": MARCH}).renew("EAV-0123456", early)
    client = await aiohttp_client(await site.application(CustomersDoor(held)))
    for month in (3, 4, 12):
        site.now = datetime(2026, month, 15, 12, tzinfo=UTC)
        data = b"month %d" % month
        await site.publish({"a.yar": data})
        answer = await client.get(blob_url("a.yar", data), headers=auth("EAV-0123456"))
        assert answer.status == 200


async def test_a_clock_set_back_revives_no_licence(vendor: Browser, site: WebSite) -> None:
    site.now = datetime(2026, 3, 20, 12, tzinfo=UTC)
    begins = licence("EAV-0123456", date(2027, 3, 31), starts_on=date(2026, 4, 1), sequence=2)
    held: Customers = customers({"EAV-0123456": begins})
    site.now = datetime(2026, 4, 20, 12, tzinfo=UTC)
    await site.publish({"a.yar": b"a"})
    site.door(CustomersDoor(held))
    await site.site.refresh()
    site.now = datetime(2020, 1, 1, tzinfo=UTC)
    answer = await vendor.get(blob_url("a.yar", b"a"), headers=auth("EAV-0123456"))
    assert answer.status == 200


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.2.3.4, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("198.51.100.1", "203.0.113.9", "198.51.100.1"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
    ],
)
def test_the_client_is_the_last_address_no_trusted_proxy_has(
    peer: str, forwarded: str, client: str
) -> None:
    assert Proxies(("10.0.0.0/8",), required=False).client(peer, forwarded) == client


async def test_nobody_comes_around_the_proxy_that_ends_tls(
    site: WebSite, aiohttp_client: AiohttpClient
) -> None:
    hosts, token = Hosts().add("scanner-1", now=NOW)
    client = await aiohttp_client(await site.application())
    for trusted, status in (("192.0.2.0/24", 400), ("127.0.0.0/8", 200)):
        site.door(HostsDoor(hosts), proxies=Proxies((trusted,), required=True))
        await site.site.refresh()
        answer = await client.get(TIMESTAMP, headers=auth("scanner-1", token.reveal()))
        assert answer.status == status


@pytest.mark.parametrize(
    "header",
    ["", "Basic", "Basic !!!", "Bearer abc", "Basic bm9jb2xvbg==", "Basic /w==", "basic Og=="],
)
def test_what_is_no_basic_credential_is_none(header: str) -> None:
    assert basic(header) is None


async def test_a_forged_address_in_a_header_of_its_own_does_not_help_who_guesses(
    site: WebSite, aiohttp_client: AiohttpClient
) -> None:
    hosts, _ = Hosts().add("scanner-1", now=NOW)
    client = await aiohttp_client(await site.application())
    site.door(HostsDoor(hosts), proxies=Proxies(("127.0.0.1",), required=True))
    statuses = []
    for number in range(MAX_FAILURES + 1):
        headers = CIMultiDict(auth("scanner-1", "guess"))
        headers.add("X-Forwarded-For", f"192.0.2.{number}")  # sent by the client
        headers.add("X-Forwarded-For", "203.0.113.9")  # added by the proxy
        statuses.append((await client.get(TIMESTAMP, headers=headers)).status)
    assert statuses == [401] * MAX_FAILURES + [429]
