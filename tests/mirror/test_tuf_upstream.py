import asyncio
import contextlib
import hashlib
import json
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from keys.errors import (
    CredentialError,
    DigestError,
    Error,
    ExpiredError,
    FetchError,
    LimitError,
    MissingError,
    RollbackError,
    StateError,
    TrustError,
    UsageError,
)
from keys.signing.keyring import open_ring
from keys.signing.layout import Layout
from keys.signing.publisher import sign
from keys.signing.state import State
from keys.trust.tuf_api import JSONSerializer
from mirror import orders
from mirror.feeds import UpstreamSettings
from mirror.pulls import Pulled, PullState
from mirror.tracks import Tracks
from mirror.upstream.access import Access, check_address
from mirror.upstream.auth import basic
from mirror.upstream.base import Pull
from mirror.upstream.client import VendorClient
from mirror.upstream.transcript import Transcript
from mirror.upstream.tuf import TufUpstream
from mirror.upstream.vendor_copy import VendorCopy
from tests.keys.signing_site import PASSPHRASE
from tests.mirror import kill_points
from tests.mirror.cascading import (
    CREDENTIAL,
    DAY,
    PASSWORD,
    WRONG,
    Cascade,
    every_kill,
    replace_url,
)
from tests.mirror.site import BY, NOW, Mirror
from tests.mirror.vendor import Vendor, root_of, serving


@pytest.fixture
async def cascade(tmp_path: Path) -> AsyncIterator[Cascade]:
    vendor = Vendor(Mirror.found(tmp_path / "vendor"), CREDENTIAL.basic())
    async with serving(vendor):
        yield Cascade(vendor, Mirror.found(tmp_path / "site"), tmp_path)


async def test_a_repository_passes_through_byte_for_byte(cascade: Cascade) -> None:
    await cascade.release(1, {"a.yar": b"one", "deep/b.yar": b"two"})
    result = await cascade.pull()
    assert (result.outcome, result.release, result.track) == ("published", "engine 1", "stable")
    assert await cascade.offered() == {"a.yar": b"one", "deep/b.yar": b"two"}
    vendor, passed = cascade.vendor.mirror.folder / "r/site", cascade.site.folder / "r/av"
    for path in passed.rglob("*.*"):
        assert path.read_bytes() == (vendor / path.relative_to(passed)).read_bytes()
    timestamp = (vendor / "metadata/timestamp.json").read_bytes()
    assert (passed / "metadata/timestamp.json").read_bytes() == timestamp
    assert not (cascade.site.folder / "quarantine/av").exists()


async def test_each_release_follows_the_one_before(cascade: Cascade) -> None:
    for number in (1, 2, 3):
        await cascade.release(number, {"a": b"%d" % number, "same": b"same"})
        await cascade.pull()
        assert await cascade.offered() == {"a": b"%d" % number, "same": b"same"}
    assert len(cascade.vendor.asked("same")) == 1


async def test_a_pull_without_a_change_makes_two_requests(cascade: Cascade) -> None:
    await cascade.release(1, {"a": b"x"})
    await cascade.pull()
    cascade.vendor.log.clear()
    assert (await cascade.pull()).outcome == "unchanged"
    assert len(cascade.vendor.log) == 2


async def test_a_wrong_password_stops_the_upstream_after_one_request(cascade: Cascade) -> None:
    cascade.password = WRONG
    with pytest.raises(CredentialError, match="401"):
        await cascade.pull()
    assert len(cascade.vendor.log) == 1
    cascade.now += DAY
    for _ in range(3):
        assert (await cascade.pull(by_hand=False)).outcome == "stopped"
    assert len(cascade.vendor.log) == 1
    with pytest.raises(CredentialError):
        await cascade.pull(by_hand=True)
    assert len(cascade.vendor.log) == 2


async def test_a_changed_password_file_starts_the_upstream_again(cascade: Cascade) -> None:
    await cascade.release(1, {"a": b"x"})
    cascade.password = WRONG
    with pytest.raises(CredentialError):
        await cascade.pull()
    cascade.password = PASSWORD
    (cascade.folder / "password").write_text("a longer one")
    cascade.now += DAY
    assert (await cascade.pull(by_hand=False)).outcome == "published"
    assert not cascade.state.read().stopped


