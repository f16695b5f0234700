"""Vendors that misbehave: a named limit or error, that upstream only, the last good release served.

Every case goes through `sigmirror pull`, after a good release, beside an upstream that is well.
"""

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.loopback import free_port
from tests.mirror import stand_in
from tests.mirror.feeding import Feeding, Typed, now
from tests.mirror.stand_in import Answer, Handler, StandIn, names, server_tls

GOOD, NEXT = b"rule good { condition: true }\n", b"rule next { condition: true }\n"
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
DAY, HOURS = timedelta(days=1), timedelta(hours=4)


class Case:
    """A feed whose version file rises, a file that a test spoils, and another feed."""

    def __init__(self, feeding: Feeding, vendor: StandIn, folder: Path) -> None:
        self.feeding, self.vendor = feeding, vendor
        self.token = folder / "token"
        self.token.write_text("unused\n")
        vendor.put("/version", b"1\n")
        vendor.put("/a.yar", GOOD, "sha256")
        vendor.put("/well", GOOD)
        feeding.feed(
            url=f"{vendor.url}/a.yar", version="version-file", version_at="version",
            password_file=str(self.token), allow_unsigned=True,
        )  # fmt: skip
        feeding.published()
        feeding.feed("other", url=f"{vendor.url}/well", allow_unsigned=True)

    def spoil(self, answer: Answer, path: str = "/a.yar", **settings: Any) -> Typed:
        """Offer a new version whose file is spoilt, and let the schedule pull everything."""
        self.vendor.put("/version", b"2\n")
        self.vendor.always[path] = answer
        self.feeding.feed(**settings)
        self.touch()
        done = self.feeding.types("pull")
        assert "other: published" in done.out, done.err
        assert self.feeding.contents("other") == {"well": GOOD}
        assert self.feeding.contents() == {"a.yar": GOOD}
        assert not (self.feeding.mirror.folder / "quarantine/feed").exists() or done.code == 1
        return done

    def touch(self) -> None:
        """Make the feed due: a changed file of its credential does."""
        later = self.token.stat().st_mtime + 10
        os.utime(self.token, (later, later))

    def stays_away_for(self, span: timedelta) -> None:
        """Check that nothing is asked for that long, not even by hand."""
        until = datetime.fromisoformat(self.feeding.state()["not_before"])
        assert abs(until - now() - span) < timedelta(minutes=30)
        asked = len(self.vendor.asked)
        self.touch()
        assert "feed: not due; next pull at" in self.feeding.pull().out
        assert len(self.vendor.asked) == asked


@pytest.fixture
def vendor() -> Iterator[StandIn]:
    with StandIn() as server:
        yield server


@pytest.fixture
def case(tmp_path: Path, capsys: pytest.CaptureFixture[str], vendor: StandIn) -> Case:
    return Case(Feeding(tmp_path, capsys), vendor, tmp_path)


def garbage(handler: Handler, _data: bytes | None) -> None:
    handler.wfile.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n" * 100)
    handler.hang_up()


def flood(handler: Handler, _data: bytes | None) -> None:
    """Send headers without end."""
    handler.send_response(200)
    handler.close_connection = True
    while True:
        handler.wfile.write(b"X-Padding: " + b"x" * 4000 + b"\r\n")


