"""Definitions fetched from the bucket itself, by an address that the mirror signs for who may."""

import asyncio
import os
import shutil
import subprocess
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pytest_aiohttp import AiohttpClient

from mirror.fleet.doors import CustomersDoor, HostsDoor
from mirror.fleet.hosts import Hosts
from mirror.storage.bucket import BucketStore
from mirror.web.cache.opening import Addresses
from mirror.web.cache.store import CachedStore
from tests.mirror.object_stores import ObjectStore
from tests.mirror.site import NOW
from tests.mirror.web_site import Browser, WebSite, auth, blob_url, customers, licence

pytestmark = pytest.mark.slow

CURL = "curl is not installed: apt-get install curl"
RULE = b"rule a { condition: false }\n"
BIG = os.urandom(400_000)


class Redirecting(WebSite):
    """A repository in a bucket, whose definitions clients fetch there."""

    bucket: BucketStore

    async def copy(self, server: ObjectStore) -> None:
        """Bring what was published to the bucket."""
        self.bucket = BucketStore(server.settings(self.folder))
        async for name in self.mirror.store.names("r"):
            await self.bucket.create(name, await self.mirror.store.read(name, max_bytes=1 << 20))
        self.keeper = CachedStore(
            self.bucket, self.folder / "cache", max_bytes=1 << 20, sends_away=True
        )

    def redirect(self) -> None:
        self.repositories = replace(self.repositories, elsewhere=Addresses(self.bucket, 60))


@pytest.fixture(autouse=True)
def _curl_is_there() -> None:
    if shutil.which("curl") is None:
        pytest.skip(CURL)


@pytest.fixture
async def site(radosgw: ObjectStore, tmp_path: Path) -> Redirecting:
    site = Redirecting(tmp_path)
    await site.publish({"a.yar": RULE, "big.bin": BIG})
    await site.copy(radosgw)
    return site


async def test_who_may_have_a_definition_is_sent_to_the_bucket_without_its_credential(
    site: Redirecting, aiohttp_client: AiohttpClient, tmp_path: Path
) -> None:
    hosts, token = Hosts().add("mx1", now=NOW)
    client = await aiohttp_client(await site.application(HostsDoor(hosts)))
    site.redirect()
    login, url = auth("mx1", token.reveal()), blob_url("big.bin", BIG)
    for headers in ({}, auth("mx1", "wrong")):
        async with client.get(url, headers=headers, allow_redirects=False) as answer:
            assert answer.status == 401
    async with client.get(url, headers=login, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Cache-Control"]) == (307, "no-store")
        place = answer.headers["Location"]
    assert token.reveal() not in place
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in place
    same = {**login, "If-None-Match": f'"{url.rpartition("/")[2][:64]}"'}
    async with client.get(url, headers=same, allow_redirects=False) as answer:
        assert answer.status == 304
    async with client.get(blob_url("a.yar", RULE), headers=login) as answer:
        assert await answer.read() == RULE  # small ones come from memory
    whole, part = tmp_path / "whole", tmp_path / "part"
    # radosgw refuses a request with two credentials: what curl sends there holds one
    await _curl(client, "mx1:" + token.reveal(), url, whole)
    await _curl(client, "mx1:" + token.reveal(), url, part, "-r", "0-511")
    assert (whole.read_bytes(), part.read_bytes()) == (BIG, BIG[:512])
    assert not list((tmp_path / "cache").glob("blobs/*/*"))
    async with client.head(url, headers=login, allow_redirects=False) as answer:
        assert (answer.status, answer.content_length) == (200, len(BIG))  # it is signed for GET
    dated = {**login, "If-Modified-Since": "Fri, 01 Jan 2038 00:00:00 GMT"}
    async with client.get(url, headers=dated, allow_redirects=False) as answer:
        # the bucket would say that nothing changed since: it knows only when it got the object
        assert (answer.status, await answer.read()) == (200, BIG)


async def _curl(client: Browser, login: str, url: str, to: Path, *more: str) -> None:
    address = str(client.make_url(url))
    words = ["curl", "-sSfL", "-u", login, "-o", str(to), *more, address]
    done = await asyncio.to_thread(subprocess.run, words, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


async def test_a_licence_is_checked_before_anybody_is_sent_away(
    site: Redirecting, aiohttp_client: AiohttpClient
) -> None:
    known = customers({
        "covered": licence("covered", date(2027, 3, 31)),
        "ended": licence("ended", NOW.date() - timedelta(days=200)),
    })  # fmt: skip
    client = await aiohttp_client(await site.application(CustomersDoor(known)))
    site.redirect()
    url = blob_url("big.bin", BIG)
    for username, status in (("covered", 307), ("ended", 402)):
        async with client.get(url, headers=auth(username), allow_redirects=False) as answer:
            assert answer.status == status, username
            assert (status == 307) == ("Location" in answer.headers)


async def test_an_address_holds_for_one_object_and_some_seconds(
    site: Redirecting, radosgw: ObjectStore
) -> None:
    name = f"{blob_url('big.bin', BIG)[1:]}"
    address = await Addresses(site.bucket, 1).address(name)
    parts = urlsplit(address)
    assert f"{parts.scheme}://{parts.netloc}" == radosgw.endpoint
    assert "X-Amz-Expires=1" in parts.query
    await asyncio.sleep(2.5)
    words = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}"]
    for asked in (address, address.replace("big.bin", "a.yar")):
        done = await asyncio.to_thread(
            subprocess.run, [*words, asked], capture_output=True, check=False
        )
        assert done.stdout == b"403"
