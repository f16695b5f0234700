"""Databases from a private mirror, by requests of our own."""

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest
from aiohttp import web

from keys.credentials import Credential, Secret
from keys.errors import (
    CredentialError,
    DigestError,
    FetchError,
    FormatError,
    LicenceEndedError,
    LimitError,
    RefusedError,
    RollbackError,
    SignatureError,
    TrustError,
)
from keys.model.release import Assurance
from keys.trust.vendor import rsa
from keys.trust.vendor.cld import verify_cld
from mirror.upstream.answers import BLOCKED_SECONDS, BusyError, wait_seconds
from tests.clamav_vendor import VENDOR, Issue, issue
from tests.mirror.clamav_pulling import Pulling, names
from tests.mirror.clamav_vendor_server import RECORD, ClamavServer, serving
from tests.real_data import real_data

ONE = issue(1, hdb="a\n")
TWO = issue(2, hdb="a\nb\n")
THREE = issue(3, hdb="a\nb\nc\n")
FOUR = issue(4, hdb="a\nb\nc\nd\n")


@pytest.fixture
async def server() -> AsyncIterator[ClamavServer]:
    async with serving(ClamavServer()) as one:
        yield one


@pytest.fixture
def daily(tmp_path: Path, server: ClamavServer) -> Pulling:
    """A pull of the tests' own vendor's ``daily``."""
    return Pulling(tmp_path, server, {"databases": ("daily",)})


@pytest.fixture
def genuine(tmp_path: Path, server: ClamavServer) -> Pulling:
    """A pull of the genuine database ``test``, verified with the vendor's keys."""
    return Pulling(tmp_path, server, keys=rsa.CLAMAV)


async def test_a_genuine_database_is_followed_from_version_to_version(genuine: Pulling) -> None:
    server = genuine.server
    server.genuine(1)
    first = await genuine.release()
    assert [file.path for file in first.files] == ["test.cld"]
    assert names(first) == {"test.cvd", "test-1.cvd.sign"}
    server.genuine(2)
    server.genuine(3)
    third = await genuine.release()
    assert third.release == "test-3"
    assert third.assurance is Assurance.signed
    assert third.provenance.vendor_version == "test 3"
    assert third.signatures == 11
    assert third.vendor_time == datetime.fromisoformat("2021-06-23T00:40:09+00:00")
    assert names(third) == {
        "test.cvd", "test-3.cvd.sign",
        "test-2.cdiff", "test-2.cdiff.sign", "test-3.cdiff", "test-3.cdiff.sign",
    }  # fmt: skip
    with (third.folder / "test.cld").open("rb") as file:
        assert verify_cld(file, "test.cld").version == 3


async def test_no_change_costs_one_small_request_for_each_database(daily: Pulling) -> None:
    daily.settings = {"databases": ("main", "daily")}
    server = daily.server
    server.release(Issue("main", 62, (("main.hdb", b"x\n"),)))
    server.release(ONE)
    await daily.release()
    server.forget()
    assert await daily.pull() is None
    assert server.paths == ["main.cvd", "daily.cvd"]
    assert {asked.range for asked in server.asked} == {"bytes=0-511"}
    assert all(asked.since for asked in server.asked)
    assert server.sent == 0


async def test_we_call_ourselves_by_our_name(daily: Pulling) -> None:
    daily.server.release(ONE)
    await daily.release()
    assert {asked.agent.partition("/")[0] for asked in daily.server.asked} == {"sigmirror"}


async def test_one_step_asks_for_the_database_its_signature_and_its_cdiff(daily: Pulling) -> None:
    server = daily.server
    server.release(ONE, signed=True)
    await daily.release()
    server.forget()
    server.release(TWO, ONE, signed=True)
    await daily.release()
    assert server.paths == [
        "daily.cvd", "daily.cvd", "daily-2.cvd.sign", "daily-2.cdiff.sign", "daily-2.cdiff",
    ]  # fmt: skip


async def test_several_steps_bring_every_cdiff_between(daily: Pulling) -> None:
    server = daily.server
    server.release(ONE)
    await daily.release()
    for new, old in ((TWO, ONE), (THREE, TWO), (FOUR, THREE)):
        server.release(new, old)
    brought = await daily.release()
    assert names(brought) == {"daily.cvd", "daily-2.cdiff", "daily-3.cdiff", "daily-4.cdiff"}


