"""Names below ``/files/``: any letter of any script, and no way out of a release."""

import asyncio
import json
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, unquote, urljoin

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pytest_aiohttp import AiohttpClient

from keys.errors import NameRefusedError
from keys.model.names import check_path
from mirror.web.native.pages import size
from mirror.web.native.plain import Wanted, link, wanted
from tests.mirror.web_site import Browser, WebSite

NAMES = (
    "規則.yar",
    "日本語/手引き 2.pdf",
    "a b+c&d=e?f#g%h.rules",
    "<script>alert(1)</script>.yar",
    "'\"`;$(reboot).yar",
    "a:b.yar",
    "@list.yar",
    "Ünï.yar",
    "latest/1/x.yar",
)


@pytest.fixture
async def site(tmp_path: Path) -> WebSite:
    site = WebSite(tmp_path)
    await site.publish({name: name.encode() for name in NAMES})
    return site


@pytest.fixture
async def browser(site: WebSite, aiohttp_client: AiohttpClient) -> Browser:
    return await aiohttp_client(await site.application())


class Links(HTMLParser):
    """The links and the elements of a page, as a browser finds them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.elements: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.links += [value or "" for name, value in attrs if name in {"href", "src"}]


async def raw(browser: Browser, target: str) -> tuple[int, bytes]:
    """Ask for a target as it is written; clients would make it clean first."""
    reader, writer = await asyncio.open_connection(browser.host, browser.port)
    request = f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    writer.write(request.encode("latin-1"))
    data = await reader.read()
    writer.close()
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


async def test_every_name_is_served_under_its_percent_encoded_self(browser: Browser) -> None:
    for name in NAMES:
        status, body = await raw(browser, f"/files/inhouse/latest/{quote(name)}")
        assert (status, body) == (200, name.encode()), name


async def test_a_decomposed_name_is_the_same_name(browser: Browser) -> None:
    decomposed = quote(unicodedata.normalize("NFD", "Ünï.yar"))
    assert decomposed != quote("Ünï.yar")
    assert (await raw(browser, f"/files/inhouse/1/{decomposed}"))[0] == 200


async def test_every_link_of_a_page_leads_to_what_it_names(browser: Browser) -> None:
    for page in ("/files/", "/files/inhouse/", "/files/inhouse/latest/", "/files/inhouse/1/"):
        async with browser.get(page) as answer:
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            found = Links(await answer.text())
        assert found.elements <= {
            "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "a",
            "table", "tr", "th", "td", "code", "span",
        }  # fmt: skip
        for href in found.links:
            status, body = await raw(browser, urljoin(page, href))
            assert status == 200, href
            if href.endswith(".yar"):
                assert unquote(href).endswith(body.decode())


async def test_pages_are_sorted_and_the_same_as_json(browser: Browser) -> None:
    for address, headers in (
        ("/files/inhouse/latest/index.json", {}),
        ("/files/inhouse/latest/?json", {}),
        ("/files/inhouse/latest/", {"Accept": "application/json"}),
    ):
        async with browser.get(address, headers=headers) as answer:
            assert answer.headers["Content-Type"] == "application/json"
            page = json.loads(await answer.read())
        assert [file["path"] for file in page["files"]] == sorted(NAMES)
        assert all(file["length"] == len(file["path"].encode()) for file in page["files"])


@pytest.mark.parametrize("where", ["/files", "/files/inhouse", "/files/inhouse/latest"])
async def test_a_folder_without_its_slash_is_found_with_it(browser: Browser, where: str) -> None:
    async with browser.get(where, allow_redirects=False) as answer:
        assert answer.status == 301
        assert urljoin(where, answer.headers["Location"]) == f"{where}/"
    async with browser.get(f"{where}?json") as answer:
        assert answer.headers["Content-Type"] == "application/json"
    async with browser.get(where) as answer:
        assert (answer.status, answer.url.path) == (200, f"{where}/")


@pytest.mark.parametrize(
    "target",
    [
        "/files/inhouse/latest/../../../keys/online/online.pem",
        "/files/inhouse/latest/%2e%2e/%2e%2e/keys/online/online.pem",
        "/files/inhouse/latest/..%2f..%2fkeys%2fonline%2fonline.pem",
        "/files/../../etc/passwd",
        "/files/..",
        "/files/%2e%2e/",
        "/files//inhouse/latest/a.yar",
        "/files/inhouse//latest/a.yar",
        "/files/inhouse/latest//etc/passwd",
        "/files/inhouse/latest/%00",
        "/files/inhouse/latest/a%00.yar",
        "/files/inhouse/latest/%ff%fe.yar",
        "/files/inhouse/latest/\xff.yar",
        "/files/inhouse/latest/%E8%A6%8F%E5%89%87.yar/",
        "/files/inhouse/latest/%",
        "/files/inhouse/0/a.yar",
        "/files/inhouse/01/a.yar",
        "/files/inhouse/-1/a.yar",
        "/files/inhouse/%D9%A1/a.yar",
        "/files/inhouse/99999999999999999999/a.yar",
        "/files/inhouse/LATEST/a.yar",
        "/files/inhouse/sub/a.yar",
        "/files/site/inhouse/latest/a.yar",
        "/files/inhouse/latest/@list/1.json.zst",
        "/files/inhouse/latest/" + "a/" * 3000,
        "/files/inhouse/latest/" + "x" * 5000,
        "/filesystem/",
    ],
)
async def test_a_hostile_path_is_not_found(browser: Browser, target: str) -> None:
    status, body = await raw(browser, target)
    assert status in {400, 404}
    assert b"PRIVATE" not in body
    assert b"root:" not in body


@given(st.text(max_size=60) | st.from_regex(r"(%[0-9a-fA-F]{2}|[a-z./%]){0,40}"))
@example("/files/a/latest/..")
def test_no_path_climbs_or_crashes(path: str) -> None:
    found = wanted(f"/files/{path}")
    if found is not None:
        assert found.channel or not (found.edition or found.path)
        assert "\0" not in found.edition
        assert found.sequence is None or found.sequence > 0


@given(st.text(min_size=1, max_size=30))
def test_every_path_a_release_may_have_comes_back_from_its_link(path: str) -> None:
    try:
        check_path(path)
    except NameRefusedError:
        return
    raw_path = urljoin("/files/kam/7/", link(path))
    assert wanted(raw_path) == Wanted("kam", "7", path, is_folder=False)


@pytest.mark.parametrize(
    ("length", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3 << 20, "3.0 MiB"), (1 << 45, "32.0 TiB")],
)
def test_sizes_are_written_for_people(length: int, shown: str) -> None:
    assert size(length) == shown