@pytest.mark.parametrize(
    ("status", "kind"), [(403, CredentialError), (404, FetchError)], ids=["403", "404"]
)
async def test_only_an_answer_of_403_is_a_refusal_whatever_the_address_holds(
    cascade: Cascade, status: int, kind: type[Exception]
) -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    cascade.vendor.instead = answer
    url = f"http://127.0.0.1:{cascade.vendor.port}/r/site-403"
    settings = replace_url(cascade.settings, url)
    copy = VendorCopy("av", root_of(cascade.vendor.mirror, cascade.folder, 1), cascade.folder / "c")
    upstream = TufUpstream(settings, Access(url), copy, cascade.repository)
    with pytest.raises(kind):
        await upstream.check(now=NOW)


async def test_an_upstream_stays_stopped_while_nobody_answers(cascade: Cascade) -> None:
    cascade.password = WRONG
    with pytest.raises(CredentialError):
        await cascade.pull()
    port, cascade.vendor.port = cascade.vendor.port, 1
    cascade.now += DAY
    with pytest.raises(FetchError):
        await cascade.pull(by_hand=True)
    pulled = cascade.state.read()
    assert (pulled.stopped, pulled.stopped_at) == (True, NOW)
    cascade.vendor.port = port
    assert (await cascade.pull(by_hand=False)).outcome == "stopped"


async def test_a_password_changed_while_a_pull_runs_starts_the_upstream_again(
    cascade: Cascade,
) -> None:
    await cascade.release(1, {"a": b"x"})

    def changed_meanwhile(_request: web.Request, _data: bytes) -> web.Response:
        (cascade.folder / "password").write_text("another one, no longer wrong")
        return web.Response(status=401)

    cascade.vendor.meddle = changed_meanwhile
    with pytest.raises(CredentialError):
        await cascade.pull(by_hand=False)
    cascade.vendor.meddle = None
    assert (await cascade.pull(by_hand=False)).outcome == "published"


async def test_the_schedule_waits_for_the_interval(cascade: Cascade) -> None:
    await cascade.release(1, {"a": b"x"})
    await cascade.pull(by_hand=False)
    cascade.vendor.log.clear()
    assert (await cascade.pull(by_hand=False)).outcome == "not due"
    assert cascade.vendor.log == []
    cascade.now += timedelta(seconds=cascade.settings.interval_seconds)
    assert (await cascade.pull(by_hand=False)).outcome == "unchanged"


async def test_a_renewed_licence_file_makes_a_pull_due_at_once(cascade: Cascade) -> None:
    await cascade.release(1, {"a": b"x"})
    await cascade.pull(by_hand=False)
    assert (await cascade.pull(by_hand=False)).outcome == "not due"
    (cascade.folder / "password").write_text("same user, another file")
    assert (await cascade.pull(by_hand=False)).outcome == "unchanged"


async def test_a_busy_vendor_is_left_alone_for_as_long_as_it_asks(cascade: Cascade) -> None:
    cascade.vendor.meddle = lambda _r, _d: web.Response(status=429, headers={"Retry-After": "600"})
    with pytest.raises(FetchError, match="600 s"):
        await cascade.pull()
    cascade.vendor.meddle = None
    cascade.vendor.log.clear()
    cascade.now += timedelta(seconds=599)
    assert (await cascade.pull(by_hand=True)).outcome == "not due"
    assert cascade.vendor.log == []
    cascade.now += timedelta(seconds=1)
    await cascade.pull(by_hand=True)


async def test_beyond_the_licence_the_newest_covered_release_is_taken(cascade: Cascade) -> None:
    """Releases on three days; the licence covers two of them."""
    for number in (1, 2, 3):
        await cascade.release(number, {"a": b"%d" % number})
        cascade.now += DAY

    def gate(request: web.Request, data: bytes) -> web.Response | None:
        if data != b"3" or not request.path.endswith(".a"):
            return None
        headers = {"Licence-Ends-On": "2026-03-02", "Licence-Tz": "Asia/Tokyo"}
        return web.Response(status=402, headers=headers)

    cascade.vendor.meddle = gate
    with pytest.raises(Error, match="the newest release it covers: engine 2") as caught:
        await cascade.pull()
    assert caught.value.exit_code == 4
    assert await cascade.offered() == {"a": b"2"}
    failure = cascade.state.read().failure
    assert failure is not None
    assert failure.exit_code == 4
    cascade.vendor.meddle = None
    assert (await cascade.pull()).outcome == "published"
    assert await cascade.offered() == {"a": b"3"}


