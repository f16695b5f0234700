"""Minisign signatures of plain files: made when a release is published, read by real clients."""

import asyncio
import io
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pytest_aiohttp import AiohttpClient

from keys.errors import LimitError, TrustError
from keys.model.release import Assurance, Manifest, Pin, blob_name
from keys.model.sidecars import Sidecars, decode_sidecars, encode_sidecars, sidecars_target
from keys.signing.minisign import KEY_FILE, PUBLIC_FILE, new_key
from keys.trust.vendor.minisign import verify_minisign
from keys.trust.vendor.verdict import Verdict
from mirror.collect import collect
from mirror.fleet.doors import CustomersDoor
from mirror.intake import Label
from mirror.web.access import Proxies
from tests.keys.signing_site import PASSPHRASE
from tests.mirror.site import NOW
from tests.mirror.web_site import Browser, WebSite, auth, customers

FILES = {"a.rules": b"alert", "規則/b c.yar": b"rule b {}"}
DAY = timedelta(days=1)


@pytest.fixture
def site(tmp_path: Path) -> WebSite:
    return WebSite(tmp_path, signs_files=True)


@pytest.fixture
async def browser(site: WebSite, aiohttp_client: AiohttpClient) -> Browser:
    return await aiohttp_client(await site.application())


def online(site: WebSite) -> Path:
    return site.mirror.folder / "keys/online"


def place(site: WebSite, manifest: Manifest) -> Path:
    assert manifest.sidecars is not None
    target = sidecars_target(manifest.channel, manifest.sequence)
    name = blob_name(target, manifest.sidecars.sha256)
    return site.mirror.folder / "r/site/targets" / name


def read(site: WebSite, manifest: Manifest) -> Sidecars:
    return decode_sidecars(place(site, manifest).read_bytes(), "sidecars")


def verified(data: bytes, signature: bytes, key: bytes | str, path: str) -> Verdict:
    verdict = verify_minisign(io.BytesIO(data), signature, [key], path)
    assert verdict.assurance is Assurance.signed
    return verdict


async def get(browser: Browser, url: str, headers: dict[str, str] | None = None) -> bytes:
    async with browser.get(url, headers=headers) as answer:
        assert answer.status == 200, (url, answer.status)
        return await answer.read()


async def test_each_file_and_each_original_has_a_signature_of_the_sites_key(
    site: WebSite, browser: Browser
) -> None:
    await site.publish(FILES, originals={"archive.tar.gz": b"archive"})
    await site.site.refresh()
    key = await get(browser, "/files/inhouse/minisign.pub")
    assert key == (online(site) / PUBLIC_FILE).read_bytes()
    for path, data in (*FILES.items(), ("archive.tar.gz", b"archive")):
        signature = await get(browser, f"/files/inhouse/latest/{path}.minisig")
        assert signature == await get(browser, f"/files/inhouse/1/{path}.minisig")
        assert verified(data, signature, key, path).signed_at == NOW


async def test_real_minisign_takes_every_signature_and_no_other_file(
    site: WebSite, browser: Browser, tmp_path: Path
) -> None:
    need("minisign")
    await site.publish(FILES)
    await site.site.refresh()
    (tmp_path / "site.pub").write_bytes(await get(browser, "/files/inhouse/minisign.pub"))
    for path, data in FILES.items():
        signature = await get(browser, f"/files/inhouse/latest/{path}.minisig")
        (tmp_path / "file.minisig").write_bytes(signature)
        for content, code in ((data, 0), (data + b"x", 1)):
            (tmp_path / "file").write_bytes(content)
            assert await run("minisign", "-V", "-p", "site.pub", "-m", "file", at=tmp_path) == code


async def test_a_file_that_stays_keeps_its_signature(site: WebSite) -> None:
    first = read(site, await site.publish({"a.yar": b"a", "b.yar": b"b"}))
    site.now += DAY
    second = read(site, await site.publish({"a.yar": b"a", "b.yar": b"B", "c.yar": b"a"}))
    assert second.signatures["a.yar"] == first.signatures["a.yar"]
    assert second.signatures["b.yar"] != first.signatures["b.yar"]
    assert second.signatures["c.yar"] != first.signatures["a.yar"]  # it names another file
    verified(b"B", second.signatures["b.yar"].encode(), second.key, "b.yar")


async def test_with_another_key_every_file_is_signed_anew(site: WebSite) -> None:
    first = read(site, await site.publish({"a.yar": b"a"}))
    for name, data in new_key(PASSPHRASE).items():
        (online(site) / name).write_bytes(data)
    second = read(site, await site.publish({"a.yar": b"a", "b.yar": b"b"}))
    assert second.key != first.key
    for path, data in (("a.yar", b"a"), ("b.yar", b"b")):
        verified(data, second.signatures[path].encode(), second.key, path)


@pytest.mark.parametrize("damage", [None, b"", b"no zstd frame"], ids=["lost", "empty", "other"])
async def test_damaged_signatures_are_made_anew(site: WebSite, damage: bytes | None) -> None:
    last = place(site, await site.publish({"a.yar": b"a"}))
    last.unlink()
    if damage is not None:
        last.write_bytes(damage)
    found = read(site, await site.publish({"a.yar": b"a", "b.yar": b"b"}))
    verified(b"a", found.signatures["a.yar"].encode(), found.key, "a.yar")