async def test_a_lost_cdiff_is_remembered_and_not_asked_for_again(daily: Pulling) -> None:
    server = daily.server
    server.release(ONE)
    await daily.release()
    server.release(TWO)
    assert names(await daily.release()) == {"daily.cvd"}
    server.forget()
    server.release(THREE, TWO)
    assert names(await daily.release()) == {"daily.cvd", "daily-3.cdiff"}
    assert "daily-2.cdiff" not in server.paths


async def test_an_empty_cdiff_is_none(daily: Pulling) -> None:
    daily.server.release(ONE)
    await daily.release()
    daily.server.release(TWO)
    daily.server.files["daily-2.cdiff"] = b""
    assert names(await daily.release()) == {"daily.cvd"}


async def test_as_many_cdiffs_are_kept_as_the_settings_say(daily: Pulling) -> None:
    daily.settings["keep_cdiffs"] = 2
    daily.server.release(ONE)
    await daily.release()
    kept: set[str] = set()
    for new, old in ((TWO, ONE), (THREE, TWO), (FOUR, THREE)):
        daily.server.release(new, old, signed=True)
        kept = names(await daily.release())
        assert daily.held() == kept
    assert kept == {
        "daily.cvd", "daily-4.cvd.sign",
        "daily-3.cdiff", "daily-3.cdiff.sign", "daily-4.cdiff", "daily-4.cdiff.sign",
    }  # fmt: skip


async def test_a_lost_working_folder_costs_one_download(daily: Pulling) -> None:
    daily.server.release(ONE)
    await daily.release()
    for path in daily.working.iterdir():
        path.unlink()
    assert await daily.pull() is None
    daily.server.release(TWO, ONE)
    assert names(await daily.release()) == {"daily.cvd", "daily-2.cdiff"}


async def test_the_txt_record_is_asked_first_and_alone(daily: Pulling) -> None:
    server = daily.server
    daily.settings |= {"dns": RECORD, "resolver": server.resolver}
    server.release(ONE)
    server.record(daily=1)
    await daily.release()
    server.forget()
    assert await daily.pull() is None
    assert (server.queries, server.paths) == ([RECORD], [])


@pytest.mark.parametrize("txt", ["", "junk", "0.103.12:62:x:1:0:90:1:339"])
async def test_a_record_that_does_not_tell_is_made_up_for_by_the_mirror_and_noted(
    daily: Pulling, txt: str
) -> None:
    daily.server.release(ONE)
    daily.server.txt = txt
    daily.settings |= {"dns": RECORD, "resolver": daily.server.resolver}
    offer = await daily.check()
    assert (offer.version, daily.server.paths) == ("daily 1", ["daily.cvd"])
    assert offer.note.startswith(f"dns: {RECORD}: ")
    assert offer.note.endswith("the mirror itself was asked")


async def test_a_record_that_lags_behind_does_not_take_us_back(daily: Pulling) -> None:
    daily.settings |= {"dns": RECORD, "resolver": daily.server.resolver}
    daily.server.release(TWO)
    daily.server.record(daily=2)
    await daily.release()
    daily.server.record(daily=1)
    assert await daily.pull() is None


async def test_a_mirror_behind_the_record_is_asked_again_later(daily: Pulling) -> None:
    daily.settings |= {"dns": RECORD, "resolver": daily.server.resolver}
    daily.server.release(ONE)
    daily.server.record(daily=1)
    await daily.release()
    daily.server.record(daily=2)
    daily.server.forget()
    with pytest.raises(FetchError, match=r"version 1, though current\.cvd.* tells of 2") as caught:
        await daily.pull()
    assert caught.value.retryable
    assert daily.server.sent == 0, "no database is fetched in vain"
    daily.server.release(TWO, ONE)
    assert (await daily.release()).release == "daily-2"


async def test_a_mirror_that_is_always_late_is_followed_nevertheless(daily: Pulling) -> None:
    daily.settings |= {"dns": RECORD, "resolver": daily.server.resolver}
    daily.server.record(daily=9)
    for old, new in ((None, ONE), (ONE, TWO)):
        daily.server.release(new, old)
        assert (await daily.release()).release == f"daily-{new.version}"


async def test_a_server_without_ranges_is_read_no_further_than_needed(daily: Pulling) -> None:
    daily.server.release(issue(1, hdb="".join(f"{n:032x}:{n}:x\n" for n in range(200_000))))
    daily.server.ranges = False
    upstream = daily.upstream()
    assert (await upstream.check(now=daily.now)).version == "daily 1"
    assert upstream.transcript.received <= 512 << 10


