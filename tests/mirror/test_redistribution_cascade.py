"""What is not to be passed on, through two mirrors: a parent, and one that cascades from it."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer

from keys.errors import CredentialError, Error
from keys.model.release import Redistribution
from keys.model.sidecars import sidecars_target
from mirror.feeds import UpstreamSettings
from mirror.fleet.doors import CustomersDoor, OpenDoor
from mirror.fleet.hosts import Hosts
from mirror.fleet.sharing import Sharing
from mirror.fleet.throttle import Throttle
from mirror.intake import Label
from mirror.web.access import Gate, Proxies
from mirror.web.hot import HotRepository
from mirror.web.native.index import NativeIndex
from mirror.web.repository import Repositories
from tests.mirror.cascading import USER, Cascade
from tests.mirror.site import NOW, Mirror
from tests.mirror.vendor import Vendor
from tests.mirror.web_site import WebSite, auth, customers, licence

ANONYMOUS = UpstreamSettings(name="av", kind="tuf")
STRANGERS = Proxies(("127.0.0.1",), required=False)  # nobody who asks is this machine
ELSEWHERE = {"X-Forwarded-For": "203.0.113.9"}
WORDS: dict[str, Redistribution] = {"free": "public", "paid": "licensed-hosts", "mine": "none"}


@dataclass
class Address(Vendor):
    """A parent mirror that is somebody else's process."""

    at: str = ""

    @property
    def url(self) -> str:
        return f"{self.at}/r/site"


@dataclass
class Pair:
    """The parent, and the mirror below it."""

    parent: WebSite
    cascade: Cascade
    folder: Path
    hosts: Hosts
    known: dict[str, str]

    async def publish(self, channel: str, contents: Mapping[str, bytes], label: Label) -> None:
        await self.parent.publish(contents, channel=channel, label=label)
        await self.parent.site.refresh()

    def held(self, part: str) -> list[str]:
        """Name the files of the cascaded repository with this in their names."""
        top = self.cascade.site.folder / "r/av/targets"
        return sorted(path.name for path in top.rglob("*") if path.is_file() and part in str(path))

    async def status(
        self, path: str, upstreams: tuple[UpstreamSettings, ...], headers: Mapping[str, str]
    ) -> tuple[int, str]:
        """Ask the mirror below, as somebody on another machine, for a file."""
        site = WebSite(self.folder / f"below-{len(list(self.folder.iterdir()))}")
        site.mirror, site.store = self.cascade.site, self.cascade.site.store
        app = await site.application(OpenDoor(self.hosts))
        by_name = {name: HotRepository(site.store, name) for name in ("site", "av")}
        for repository in by_name.values():
            await repository.refresh()
        site.repositories = Repositories(
            store=site.store,
            by_name=by_name,
            gate=Gate(OpenDoor(self.hosts), Throttle(), STRANGERS),
            public=True,
            sharing=Sharing.of(upstreams),
            index=NativeIndex(by_name, gated=False),
        )
        async with (
            TestClient(TestServer(app)) as browser,
            browser.get(path, headers=ELSEWHERE | dict(headers)) as answer,
        ):
            return answer.status, answer.headers.get("Cache-Control", "")


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    parent = WebSite(tmp_path / "parent", signs_files=True)
    server = TestServer(await parent.application())
    parent.door(OpenDoor(), proxies=STRANGERS)
    await parent.site.refresh()
    await server.start_server()
    vendor = Address(parent.mirror, at=str(server.make_url("")).rstrip("/"))
    site = Mirror.found(tmp_path / "site")
    (tmp_path / "cascade").mkdir()
    cascade = Cascade(vendor, site, tmp_path / "cascade", settings=ANONYMOUS)
    hosts, token = Hosts().add("mx1", now=NOW)
    yield Pair(parent, cascade, tmp_path, hosts, auth("mx1", token.reveal()))
    await server.close()


async def test_a_mirror_without_a_credential_takes_what_is_public_and_names_the_rest(
    pair: Pair,
) -> None:
    for channel, word in WORDS.items():
        await pair.publish(
            channel, {f"{channel}.yar": channel.encode()}, Label(redistribution=word)
        )
    result = await pair.cascade.pull()
    assert (result.outcome, result.release) == ("published", "free 1")
    assert result.detail == (
        "mine: not shared with us (redistribution = none); "
        "paid: not shared with us (redistribution = licensed-hosts)"
    )
    assert len(pair.held(".yar")) == 1
    assert (await pair.cascade.pull()).outcome == "unchanged"
    await pair.publish("free", {"free.yar": b"newer"}, Label())
    assert (await pair.cascade.pull()).release == "free 2"