async def test_a_release_the_vendor_withdrew_stands_in_for_nothing(cascade: Cascade) -> None:
    for number in (1, 2):
        await cascade.release(number, {"a": b"%d" % number})
        cascade.now += DAY
    vendor = cascade.vendor.mirror
    own = Tracks("engine", vendor.publishing(), vendor.policies)
    await own.change("withdraw", orders.withdraw("stable", None), by=BY, now=cascade.now)
    await cascade.release(3, {"a": b"3"})

    def gate(request: web.Request, data: bytes) -> web.Response | None:
        if data != b"3" or not request.path.endswith(".a"):
            return None
        headers = {"Licence-Ends-On": "2026-03-02", "Licence-Tz": "Asia/Tokyo"}
        return web.Response(status=402, headers=headers)

    cascade.vendor.meddle = gate
    with pytest.raises(Error, match="the newest release it covers: engine 1"):
        await cascade.pull()
    assert await cascade.offered() == {"a": b"1"}


async def test_a_licence_that_covers_nothing_brings_metadata_only(cascade: Cascade) -> None:
    await cascade.release(1, {"a": b"1"})
    cascade.vendor.meddle = lambda request, _d: (
        web.Response(status=402, headers={"Licence-Ends-On": "2020-01-01", "Licence-Tz": "UTC"})
        if request.path.endswith(".a")
        else None
    )
    with pytest.raises(Error, match="covers: none"):
        await cascade.pull()
    assert (await asyncio.to_thread(cascade.client().offered, "engine")).sequence == 1


def flip(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize(
    ("part", "error"),
    [
        (".a", DigestError),
        ("@list", DigestError),
        ("/releases/", DigestError),
        ("/tracks/", DigestError),
        ("timestamp.json", TrustError),
        (".snapshot.json", TrustError),
        (".engine.json", TrustError),
    ],
)
async def test_a_flipped_byte_anywhere_publishes_nothing(
    cascade: Cascade, part: str, error: type[Error]
) -> None:
    await cascade.release(1, {"a": b"old"})
    await cascade.pull()
    timestamp = cascade.site.folder / "r/av/metadata/timestamp.json"
    before = timestamp.read_bytes()
    await cascade.release(2, {"a": b"new", "b": b"b"})
    cascade.vendor.meddle = lambda request, data: flip(data) if part in request.path else None
    with pytest.raises(error):
        await cascade.pull()
    assert timestamp.read_bytes() == before
    assert await cascade.offered() == {"a": b"old"}
    cascade.vendor.meddle = None
    await cascade.pull()
    assert await cascade.offered() == {"a": b"new", "b": b"b"}


async def test_an_older_timestamp_is_refused_as_a_rollback(cascade: Cascade) -> None:
    await cascade.release(1, {"a": b"1"})
    served = cascade.vendor.mirror.folder / "r/site/metadata/timestamp.json"
    old = served.read_bytes()
    await cascade.release(2, {"a": b"2"})
    await cascade.pull()
    cascade.vendor.meddle = lambda r, _d: old if r.path.endswith("/timestamp.json") else None
    with pytest.raises(RollbackError):
        await cascade.pull()
    assert await cascade.offered() == {"a": b"2"}


async def test_a_vendor_that_stopped_signing_is_noticed(cascade: Cascade) -> None:
    await cascade.release(1, {"a": b"1"})
    await cascade.pull()
    cascade.now += 10 * DAY
    with pytest.raises(ExpiredError):
        await cascade.pull()


async def test_a_cut_download_goes_on_where_it_ended(cascade: Cascade) -> None:
    whole = bytes(range(256)) * 4096
    await cascade.release(1, {"big": whole})

    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(whole))})
        await response.prepare(request)
        await response.write(whole[:300_000])
        raise ConnectionResetError

    cascade.vendor.meddle = lambda request, _d: (
        cut(request) if request.path.endswith(".big") else None
    )
    with pytest.raises(FetchError):
        await cascade.pull()
    cascade.vendor.meddle = None
    cascade.vendor.log.clear()
    part = cascade.site.folder / "quarantine/av/parts" / hashed(whole)
    held = part.stat().st_size
    assert 0 < held < len(whole)
    assert (await cascade.pull()).outcome == "published"
    assert [line.partition(" ")[2] for line in cascade.vendor.asked("big")] == [f"bytes={held}-"]
    assert await cascade.offered() == {"big": whole}