async def test_yesterdays_file_with_todays_date_is_a_rollback(daily: Pulling) -> None:
    daily.server.release(TWO)
    await daily.release()
    daily.server.release(ONE)
    daily.server.dates = False
    with pytest.raises(RollbackError, match="version 1; version 2 was there before"):
        await daily.pull()


async def test_a_rollback_is_seen_without_the_working_folder(daily: Pulling) -> None:
    daily.server.release(TWO)
    await daily.release()
    for path in daily.working.iterdir():
        path.unlink()
    daily.server.release(ONE)
    with pytest.raises(RollbackError, match="version 1, though version 2 was published before"):
        await daily.pull()
    (daily.folder / "state/published.json").unlink()
    with pytest.raises(RollbackError, match="version 1, though version 2 was published before"):
        await daily.pull()


async def test_a_database_that_changes_between_two_requests_is_taken_whole_or_not(
    daily: Pulling,
) -> None:
    daily.server.release(ONE)
    await daily.release()
    older, newer = VENDOR.cvd(ONE), VENDOR.cvd(TWO)
    daily.server.files["daily.cvd"] = newer

    def meddle(request: web.Request, data: bytes) -> bytes:
        return data if "Range" in request.headers else older

    daily.server.meddle = meddle
    with pytest.raises(FetchError, match="not in sync"):
        await daily.pull()
    assert daily.working.joinpath("daily.cvd").read_bytes() == older


async def test_a_database_that_is_newer_than_its_header_said_is_welcome(daily: Pulling) -> None:
    daily.server.release(TWO, ONE)
    newer = VENDOR.cvd(THREE)
    daily.server.meddle = lambda request, data: (
        newer if request.path == "/daily.cvd" and "Range" not in request.headers else data
    )
    assert (await daily.release()).release == "daily-3"


def _relabelled(data: bytes) -> bytes:
    return data.replace(b":2:", b":9:", 1)


def _forged(_: bytes) -> bytes:
    """A huge nothing with a proper header's shape: what cvdupdate takes."""
    header = f"ClamAV-VDB:01 Jan 2026 00-00 +0000:99:1:63:{'0' * 32}:garbage:me:1767225600"
    return header.encode().ljust(512) + bytes(1 << 20)


@pytest.mark.parametrize(
    ("damage", "error", "says"),
    [
        (lambda data: data[:-7], TrustError, "daily.cvd"),
        (lambda data: data[:600], TrustError, "cut off"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), TrustError, "daily.cvd"),
        (_relabelled, SignatureError, "forged header: its version says 9"),
        (_forged, TrustError, "daily.cvd"),
        (lambda _: VENDOR.cvd(Issue("main", 2, (("main.hdb", b"x\n"),))), SignatureError,
         "is signed as main, not as daily"),
    ],
    ids=["short", "shorter", "flipped", "relabelled", "garbage", "another database"],
)  # fmt: skip
async def test_what_the_vendor_did_not_sign_never_leaves_quarantine(
    daily: Pulling, damage: object, error: type[Exception], says: str
) -> None:
    daily.server.dates = False
    daily.server.release(ONE)
    await daily.release()
    daily.server.files["daily.cvd"] = damage(VENDOR.cvd(TWO))  # type: ignore[operator] # a table
    with pytest.raises(error, match=says):
        await daily.pull()
    assert not (daily.working / "daily.cvd").exists(), "a refused file is asked for again"
    daily.server.release(TWO, ONE)
    assert (await daily.release()).release == "daily-2"


@pytest.mark.parametrize(
    ("page", "says"),
    [("daily.cvd", "(?i)html|web page"), ("main.cvd", "(?i)git.lfs")],
    ids=["block page", "LFS pointer"],
)
async def test_what_is_no_database_is_named(daily: Pulling, page: str, says: str) -> None:
    daily.server.files["daily.cvd"] = (real_data("clamav/not-a-database") / page).read_bytes()
    with pytest.raises(FormatError, match=says) as caught:
        await daily.pull()
    assert wait_seconds(caught.value) == (BLOCKED_SECONDS if page == "daily.cvd" else 0)


async def test_a_cdiff_that_is_not_the_vendors_is_refused_and_forgotten(daily: Pulling) -> None:
    daily.server.release(ONE)
    await daily.release()
    daily.server.release(TWO, ONE)
    good = daily.server.files["daily-2.cdiff"]
    daily.server.files["daily-2.cdiff"] = good[:-3] + b"abc"
    with pytest.raises(SignatureError, match=r"daily-2\.cdiff"):
        await daily.pull()
    assert names(await daily.release()) == {"daily.cvd"}