async def test_a_mirror_with_a_credential_takes_what_is_for_licensed_hosts(pair: Pair) -> None:
    for channel, word in WORDS.items():
        await pair.publish(
            channel, {f"{channel}.yar": channel.encode()}, Label(redistribution=word)
        )
    customer = licence(USER, date(2026, 4, 30))
    feeds = msgspec.structs.replace(customer, feeds=tuple(WORDS))
    pair.parent.door(
        CustomersDoor(customers({USER: feeds})), proxies=STRANGERS,
    )  # fmt: skip
    await pair.parent.site.refresh()
    pair.cascade = replace(
        pair.cascade,
        settings=UpstreamSettings(name="av", kind="tuf", licence="av-2026"),
        password="correct horse",  # noqa: S106 - the customer's of the test
    )
    result = await pair.cascade.pull()
    assert result.release == "free 1, paid 1"
    assert result.detail == "mine: not shared with us (redistribution = none)"


async def test_a_wrong_credential_stops_the_upstream_and_is_no_matter_of_sharing(
    pair: Pair,
) -> None:
    await pair.publish("paid", {"a.yar": b"rule"}, Label(redistribution="licensed-hosts"))
    pair.cascade = replace(
        pair.cascade, settings=UpstreamSettings(name="av", kind="tuf", licence="av-2026")
    )
    with pytest.raises(CredentialError):
        await pair.cascade.pull()
    assert pair.cascade.state.read().stopped


async def test_originals_and_signatures_come_along_where_they_are_wanted(pair: Pair) -> None:
    await pair.parent.publish({"a.yar": b"rule"}, originals={"a.zip": b"PK"}, channel="free")
    await pair.parent.site.refresh()
    pair.cascade.settings = UpstreamSettings(name="av", kind="tuf", originals=False)
    await pair.cascade.pull()
    assert (len(pair.held("a.yar")), pair.held("a.zip"), pair.held("@sidecars")) == (1, [], [])
    pair.cascade.settings = ANONYMOUS
    await pair.parent.publish({"a.yar": b"rule 2"}, originals={"a.zip": b"PK"}, channel="free")
    await pair.parent.site.refresh()
    result = await pair.cascade.pull()
    assert (len(pair.held("a.yar")), len(pair.held("a.zip"))) == (2, 1)
    assert pair.held("@sidecars")[0].endswith(".2.json.zst")
    assert result.detail == ""
    for path in ("a.yar.minisig", "a.zip", "minisign.pub"):
        upstreams = (ANONYMOUS,)
        assert (await pair.status(f"/files/free/latest/{path}", upstreams, {}))[0] == 200


async def test_a_parent_that_has_no_originals_is_named_and_its_files_are_taken(
    pair: Pair,
) -> None:
    manifest = await pair.parent.publish(
        {"a.yar": b"rule"}, originals={"a.zip": b"PK"}, channel="free"
    )
    assert manifest.sidecars is not None
    for lost in ("*.a.zip", f"*.{sidecars_target('free', 1).rpartition('/')[2]}"):
        for path in (pair.parent.mirror.folder / "r/site/targets").rglob(lost):
            if "@list" not in str(path):
                path.unlink()
    await pair.parent.site.refresh()
    result = await pair.cascade.pull()
    assert (result.outcome, result.detail) == (
        "published", "free: the vendor serves no originals of it",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("vendors", "sites", "nameless", "named"),
    [
        ("public", "public", 200, 200),
        ("public", "licensed-hosts", 401, 200),
        ("licensed-hosts", "public", 401, 200),
        ("public", "none", 402, 402),
        ("none", "public", 402, 402),
        ("public", None, 401, 200),
    ],
)
async def test_the_stricter_word_of_vendor_and_site_counts_and_a_gone_upstream_is_for_hosts(
    pair: Pair,
    vendors: Redistribution,
    sites: Redistribution | None,
    nameless: int,
    named: int,
) -> None:
    await pair.publish("free", {"a.yar": b"rule"}, Label(redistribution=vendors))
    pair.parent.door(OpenDoor())  # the parent is on this machine: it gives everything
    await pair.parent.site.refresh()
    await pair.cascade.pull()
    (blob,) = pair.held("a.yar")
    url = f"/r/av/targets/free/files/{blob}"
    upstreams = (UpstreamSettings(name="av", kind="tuf", redistribution=sites),) if sites else ()
    status, keep = await pair.status(url, upstreams, {})
    assert status == nameless
    assert status != 200 or keep.startswith("public")
    assert (await pair.status(url, upstreams, pair.known))[0] == named


async def test_a_vendor_that_asks_for_a_login_everywhere_is_still_an_error(pair: Pair) -> None:
    pair.parent.door(CustomersDoor(customers({})), proxies=STRANGERS)
    with pytest.raises(Error) as caught:
        await pair.cascade.pull()
    assert caught.value.exit_code == 4