def hashed(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def test_a_damaged_part_is_fetched_from_zero(cascade: Cascade) -> None:
    await cascade.release(1, {"a": b"0123456789"})
    parts = cascade.site.folder / "quarantine/av/parts"
    parts.mkdir(parents=True)
    (parts / hashed(b"0123456789")).write_bytes(b"01xx")
    await cascade.pull()
    assert await cascade.offered() == {"a": b"0123456789"}


async def test_more_than_the_limits_is_refused_by_name(cascade: Cascade) -> None:
    await cascade.release(1, {"a": b"12345", "b": b"12345"})
    for limit in ({"max_files": 1}, {"max_release_bytes": 9}):
        fields = {"name": "av", "kind": "tuf", **limit}
        cascade.settings = UpstreamSettings(**fields)  # type: ignore[arg-type] # a table
        with pytest.raises(LimitError, match=next(iter(limit))):
            await cascade.pull()


async def test_a_body_longer_than_promised_is_cut_off(cascade: Cascade) -> None:
    await cascade.release(1, {"a": b"x"})
    cascade.vendor.meddle = lambda r, _d: b"x" * 5_000_000 if r.path.endswith(".a") else None
    with pytest.raises(LimitError):
        await cascade.pull()


@pytest.mark.slow
async def test_a_trickling_vendor_is_given_up(cascade: Cascade) -> None:
    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionResetError, asyncio.CancelledError):
            while True:
                await response.write(b"x")
                await asyncio.sleep(0.05)
        return response

    vendor = Vendor(cascade.vendor.mirror)
    vendor.instead = trickle
    async with serving(vendor):
        cascade.vendor = vendor
        with pytest.raises(FetchError, match="slower than min_rate_bytes_per_second=256"):
            await cascade.pull()


async def test_a_pull_has_a_time_limit(cascade: Cascade) -> None:
    released = asyncio.Event()

    async def hang(request: web.Request) -> web.StreamResponse:
        await released.wait()
        if request.transport:
            request.transport.abort()
        return web.Response()

    vendor = Vendor(cascade.vendor.mirror)
    vendor.instead = hang
    async with serving(vendor):
        cascade.vendor = vendor
        cascade.settings = UpstreamSettings(name="av", kind="tuf", max_pull_seconds=1)
        with pytest.raises(LimitError, match="max_pull_seconds=1"):
            await cascade.pull()
        released.set()
        await asyncio.sleep(0.05)  # the connection ends


async def test_an_unreachable_vendor_is_remembered_with_its_cause(cascade: Cascade) -> None:
    cascade.vendor.port = 1
    with pytest.raises(FetchError, match=r"127\.0\.0\.1:1"):
        await cascade.pull()
    failure = cascade.state.read().failure
    assert failure is not None
    assert failure.kind == "FetchError"
    assert PASSWORD not in (cascade.site.folder / "state/upstreams/av.json").read_text()


def rotate_root(mirror: Mirror) -> int:
    """Sign the next root with the vendor's offline keys."""
    layout = Layout(mirror.folder)
    root = State.verified(layout.read()).root
    root.version += 1
    root.expires += DAY
    signers = open_ring(layout.offline, PASSPHRASE)
    data = sign(root, [signers["root-1"]]).to_bytes(JSONSerializer(compact=True))
    (layout.metadata / f"{root.version}.root.json").write_bytes(data)
    return root.version


async def test_a_root_rotation_passes_through(cascade: Cascade) -> None:
    await cascade.release(1, {"a": b"1"})
    await cascade.pull()
    rotate_root(cascade.vendor.mirror)
    rotate_root(cascade.vendor.mirror)
    await cascade.pull()
    served = cascade.site.folder / "r/av/metadata"
    assert sorted(path.name for path in served.glob("*.root.json")) == [
        "1.root.json", "2.root.json", "3.root.json",
    ]  # fmt: skip
    assert await cascade.offered() == {"a": b"1"}
    cascade.vendor.log.clear()
    assert (await cascade.pull()).outcome == "unchanged"
    assert len(cascade.vendor.log) == 2