@pytest.mark.parametrize(
    ("answer", "settings", "code", "message"),
    [
        pytest.param(
            stand_in.hang, {"max_pull_seconds": 1}, 1, "not done after max_pull_seconds=1",
            id="hangs",
        ),
        pytest.param(
            stand_in.redirect("/a.yar"), {}, 1, "more than 5 redirects", id="redirects in circles"
        ),
        pytest.param(
            stand_in.redirect("file:///etc/passwd"), {}, 1, "redirects to file:///etc/passwd",
            id="redirects to a file",
        ),
        pytest.param(
            stand_in.redirect("http://[::1"), {}, 1, "redirects to nowhere", id="redirects nowhere"
        ),
        pytest.param(stand_in.claims(10_000), {}, 1, "a.yar: ", id="states a length too long"),
        pytest.param(
            stand_in.claims(1 << 40), {}, 1, "more than max_release_bytes=4294967296",
            id="states a length beyond the limit",
        ),
        pytest.param(stand_in.cut(9), {}, 1, "a.yar: ", id="hangs up"),
        pytest.param(stand_in.bomb(), {}, 1, "only identity is accepted", id="sends a gzip bomb"),
        pytest.param(
            stand_in.endless, {"max_release_bytes": 1 << 20}, 1,
            "more than max_release_bytes=1048576", id="sends without end",
        ),
        pytest.param(garbage, {}, 1, "a.yar: ", id="speaks no HTTP"),
        pytest.param(flood, {}, 1, "a.yar: ", id="sends headers without end"),
        pytest.param(stand_in.status(500), {}, 1, "a.yar: 500", id="answers 500"),
        pytest.param(stand_in.status(503), {}, 1, "a.yar: 503", id="answers 503"),
        pytest.param(stand_in.status(404), {}, 1, "a.yar: 404", id="answers 404"),
        pytest.param(stand_in.status(204, b""), {}, 1, "a.yar: 204", id="answers 204"),
        pytest.param(
            stand_in.status(206, GOOD[:9], Content_Range="bytes 0-8/30"), {}, 1,
            "a.yar: 206, which was not asked for", id="sends a part",
        ),
        pytest.param(
            stand_in.status(304, b""), {}, 1, "a.yar: 304, which was not asked for",
            id="says unchanged of what he never sent",
        ),
        pytest.param(stand_in.body(b""), {}, 3, "empty (0 bytes)", id="sends nothing"),
        pytest.param(
            stand_in.body(LFS_POINTER), {}, 3, "not a.yar but a git LFS pointer",
            id="sends a pointer",
        ),
    ],
)  # fmt: skip
def test_a_vendor_who_misbehaves_changes_nothing(
    case: Case, answer: Answer, settings: dict[str, Any], code: int, message: str
) -> None:
    done = case.spoil(answer, **settings)
    assert message in done.err
    assert done.code == code
    failed = case.feeding.upstream()
    assert failed["state"] == "failed"
    assert message in failed["failure"]["message"]
    assert case.feeding.upstream("other")["state"] == "ok"


def test_after_a_bad_day_the_next_good_release_is_taken(case: Case) -> None:
    case.spoil(stand_in.status(500))
    del case.vendor.always["/a.yar"]
    case.vendor.put("/a.yar", NEXT)
    case.touch()
    assert "feed: published" in case.feeding.types("pull").out
    assert case.feeding.contents() == {"a.yar": NEXT}


def test_a_body_longer_than_its_stated_length_is_refused_or_cut_and_refused(case: Case) -> None:
    """Depending on when the rest comes it is an HTTP error, or the sidecar does not fit."""
    done = case.spoil(stand_in.claims(10), verify=["sha256"])
    assert done.code in {1, 3}
    assert "a.yar: " in done.err


@pytest.mark.slow
def test_a_vendor_who_trickles_is_given_up(case: Case) -> None:
    done = case.spoil(stand_in.trickle, min_rate_bytes_per_second=1000)
    assert done.code == 1
    assert "slower than min_rate_bytes_per_second=1000" in done.err


@pytest.mark.slow
def test_a_silent_name_server_is_given_up(case: Case) -> None:
    with names({}, silent=True) as resolver:
        done = case.spoil(
            stand_in.status(200), version="dns-txt", version_at="current.example",
            resolver=resolver,
        )  # fmt: skip
    assert done.code == 1
    assert "dns: current.example: no answer within" in done.err


def test_a_name_without_a_record_is_named(case: Case) -> None:
    with names({}) as resolver:
        done = case.spoil(
            stand_in.status(200), version="dns-txt", version_at="current.example",
            resolver=resolver,
        )  # fmt: skip
    assert "dns: current.example: there is no TXT record" in done.err


@pytest.mark.parametrize("code", [401, 403])
def test_a_vendor_who_refuses_anonymous_requests_is_left_alone_for_a_day(
    case: Case, code: int
) -> None:
    done = case.spoil(stand_in.status(code))
    assert done.code == 1
    assert f"a.yar: {code}, the vendor refuses us; no credential is configured" in done.err
    case.stays_away_for(DAY)