async def test_a_refused_cdiff_is_asked_for_again_and_taken_once_it_is_mended(
    daily: Pulling,
) -> None:
    daily.server.release(ONE)
    await daily.release()
    daily.server.release(TWO, ONE)
    good = daily.server.files["daily-2.cdiff"]
    daily.server.files["daily-2.cdiff"] = good[:-3] + b"abc"
    with pytest.raises(SignatureError, match=r"daily-2\.cdiff"):
        await daily.pull()
    daily.server.files["daily-2.cdiff"] = good
    assert names(await daily.release()) == {"daily.cvd", "daily-2.cdiff"}


async def test_the_cdiff_of_another_step_is_refused(daily: Pulling) -> None:
    daily.server.release(ONE)
    await daily.release()
    daily.server.release(TWO, ONE)
    daily.server.files["daily-2.cdiff"] = VENDOR.cdiff_between(TWO, THREE)
    with pytest.raises(SignatureError, match="is signed as the step of daily to version 3"):
        await daily.pull()


async def test_a_cdiff_that_leads_elsewhere_is_refused_though_the_vendor_signed_it(
    daily: Pulling,
) -> None:
    daily.server.release(ONE)
    await daily.release()
    daily.server.release(TWO, ONE)
    elsewhere = issue(2, hdb="a\nx\n")
    daily.server.files["daily-2.cdiff"] = VENDOR.cdiff_between(ONE, elsewhere)
    with pytest.raises(
        DigestError, match=r"daily-2\.cdiff: does not lead to the vendor's version 2"
    ):
        await daily.pull()
    assert names(await daily.release()) == {"daily.cvd"}


async def test_a_cdiff_that_does_not_fit_is_refused_though_the_vendor_signed_it(
    daily: Pulling,
) -> None:
    daily.server.release(ONE)
    await daily.release()
    daily.server.release(THREE, TWO)
    wrong = VENDOR.cdiff(2, b"OPEN daily.hdb\nDEL 7 zzz\nCLOSE\n")
    daily.server.files["daily-2.cdiff"] = wrong
    with pytest.raises(DigestError, match=r"daily-2\.cdiff: does not lead on from version 1"):
        await daily.pull()
    assert names(await daily.release()) == {"daily.cvd", "daily-3.cdiff"}


async def test_without_what_was_proven_before_cdiffs_are_taken_by_their_signatures(
    daily: Pulling,
) -> None:
    daily.server.release(ONE)
    await daily.release()
    (daily.folder / "state/proven/daily.cvd").write_bytes(VENDOR.cvd(ONE)[:-5])
    daily.server.release(TWO, ONE)
    assert names(await daily.release()) == {"daily.cvd", "daily-2.cdiff"}


@pytest.mark.parametrize("demand", ["sign", "both"])
async def test_a_stripped_signature_is_refused_where_it_is_demanded(
    daily: Pulling, demand: str
) -> None:
    certificates = VENDOR.certificates(daily.folder / "certificates")
    daily.settings |= {"signatures": demand, "certificates": str(certificates)}
    daily.server.release(TWO, ONE, signed=True)
    sign = daily.server.files.pop("daily-2.cvd.sign")
    with pytest.raises(SignatureError, match=r"there is no \.sign file"):
        await daily.pull()
    daily.server.files["daily-2.cvd.sign"] = sign
    assert "daily-2.cvd.sign" in names(await daily.release()), "it is asked for again"
    daily.server.release(THREE, TWO, signed=True)
    assert names(await daily.release()) >= {"daily-3.cvd.sign", "daily-3.cdiff.sign"}


@pytest.mark.parametrize("demand", ["legacy", "sign"])
async def test_a_signature_that_does_not_hold_is_always_refused(
    daily: Pulling, demand: str
) -> None:
    certificates = VENDOR.certificates(daily.folder / "certificates")
    daily.settings |= {"signatures": demand, "certificates": str(certificates)}
    daily.server.release(ONE, signed=True)
    daily.server.files["daily-1.cvd.sign"] = VENDOR.sign(b"something else")
    with pytest.raises(SignatureError, match=r"daily-1\.cvd\.sign"):
        await daily.pull()


async def test_without_certificates_a_signature_is_passed_on_and_that_is_told(
    daily: Pulling,
) -> None:
    daily.server.release(ONE, signed=True)
    assert "daily-1.cvd.sign" in names(await daily.release())
    assert any("unproven" in lack for lack in daily.upstream().lacks)
    daily.server.release(TWO, ONE)
    daily.server.files["daily-2.cvd.sign"] = b"<html>blocked</html>"
    with pytest.raises(FormatError, match=r"not a \.sign file but an? (HTML|web) page"):
        await daily.pull()


