"""Who is served what: public, this site's own hosts, or nobody but this machine."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_aiohttp import AiohttpClient

from keys.credentials import Secret
from keys.model.release import Manifest, Redistribution, blob_name, file_list_target
from mirror.feeds import UpstreamSettings
from mirror.fleet.doors import HostsDoor, OpenDoor, Visitor
from mirror.fleet.hosts import Hosts
from mirror.fleet.sharing import Sharing, admits, strictest
from mirror.intake import Label
from mirror.web.access import Proxies
from tests.mirror.site import NOW
from tests.mirror.web_site import Browser, WebSite, auth, blob_url

PUBLIC_KEEPS = "public, max-age=31536000, immutable"
PRIVATE_KEEPS = "private, max-age=31536000, immutable"
ELSEWHERE = {"X-Forwarded-For": "203.0.113.9"}  # through the proxy, from another machine
WORDS: tuple[Redistribution, ...] = ("public", "licensed-hosts", "none")


@pytest.fixture
def site(tmp_path: Path) -> WebSite:
    return WebSite(tmp_path)


@pytest.fixture
def token() -> Secret:
    return Hosts().add("mx1", now=NOW)[1]


class Site:
    """An open mirror behind a proxy, and one host that has a credential."""

    def __init__(self, site: WebSite, browser: Browser, token: Secret) -> None:
        self.site = site
        self.browser = browser
        self.host = auth("mx1", token.reveal())

    async def status(self, url: str, headers: Mapping[str, str] = ELSEWHERE) -> int:
        async with self.browser.get(url, headers=headers) as answer:
            return answer.status


@pytest.fixture
async def mirror(site: WebSite, aiohttp_client: AiohttpClient) -> Site:
    hosts, token = Hosts().add("mx1", now=NOW)
    browser = await aiohttp_client(await site.application())
    site.door(OpenDoor(hosts), proxies=Proxies(("127.0.0.1",), required=False))
    return Site(site, browser, token)


async def publish(
    mirror: Site, word: Redistribution, contents: Mapping[str, bytes] | None = None
) -> Manifest:
    label = Label(redistribution=word)
    manifest = await mirror.site.publish(contents or {"a.yar": b"rule"}, label=label)
    await mirror.site.site.refresh()
    return manifest


async def test_the_manifest_carries_the_word_and_the_class(mirror: Site) -> None:
    label = Label("yara", "documents", "none")
    manifest = await mirror.site.publish({"a.pdf": b"%PDF"}, label=label)
    assert (manifest.engine, manifest.content, manifest.redistribution) == (
        "yara", "documents", "none",
    )  # fmt: skip


async def test_what_is_public_goes_to_everybody_and_everybody_may_keep_it(mirror: Site) -> None:
    await publish(mirror, "public")
    answer = await mirror.browser.get(blob_url("a.yar", b"rule"), headers=ELSEWHERE)
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == PUBLIC_KEEPS


async def test_what_is_for_licensed_hosts_is_refused_to_the_nameless_with_a_reason(
    mirror: Site,
) -> None:
    await publish(mirror, "licensed-hosts")
    answer = await mirror.browser.get(blob_url("a.yar", b"rule"), headers=ELSEWHERE)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert answer.headers["Cache-Control"] == "no-store"
    assert await answer.json() == {
        "error": "credential",
        "message": "channel inhouse is for this mirror's own hosts "
        "(redistribution = licensed-hosts): a credential is needed",
    }


async def test_a_host_known_by_name_gets_it_and_no_proxy_may_keep_it(mirror: Site) -> None:
    await publish(mirror, "licensed-hosts")
    url = blob_url("a.yar", b"rule")
    answer = await mirror.browser.get(url, headers=ELSEWHERE | mirror.host)
    assert (answer.status, await answer.read()) == (200, b"rule")
    assert answer.headers["Cache-Control"] == PRIVATE_KEEPS
    held = {"If-None-Match": answer.headers["ETag"]}
    again = await mirror.browser.get(url, headers=ELSEWHERE | mirror.host | held)
    assert (again.status, again.headers["Cache-Control"]) == (304, PRIVATE_KEEPS)
    assert await mirror.status(url, ELSEWHERE | held) == 401


async def test_a_wrong_credential_opens_nothing_and_closes_nothing_public(mirror: Site) -> None:
    wrong = ELSEWHERE | auth("mx1", "guessed")
    await publish(mirror, "licensed-hosts")
    assert await mirror.status(blob_url("a.yar", b"rule"), wrong) == 401
    await publish(mirror, "public", {"free.yar": b"free"})
    assert await mirror.status(blob_url("free.yar", b"free"), wrong) == 200


async def test_what_may_not_be_passed_on_is_refused_to_known_hosts_too_and_never_with_403(
    mirror: Site,
) -> None:
    await publish(mirror, "none")
    answer = await mirror.browser.get(blob_url("a.yar", b"rule"), headers=ELSEWHERE | mirror.host)
    assert answer.status == 402
    assert "Licence-Ends-On" not in answer.headers
    assert (await answer.json())["message"] == (
        "channel inhouse may not be passed on (redistribution = none)"
    )


@pytest.mark.parametrize("word", WORDS)
async def test_metadata_manifests_and_file_lists_are_for_every_visitor(
    mirror: Site, word: Redistribution
) -> None:
    manifest = await publish(mirror, word)
    listed = blob_name(file_list_target("inhouse", 1), manifest.file_list.sha256)
    names = [
        path.relative_to(mirror.site.mirror.folder).as_posix()
        for path in (mirror.site.mirror.folder / "r/site").rglob("*.json")
    ]
    assert any("/releases/" in name for name in names)
    for name in (*names, f"r/site/targets/{listed}"):
        answer = await mirror.browser.get(f"/{name}", headers=ELSEWHERE)
        assert answer.status == 200, name


@pytest.mark.parametrize("word", WORDS)
async def test_this_machine_itself_is_served_everything(
    site: WebSite, aiohttp_client: AiohttpClient, word: Redistribution
) -> None:
    await site.publish({"a.yar": b"rule"}, label=Label(redistribution=word))
    browser = await aiohttp_client(await site.application())
    answer = await browser.get(blob_url("a.yar", b"rule"))
    assert answer.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "203.0.113.9"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-For": "127.0.0.1, 203.0.113.9"},
        {"X-Forwarded-For": ""},
        {"Forwarded": "for=127.0.0.1"},
        {"X-Real-IP": "127.0.0.1"},
        {"Via": "1.1 cache"},
    ],
    ids=str,
)
@pytest.mark.parametrize("trusted", [(), ("127.0.0.1",)], ids=["unnamed proxy", "named proxy"])
async def test_a_request_through_a_proxy_on_this_machine_is_not_this_machines_own(
    site: WebSite,
    aiohttp_client: AiohttpClient,
    headers: Mapping[str, str],
    trusted: tuple[str, ...],
) -> None:
    await site.publish({"a.yar": b"rule"}, label=Label(redistribution="licensed-hosts"))
    browser = await aiohttp_client(await site.application())
    site.door(OpenDoor(), proxies=Proxies(trusted, required=False))
    answer = await browser.get(blob_url("a.yar", b"rule"), headers=headers)
    assert answer.status == 401


async def test_a_trusted_proxy_that_tells_no_client_is_not_this_machine(
    site: WebSite, aiohttp_client: AiohttpClient
) -> None:
    await site.publish({"a.yar": b"rule"}, label=Label(redistribution="licensed-hosts"))
    browser = await aiohttp_client(await site.application())
    site.door(OpenDoor(), proxies=Proxies(("127.0.0.1",), required=False))
    assert (await browser.get(blob_url("a.yar", b"rule"))).status == 401


async def test_where_hosts_log_in_the_licensed_go_to_hosts_and_the_rest_to_nobody(
    site: WebSite, aiohttp_client: AiohttpClient
) -> None:
    hosts, token = Hosts().add("mx1", now=NOW)
    for channel, word in zip(("open", "paid", "mine"), WORDS, strict=True):
        await site.publish(
            {"a.yar": channel.encode()}, channel=channel, label=Label(redistribution=word)
        )
    browser = await aiohttp_client(await site.application(HostsDoor(hosts)))
    site.door(HostsDoor(hosts), proxies=Proxies(("127.0.0.1",), required=False))
    for channel, status in (("open", 200), ("paid", 200), ("mine", 402)):
        url = blob_url("a.yar", channel.encode(), channel=channel)
        named = await browser.get(url, headers=ELSEWHERE | auth("mx1", token.reveal()))
        nameless = await browser.get(url, headers=ELSEWHERE)
        assert (named.status, nameless.status) == (status, 401)


async def test_a_stricter_setting_counts_at_once_for_what_was_published_as_public(
    mirror: Site,
) -> None:
    await publish(mirror, "public")
    paid = UpstreamSettings(name="u", kind="drop", channel="inhouse", redistribution="none")
    mirror.site.sharing = Sharing.of([paid])
    mirror.site.door(OpenDoor(), proxies=Proxies(("127.0.0.1",), required=False))
    assert await mirror.status(blob_url("a.yar", b"rule")) == 402


async def test_the_newest_release_that_names_a_file_decides(mirror: Site) -> None:
    both = {"kept.yar": b"kept", "old.yar": b"old"}
    await publish(mirror, "licensed-hosts", both)
    await publish(mirror, "public", {"kept.yar": b"kept", "new.yar": b"new"})
    assert await mirror.status(blob_url("kept.yar", b"kept")) == 200
    assert await mirror.status(blob_url("old.yar", b"old")) == 401
    await publish(mirror, "none", {"kept.yar": b"kept"})
    assert await mirror.status(blob_url("kept.yar", b"kept")) == 402
    assert await mirror.status(blob_url("new.yar", b"new")) == 200


async def test_a_file_no_release_names_any_more_is_as_strict_as_its_channel(
    site: WebSite, aiohttp_client: AiohttpClient
) -> None:
    site.keep = 1
    await site.publish({"old.yar": b"old"})
    await site.publish({"new.yar": b"new"}, label=Label(redistribution="licensed-hosts"))
    browser = await aiohttp_client(await site.application())
    site.door(OpenDoor(), proxies=Proxies(("127.0.0.1",), required=False))
    answer = await browser.get(blob_url("old.yar", b"old"), headers=ELSEWHERE)
    assert answer.status == 401


@pytest.mark.parametrize("part", ["releases/*", "files/@list/*"])
async def test_a_damaged_channel_is_shared_with_nobody_and_the_others_are_served(
    site: WebSite, aiohttp_client: AiohttpClient, part: str
) -> None:
    for channel in ("broken", "whole"):
        await site.publish({"a.yar": channel.encode()}, channel=channel)
    (damaged,) = (site.mirror.folder / "r/site/targets/broken").glob(part)
    genuine = damaged.read_bytes()
    damaged.write_bytes(b"{")
    browser = await aiohttp_client(await site.application())
    site.door(OpenDoor(), proxies=Proxies(("127.0.0.1",), required=False))
    await site.site.refresh()
    blob = {channel: blob_url("a.yar", channel.encode(), channel=channel)
            for channel in ("broken", "whole")}  # fmt: skip
    assert await Site(site, browser, Secret("")).status(blob["whole"]) == 200
    assert await Site(site, browser, Secret("")).status(blob["broken"]) == 402
    assert site.site.problem
    damaged.write_bytes(genuine)
    await site.site.refresh()
    assert await Site(site, browser, Secret("")).status(blob["broken"]) == 200
    assert not site.site.problem


async def test_other_terms_alone_make_another_release(mirror: Site) -> None:
    first = await publish(mirror, "public")
    again = await publish(mirror, "public")
    stricter = await publish(mirror, "none")
    assert (first.sequence, again.sequence, stricter.sequence) == (1, 1, 2)


def test_a_repository_whose_upstream_is_gone_is_for_licensed_hosts() -> None:
    sharing = Sharing.of([UpstreamSettings(name="vendor", kind="tuf")])
    assert sharing.word("vendor", "av") == "public"
    assert sharing.word("gone", "av") == "licensed-hosts"
    assert sharing.word("site", "by-hand") == "public"


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        (UpstreamSettings(name="u", kind="http", channel="c"), "public"),
        (UpstreamSettings(name="u", kind="http", channel="c", auth="query"), "licensed-hosts"),
        (UpstreamSettings(name="u", kind="http", channel="c", licence="l"), "licensed-hosts"),
        (
            UpstreamSettings(
                name="u", kind="http", channel="c", auth="basic", redistribution="public"
            ),
            "public",
        ),
    ],
    ids=["no credential", "a token", "a licence", "the operator says public"],
)
def test_a_credentialed_feed_is_for_licensed_hosts_unless_the_operator_says_otherwise(
    settings: UpstreamSettings, word: Redistribution
) -> None:
    assert Sharing.of([settings]).word("site", "c") == word


def test_of_two_upstreams_of_one_channel_the_stricter_counts() -> None:
    free = UpstreamSettings(name="free", kind="drop", channel="c")
    paid = UpstreamSettings(name="paid", kind="http", channel="c", auth="path")
    assert Sharing.of([free, paid]).word("site", "c") == "licensed-hosts"
    assert Sharing.of([paid, free]).word("site", "c") == "licensed-hosts"


@given(st.lists(st.sampled_from(WORDS)), st.sampled_from(WORDS), st.text(max_size=3))
def test_no_further_word_makes_anything_less_strict(
    words: list[Redistribution], more: Redistribution, name: str
) -> None:
    visitor = Visitor(name)
    if admits(strictest([*words, more]), visitor):
        assert admits(strictest(words), visitor)
        assert admits(more, visitor)