@pytest.mark.parametrize(
    ("headers", "span"),
    [({"Retry-After": "7200"}, timedelta(hours=2)), ({}, HOURS)],
    ids=["for as long as he says", "for four hours"],
)
def test_a_busy_vendor_is_left_alone(case: Case, headers: dict[str, str], span: timedelta) -> None:
    done = case.spoil(stand_in.status(429, b"", **headers))
    assert "a.yar: 429, come back in" in done.err
    case.stays_away_for(span)


def test_a_missing_file_may_mean_a_block(case: Case) -> None:
    done = case.spoil(stand_in.status(404), missing_means_blocked=True)
    assert done.code == 1
    assert "also answers to a blocked credential" in done.err
    case.stays_away_for(HOURS)


def test_a_block_page_is_refused_and_the_vendor_left_alone(case: Case) -> None:
    done = case.spoil(stand_in.block_page())
    assert done.code == 3
    assert "not a.yar but an HTML page titled 'Access denied'" in done.err
    case.stays_away_for(HOURS)


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        (stand_in.block_page(), 3, "not a version but an HTML page titled 'Access denied'"),
        (stand_in.body(b""), 3, "not a version but empty"),
        (stand_in.body(b"2\n3\n"), 3, "not a version but text"),
        (stand_in.body(b"2\x1b[2J"), 3, "not a version"),
        (stand_in.body(b"9" * 300), 3, "not a version"),
        (stand_in.endless, 1, "more than max_bytes="),
    ],
    ids=["a page", "nothing", "two lines", "control characters", "too long", "endless"],
)
def test_what_tells_no_version_is_named(
    case: Case, answer: Answer, code: int, message: str
) -> None:
    done = case.spoil(answer, "/version")
    assert (done.code, message in done.err) == (code, True), done.err
    assert "\x1b" not in done.err


@pytest.mark.parametrize(
    "answer",
    [stand_in.body(b"[" * 100_000), stand_in.body(b'{"v": [1, 2]}'), stand_in.body(b'{"v": true}')],
    ids=["nested too deep", "a list", "truth"],
)
def test_json_that_holds_no_version_is_refused(case: Case, answer: Answer) -> None:
    done = case.spoil(answer, "/version", version="json-pointer", version_pointer="/v")
    assert done.code == 3
    assert "version" in done.err


def test_a_redirect_from_https_to_http_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    context, trusted = server_tls(tmp_path)
    feeding = Feeding(tmp_path, capsys)
    with StandIn() as plain, StandIn(tls=context) as vendor:
        plain.put("/a.yar", NEXT)
        vendor.put("/a.yar", GOOD)
        feeding.feed(url=f"{vendor.url}/a.yar", ca_file=str(trusted), allow_unsigned=True)
        feeding.published()
        vendor.always["/a.yar"] = stand_in.redirect(f"{plain.url}/a.yar")
        done = feeding.pull()
        assert done.code == 1
        assert f"redirects to {plain.url}/a.yar" in done.err
        assert plain.asked == []
    assert feeding.contents() == {"a.yar": GOOD}


def test_a_vendor_that_is_not_there_is_told_in_the_same_words_each_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    feeding = Feeding(tmp_path, capsys)
    url = f"https://127.0.0.1:{free_port()}/a.yar"
    feeding.feed(url=url, allow_unsigned=True)
    done = feeding.pull()
    assert (done.code, done.err) == (1, f"error: {url}: no connection: Connection refused\n")


def test_a_vendor_whose_certificate_nobody_vouches_for_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    context, _ = server_tls(tmp_path)
    feeding = Feeding(tmp_path, capsys)
    with StandIn(tls=context) as vendor:
        vendor.put("/a.yar", GOOD)
        feeding.feed(url=f"{vendor.url}/a.yar", allow_unsigned=True)
        done = feeding.pull()
    assert done.code == 1
    assert "certificate verify failed" in done.err
    assert vendor.asked == []


def test_a_probe_of_a_silent_vendor_ends_as_a_pull_does(case: Case) -> None:
    case.vendor.always["/version"] = stand_in.hang
    case.feeding.feed(max_pull_seconds=1)
    done = case.feeding.types("probe", "feed")
    assert (done.code, "not done after max_pull_seconds=1" in done.err) == (1, True)