async def test_a_signature_that_comes_late_is_waited_for(daily: Pulling) -> None:
    daily.server.release(ONE, signed=True)
    await daily.release()
    daily.server.release(TWO, ONE, signed=True)
    late = daily.server.files.pop("daily-2.cvd.sign")
    assert names(await daily.release()) == {"daily.cvd", "daily-2.cdiff", "daily-2.cdiff.sign"}
    daily.server.forget()
    await daily.release()
    assert daily.server.paths == ["daily.cvd", "daily-2.cvd.sign"]
    daily.server.files["daily-2.cvd.sign"] = late
    assert "daily-2.cvd.sign" in names(await daily.release())
    assert await daily.pull() is None


async def test_a_cdiff_without_a_demanded_signature_is_left_out(daily: Pulling) -> None:
    certificates = VENDOR.certificates(daily.folder / "certificates")
    daily.settings |= {"signatures": "sign", "certificates": str(certificates)}
    daily.server.release(ONE, signed=True)
    await daily.release()
    daily.server.release(TWO, ONE, signed=True)
    del daily.server.files["daily-2.cdiff.sign"]
    assert names(await daily.release()) == {"daily.cvd", "daily-2.cvd.sign"}


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (403, {}, 86400),
        (429, {}, 4 * 3600),
        (429, {"Retry-After": "120"}, 120),
        (503, {"Retry-After": "60"}, 60),
    ],
)
async def test_a_vendor_that_sends_us_away_is_left_alone(
    daily: Pulling, status: int, headers: dict[str, str], seconds: float
) -> None:
    daily.server.release(ONE)
    daily.server.statuses["*"] = (status, headers)
    with pytest.raises(BusyError, match=str(status)) as caught:
        await daily.pull()
    assert caught.value.seconds == seconds
    assert len(daily.server.asked) == 1


async def test_being_sent_away_on_the_way_counts_too(daily: Pulling) -> None:
    daily.server.release(TWO, ONE, signed=True)
    daily.server.statuses["daily-2.cdiff"] = (429, {"Retry-After": "77"})
    with pytest.raises(BusyError) as caught:
        await daily.pull()
    assert caught.value.seconds == 77
    assert not (daily.working / "daily.cvd").exists()


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, BusyError), (402, LicenceEndedError), (404, RefusedError), (500, FetchError)],
)
async def test_other_refusals_are_what_they_are(
    daily: Pulling, status: int, error: type[Exception]
) -> None:
    daily.server.release(ONE)
    daily.server.statuses["daily.cvd"] = (status, {})
    with pytest.raises(error, match=str(status)):
        await daily.pull()


async def test_a_password_is_shown_to_the_mirror_and_nobody_else(daily: Pulling) -> None:
    daily.credential = Credential("site", Secret("s3cret/word"))
    daily.server.authorization = daily.credential.basic()
    daily.server.release(ONE)
    assert (await daily.release()).release == "daily-1"
    daily.credential = Credential("site", Secret("wr0ng/word"))
    upstream = daily.upstream()
    with pytest.raises(CredentialError) as caught:
        await upstream.check(now=daily.now)
    told = f"{caught.value} {caught.value.hint} {upstream.transcript.text()}"
    assert "401" in told
    assert "wr0ng" not in told


async def test_redirects_in_circles_end(daily: Pulling) -> None:
    daily.server.release(ONE)
    daily.server.statuses["daily.cvd"] = (302, {"Location": "/daily.cvd"})
    with pytest.raises(RefusedError, match="redirects"):
        await daily.pull()
    assert len(daily.server.asked) <= 6


async def test_a_body_that_is_cut_leaves_what_was_there(daily: Pulling) -> None:
    daily.server.release(ONE)
    await daily.release()
    daily.server.release(TWO, ONE)

    def cut(request: web.Request, data: bytes) -> web.Response | None:
        if "Range" in request.headers or not request.path.endswith("daily.cvd"):
            return None
        return web.Response(body=data[:-100])

    daily.server.meddle = cut
    with pytest.raises(TrustError, match="cut off"):
        await daily.pull()


async def test_a_database_beyond_the_limit_is_not_taken(daily: Pulling) -> None:
    daily.server.release(ONE)
    daily.settings["max_release_bytes"] = 1000
    with pytest.raises(LimitError, match="max_release_bytes=1000"):
        await daily.pull()