async def test_a_site_without_the_key_publishes_without_signatures(site: WebSite) -> None:
    (online(site) / KEY_FILE).unlink()
    manifest = await site.publish({"a.yar": b"a"})
    assert manifest.sidecars is None


async def test_garbage_collection_keeps_signatures_as_long_as_their_release(
    site: WebSite,
) -> None:
    site.keep = 1
    first = await site.publish({"a.yar": b"a"})
    second = await site.publish({"a.yar": b"A"})
    later = datetime.now(UTC) + 9 * DAY  # files are as old as the test
    await collect(site.mirror.store, site.mirror.repository, now=later, dry_run=False)
    assert place(site, second).exists()
    assert not place(site, first).exists()


async def test_the_signatures_are_for_every_visitor_as_manifests_are(
    site: WebSite, aiohttp_client: AiohttpClient
) -> None:
    manifest = await site.publish({"a.yar": b"a"}, label=Label(redistribution="none"))
    browser = await aiohttp_client(await site.application(CustomersDoor(customers({}))))
    assert manifest.sidecars is not None
    name = blob_name(sidecars_target("inhouse", 1), manifest.sidecars.sha256)
    async with browser.get(f"/r/site/targets/{name}", headers=auth("nobody")) as answer:
        assert answer.status == 401
    await browser.close()
    elsewhere = Proxies(("127.0.0.1",), required=False)
    browser = await aiohttp_client(await site.application())
    site.door(site.repositories.gate.door, proxies=elsewhere)
    await get(browser, f"/r/site/targets/{name}", {"X-Forwarded-For": "203.0.113.9"})


def test_signatures_come_back_from_their_frame_and_damaged_ones_do_not() -> None:
    sidecars = Sidecars("key", {"規則.yar": "signature", "a": "b"})
    data = encode_sidecars(sidecars)
    assert decode_sidecars(data, "x") == sidecars
    assert Pin.of(data) == Pin.of(encode_sidecars(sidecars))
    for damaged in (data[:-1], data + b"x", b"", b"{}"):
        with pytest.raises(TrustError):
            decode_sidecars(damaged, "x")
    with pytest.raises((TrustError, LimitError)):
        decode_sidecars(encode_sidecars(Sidecars("k" * 20_000, {})), "x")


async def test_real_wget_mirrors_a_release_and_real_tools_check_it(
    site: WebSite, browser: Browser, tmp_path: Path
) -> None:
    need("wget")
    need("minisign")
    await site.publish(FILES, originals={"archive.tar.gz": b"archive" * 9999})
    await site.site.refresh()
    taken = tmp_path / "taken"
    taken.mkdir()
    address = f"http://{browser.host}:{browser.port}/files/inhouse"
    quiet = ("wget", "--quiet", "--restrict-file-names=nocontrol", "--tries=1")
    everything = ("--recursive", "--no-parent", "--no-host-directories", "--cut-dirs=3")
    assert await run(*quiet, *everything, f"{address}/latest/", at=taken) == 0
    files = {
        path.relative_to(taken).as_posix(): path
        for path in taken.rglob("*")
        if path.is_file() and path.suffix not in {".sha256", ".minisig", ".html", ".pub", ".tmp"}
    }
    assert sorted(files) == sorted([*FILES, "archive.tar.gz"])
    for path in files.values():
        check = f"{path.name}.sha256"
        assert await run("sha256sum", "--check", "--strict", "--quiet", check, at=path.parent) == 0
        key = str(taken / "minisign.pub")
        assert await run("minisign", "-V", "-q", "-p", key, "-m", path.name, at=path.parent) == 0
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        assert await run("sha256sum", "--check", "--quiet", check, at=path.parent) == 1


async def test_real_wget_asks_again_by_date_and_goes_on_where_it_stopped(
    site: WebSite, browser: Browser, tmp_path: Path
) -> None:
    need("wget")
    await site.publish({"a.rules": b"0123456789" * 99_999})
    await site.site.refresh()
    address = f"http://{browser.host}:{browser.port}/files/inhouse/latest/a.rules"
    wget = ("wget", "--quiet", "--tries=1")
    assert await run(*wget, "--timestamping", address, at=tmp_path) == 0
    taken = tmp_path / "a.rules"
    before = taken.stat()
    assert await run(*wget, "--timestamping", address, at=tmp_path) == 0
    assert taken.stat() == before
    taken.write_bytes(taken.read_bytes()[:500_000])
    assert await run(*wget, "--continue", address, at=tmp_path) == 0
    assert taken.read_bytes() == b"0123456789" * 99_999
    await site.publish({"a.rules": b"rolled on"})
    await site.site.refresh()
    (tmp_path / "a.rules").unlink()
    assert await run(*wget, address, at=tmp_path) == 0
    assert taken.read_bytes() == b"rolled on"


def need(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed: apt-get install {program}")


async def run(*words: str, at: Path) -> int:
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=at,
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.DEVNULL,
    )
    return await process.wait()