async def test_roots_older_than_the_one_we_were_given_pass_through_too(cascade: Cascade) -> None:
    await cascade.release(1, {"a": b"1"})
    cascade.root = rotate_root(cascade.vendor.mirror)
    cascade.vendor.meddle = lambda r, d: flip(d) if r.path.endswith("/1.root.json") else None
    with pytest.raises(TrustError):
        await cascade.pull()
    shutil.rmtree(cascade.site.folder / "state/upstreams/av/ancestors")
    cascade.vendor.meddle = None
    await cascade.pull()
    assert (cascade.site.folder / "r/av/metadata/1.root.json").exists()
    assert await cascade.offered() == {"a": b"1"}


async def test_a_kill_between_trust_and_publish_is_made_good(cascade: Cascade) -> None:
    """The trusted copy is ahead of the store: as after a crash in between."""
    await cascade.release(1, {"a": b"1"})
    upstream = cascade.upstream()
    quarantine = cascade.folder / "lost"
    quarantine.mkdir()
    await upstream.fetch(quarantine, Pull(cascade.now))
    assert (await cascade.pull()).outcome == "published"
    assert await cascade.offered() == {"a": b"1"}


async def test_two_pulls_at_once_are_one(cascade: Cascade) -> None:
    await cascade.release(1, {"a": b"1"})
    outcomes = await asyncio.gather(cascade.pull(), cascade.pull(), return_exceptions=True)
    assert sorted(type(one).__name__ for one in outcomes) == ["LockedError", "Result"]


@pytest.mark.parametrize(
    "url",
    ["http://vendor.example/r/site", "ftp://x/r", "not a url", "https://u:p@vendor.example/r"],
)
def test_an_address_that_would_leak_the_password_is_refused(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_address(Access(url, basic(CREDENTIAL)))
    assert ":p@" not in str(caught.value)


async def test_a_redirect_to_another_host_loses_the_password(tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []

    async def note(request: web.Request) -> web.StreamResponse:
        seen.append((request.host.partition(":")[0], request.headers.get("Authorization", "-")))
        if request.path == "/r/from/a":
            port = request.url.port
            return web.Response(status=302, headers={"Location": f"http://localhost:{port}/b"})
        return web.Response(body=b"there")

    vendor = Vendor(Mirror(tmp_path))
    vendor.instead = note
    transcript = Transcript()
    async with serving(vendor):
        access = Access(f"http://127.0.0.1:{vendor.port}/r/from", basic(CREDENTIAL))
        async with VendorClient(access, transcript) as client:
            assert await client.read("a", max_bytes=9) == b"there"
    assert seen[0][1].startswith("Basic ")
    assert seen[1] == ("localhost", "-")
    text = transcript.text()
    assert "> Authorization: ***" in text
    assert PASSWORD not in text
    assert seen[0][1] not in text


async def test_redirects_end(tmp_path: Path) -> None:
    vendor = Vendor(Mirror(tmp_path))

    async def around(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "again"})

    vendor.instead = around
    async with serving(vendor), VendorClient(Access(vendor.url), Transcript()) as client:
        with pytest.raises(FetchError, match="more than 5 redirects"):
            await client.read("a", max_bytes=9)
        with pytest.raises((FetchError, MissingError)):
            await client.read("b", max_bytes=9)


def test_a_damaged_memory_is_named(tmp_path: Path) -> None:
    state = PullState(tmp_path, "av")
    state.write(Pulled(release="r1"))
    assert json.loads(state.path.read_text()) == {"release": "r1"}
    assert state.read() == Pulled(release="r1")
    state.path.write_text("{")
    with pytest.raises(StateError, match=r"av\.json") as caught:
        state.read()
    assert "remove the file" in caught.value.hint


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_kill_at_any_change_of_a_passed_through_release_leaves_a_whole_one(
    cascade: Cascade,
) -> None:
    kill_points.need_strace()
    old, new = {"a": b"old", "same": b"same"}, {"a": b"new", "b": b"b", "same": b"same"}
    await cascade.release(1, old)
    await cascade.pull()
    await cascade.release(2, new)

    async def check(when: str) -> None:
        assert await cascade.offered() in (old, new), when
        await cascade.pull()
        assert await cascade.offered() == new, when

    kills = await every_kill(cascade, check)
    print(f"a passed-through release was killed at {kills} points")
    assert kills > 20
