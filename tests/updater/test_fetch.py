"""Fetching from mirrors: what is resumed, tried again, tried elsewhere, and refused."""

import hashlib
import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from keys.credentials import Credential, Secret
from keys.errors import (
    CredentialError,
    DigestError,
    Error,
    FetchError,
    LicenceEndedError,
    LimitError,
    MissingError,
    RefusedError,
    SettingsError,
    StateError,
)
from keys.model.release import Pin, blob_name
from tests.updater.unruly_server import UnrulyServer, dead_port, drip, endless, silence, status
from updater.fetch import Fetcher, Way
from updater.fetch.mirrors import MAX_RETRY_AFTER_SECONDS
from updater.settings import Limits, Settings

DATA = b"".join(hashlib.sha256(bytes([n % 256, n // 256])).digest() for n in range(9375))
PIN = Pin.of(DATA)
TARGET = "clamav/files/main.cld"
PATH = f"/r/site/targets/{blob_name(TARGET, PIN.sha256)}"
QUICK = Limits(read_timeout_seconds=0.5, connect_timeout_seconds=2)


@pytest.fixture
def server() -> Iterator[UnrulyServer]:
    with UnrulyServer({PATH: DATA}) as server:
        yield server


class Naps:
    """Sleeps of no length, remembered."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


def fetch(*mirrors: str, way: Way | None = None, folder: Path, naps: Naps | None = None) -> Path:
    with Fetcher(mirrors, way or Way(), sleep=naps or Naps()) as fetcher:
        return fetcher.blob("site", TARGET, PIN, folder)


def read(*mirrors: str, way: Way | None = None, naps: Naps | None = None) -> bytes:
    with Fetcher(mirrors, way or Way(), sleep=naps or Naps()) as fetcher:
        return fetcher.read("site", TARGET, PIN, max_bytes=1 << 20)


class TestBlob:
    def test_a_blob_is_fetched_once_and_then_found_in_its_place(
        self, server: UnrulyServer, tmp_path: Path
    ) -> None:
        path = fetch(server.url, folder=tmp_path)
        assert path == tmp_path / PIN.sha256
        assert path.read_bytes() == DATA
        assert path.stat().st_mode & 0o777 == 0o444
        assert fetch(server.url, folder=tmp_path) == path
        assert server.paths == [PATH]
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.parametrize("seed", range(5))
    def test_cut_at_five_random_bytes_only_the_rest_is_sent(
        self, server: UnrulyServer, tmp_path: Path, seed: int
    ) -> None:
        chosen = random.Random(seed)  # noqa: S311 - the same cuts each time
        cuts = sorted(chosen.sample(range(1, len(DATA)), 5))
        lengths = [cut - before for before, cut in zip([0, *cuts], cuts, strict=False)]
        server.script = [server.cut(length) for length in lengths]
        with Fetcher([server.url], sleep=Naps()) as fetcher:
            assert fetcher.blob("site", TARGET, PIN, tmp_path).read_bytes() == DATA
            assert fetcher.traffic.bytes_received == len(DATA)
        assert [asked.first_byte for asked in server.asked] == [0, *cuts]
        assert all("If-Range" in asked.headers for asked in server.asked[1:])

    def test_what_one_run_left_the_next_one_takes_up(
        self, server: UnrulyServer, tmp_path: Path
    ) -> None:
        once = Way(limits=Limits(max_attempts=1))
        server.script = [server.cut(100_000), server.cut(50_000), server.cut(0)]
        with pytest.raises(FetchError, match="broke off"):
            fetch(server.url, way=once, folder=tmp_path)
        assert not (tmp_path / PIN.sha256).exists()
        server.asked.clear()
        assert fetch(server.url, folder=tmp_path).read_bytes() == DATA
        assert [asked.first_byte for asked in server.asked] == [150_000]

    def test_bytes_that_changed_in_between_are_fetched_from_zero(
        self, server: UnrulyServer, tmp_path: Path
    ) -> None:
        server.files[PATH] = bytes(len(DATA))
        server.script = [server.cut(1000)]

        def mend(handler: BaseHTTPRequestHandler, _: bytes | None) -> None:
            server.files[PATH] = DATA
            server.deliver(handler, DATA)

        server.script.append(mend)
        assert fetch(server.url, folder=tmp_path).read_bytes() == DATA
        assert [asked.first_byte for asked in server.asked] == [0, 1000]

    def test_without_entity_tags_changed_bytes_are_noticed_by_their_digest(
        self, server: UnrulyServer, tmp_path: Path
    ) -> None:
        server.etags = False
        (tmp_path / f"{PIN.sha256}.part").write_bytes(bytes(1000))
        assert fetch(server.url, folder=tmp_path).read_bytes() == DATA
        assert [asked.first_byte for asked in server.asked] == [1000, 0]

    def test_a_server_without_ranges_sends_it_all_and_nothing_is_doubled(
        self, server: UnrulyServer, tmp_path: Path
    ) -> None:
        server.ranges = False
        (tmp_path / f"{PIN.sha256}.part").write_bytes(DATA[:1000])
        assert fetch(server.url, folder=tmp_path).read_bytes() == DATA
        assert len(server.asked) == 1

    @pytest.mark.parametrize(
        "content_range", ["bytes 0-299999/300000", "bytes 1000-1999/2000", "pages 1", ""]
    )
    def test_another_range_than_asked_for_is_never_glued_in(
        self, server: UnrulyServer, tmp_path: Path, content_range: str
    ) -> None:
        (tmp_path / f"{PIN.sha256}.part").write_bytes(DATA[:1000])
        server.script = [status(206, DATA[1000:], Content_Range=content_range)]
        assert fetch(server.url, folder=tmp_path).read_bytes() == DATA
        assert [asked.first_byte for asked in server.asked] == [1000, 0]

    def test_a_server_whose_file_is_shorter_is_asked_from_zero(
        self, server: UnrulyServer, tmp_path: Path
    ) -> None:
        (tmp_path / f"{PIN.sha256}.part").write_bytes(bytes(1000))
        server.script = [status(416)]
        assert fetch(server.url, folder=tmp_path).read_bytes() == DATA

    def test_all_bytes_left_by_a_killed_run_need_no_request(
        self, server: UnrulyServer, tmp_path: Path
    ) -> None:
        (tmp_path / f"{PIN.sha256}.part").write_bytes(DATA)
        assert fetch(server.url, folder=tmp_path).read_bytes() == DATA
        assert server.asked == []

    @pytest.mark.parametrize(
        "part", [bytes(len(DATA)), bytes(len(DATA) + 1)], ids=["wrong", "too long"]
    )
    def test_a_useless_part_is_dropped(
        self, server: UnrulyServer, tmp_path: Path, part: bytes
    ) -> None:
        (tmp_path / f"{PIN.sha256}.part").write_bytes(part)
        assert fetch(server.url, folder=tmp_path).read_bytes() == DATA

    @pytest.mark.parametrize(
        ("served", "said"),
        [
            (DATA[:-1] + bytes([DATA[-1] ^ 1]), "sha256"),
            (DATA + b"x", "more than the 300000 bytes that were signed"),
            (DATA + DATA * 5, "more than the 300000 bytes that were signed"),
        ],
        ids=["a byte flipped", "one byte more", "much more"],
    )
    def test_bytes_nobody_signed_never_get_a_place(
        self, server: UnrulyServer, tmp_path: Path, served: bytes, said: str
    ) -> None:
        """Attack: a mirror changes a definition."""
        server.files[PATH] = served
        with pytest.raises(DigestError, match=f"{TARGET}: .*{said}"):
            fetch(server.url, folder=tmp_path)
        assert list(tmp_path.iterdir()) == []
        assert len(server.asked) == 1  # wrong bytes are not asked for again

    def test_a_truncated_blob_fails_and_is_kept_for_the_next_run(
        self, server: UnrulyServer, tmp_path: Path
    ) -> None:
        server.files[PATH] = DATA[:1000]
        server.ranges = False
        with pytest.raises(FetchError, match="broke off at 1000 of 300000 bytes"):
            fetch(server.url, folder=tmp_path)
        assert not (tmp_path / PIN.sha256).exists()

    def test_endless_data_ends_at_the_signed_length(
        self, server: UnrulyServer, tmp_path: Path
    ) -> None:
        """Attack: endless data."""
        server.script = [endless]
        with pytest.raises(DigestError, match="more than the 300000 bytes"):
            fetch(server.url, folder=tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_a_good_mirror_makes_up_for_a_bad_one(
        self, server: UnrulyServer, tmp_path: Path
    ) -> None:
        with UnrulyServer({PATH: bytes(len(DATA))}) as bad:
            assert fetch(bad.url, server.url, folder=tmp_path).read_bytes() == DATA

    def test_an_empty_blob_is_a_blob(self, server: UnrulyServer, tmp_path: Path) -> None:
        empty = Pin.of(b"")
        server.files[f"/r/site/targets/{blob_name('a/empty', empty.sha256)}"] = b""
        with Fetcher([server.url]) as fetcher:
            assert fetcher.blob("site", "a/empty", empty, tmp_path).read_bytes() == b""

    def test_a_blob_that_does_not_fit_the_disk_is_refused_before_a_request(
        self, server: UnrulyServer, tmp_path: Path
    ) -> None:
        huge = Pin("0" * 64, 1 << 60)
        with (
            Fetcher([server.url], Way(limits=Limits(max_release_bytes=1 << 62))) as fetcher,
            pytest.raises(StateError, match="disk full: big needs 1152921504606846976 bytes more"),
        ):
            fetcher.blob("site", "big", huge, tmp_path)
        assert server.asked == []

    def test_a_blob_larger_than_the_settings_allow_is_refused_before_a_request(
        self, server: UnrulyServer, tmp_path: Path
    ) -> None:
        with pytest.raises(LimitError, match="max_release_bytes=1000"):
            fetch(server.url, way=Way(limits=Limits(max_release_bytes=1000)), folder=tmp_path)
        assert server.asked == []

    def test_a_folder_that_cannot_be_made_is_named(
        self, server: UnrulyServer, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(StateError, match="Not a directory"):
            fetch(server.url, folder=tmp_path / "file" / "blobs")

    def test_progress_is_told_up_to_the_whole(self, server: UnrulyServer, tmp_path: Path) -> None:
        told: list[tuple[str, int, int]] = []
        with Fetcher([server.url], progress=lambda *step: told.append(step)) as fetcher:
            fetcher.blob("site", TARGET, PIN, tmp_path)
        assert told[-1] == (TARGET, len(DATA), len(DATA))
        assert told == sorted(told)


class TestAnswers:
    def test_a_rejected_credential_is_not_tried_again(self, server: UnrulyServer) -> None:
        server.script = [status(401)] * 9
        with pytest.raises(CredentialError, match="HTTP 401"):
            read(server.url, server.url)
        assert len(server.asked) == 1

    def test_a_licence_that_ended_says_when_and_where(self, server: UnrulyServer) -> None:
        server.script = [status(402, Licence_Ends_On="2026-03-31", Licence_Tz="Asia/Tokyo")]
        with pytest.raises(
            LicenceEndedError, match=r"ended on 2026-03-31 \(Asia/Tokyo\)"
        ) as caught:
            read(server.url)
        assert (caught.value.ends_on, caught.value.tz) == ("2026-03-31", "Asia/Tokyo")
        assert len(server.asked) == 1

    @pytest.mark.parametrize("code", [403, 404, 410])
    def test_what_is_not_there_is_missing_and_not_tried_again(
        self, server: UnrulyServer, code: int
    ) -> None:
        server.script = [status(code)] * 9
        with pytest.raises(MissingError):
            read(server.url)
        assert len(server.asked) == 1

    @pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
    def test_what_may_pass_is_tried_again_with_growing_random_pauses(
        self, server: UnrulyServer, code: int
    ) -> None:
        server.script = [status(code)] * 2
        naps = Naps()
        assert read(server.url, naps=naps) == DATA
        assert 0.5 <= naps.taken[0] <= 1 <= naps.taken[1] <= 2

    def test_attempts_end_at_the_named_limit(self, server: UnrulyServer) -> None:
        server.script = [status(503)] * 9
        with pytest.raises(FetchError, match="HTTP 503"):
            read(server.url, way=Way(limits=Limits(max_attempts=4)))
        assert len(server.asked) == 4

    @pytest.mark.parametrize("code", [400, 405, 451, 501])
    def test_what_will_not_change_is_not_tried_again(self, server: UnrulyServer, code: int) -> None:
        server.script = [status(code)] * 9
        with pytest.raises(RefusedError, match=f"HTTP {code}"):
            read(server.url)
        assert len(server.asked) == 1

    @pytest.mark.parametrize("code", [429, 503])
    def test_a_busy_mirror_is_left_alone_as_long_as_it_asks(
        self, server: UnrulyServer, code: int
    ) -> None:
        later = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
        server.script = [status(code, Retry_After="7"), status(code, Retry_After=later)]
        naps = Naps()
        assert read(server.url, naps=naps) == DATA
        assert naps.taken[0] == 7
        assert 50 < naps.taken[1] <= 60

    def test_a_mirror_busy_for_longer_than_the_limit_ends_the_run(
        self, server: UnrulyServer
    ) -> None:
        server.script = [status(429, Retry_After=str(MAX_RETRY_AFTER_SECONDS + 1))]
        with pytest.raises(RefusedError, match="asks to come again in 121 s"):
            read(server.url)

    @pytest.mark.parametrize("value", ["soon", "-5", "", "9" * 400, "Fri, 99 Foo 2026"])
    def test_a_malformed_wait_is_no_wait(self, server: UnrulyServer, value: str) -> None:
        server.script = [status(503, Retry_After=value)]
        if value.isdigit():
            with pytest.raises(RefusedError):
                read(server.url)
        else:
            assert read(server.url) == DATA

    def test_a_partial_answer_nobody_asked_for_is_no_file(self, server: UnrulyServer) -> None:
        server.script = [status(206, DATA[:10], Content_Range="bytes 0-9/300000")]
        assert read(server.url) == DATA

    def test_a_small_target_is_checked_against_its_pin(self, server: UnrulyServer) -> None:
        server.files[PATH] = bytes(len(DATA))
        with pytest.raises(DigestError, match="not the 300000 bytes that were signed"):
            read(server.url)

    def test_a_small_target_larger_than_its_limit_is_not_asked_for(
        self, server: UnrulyServer
    ) -> None:
        with Fetcher([server.url]) as fetcher, pytest.raises(LimitError, match="limit of 10"):
            fetcher.read("site", TARGET, PIN, max_bytes=10)
        assert server.asked == []


class TestTime:
    def test_a_mirror_that_never_answers_is_given_up(self, server: UnrulyServer) -> None:
        server.script = [silence] * 2
        with pytest.raises(FetchError, match=re.escape(server.url)):
            read(server.url, way=Way(limits=Limits(read_timeout_seconds=0.3, max_attempts=2)))

    def test_a_header_that_trickles_is_given_up(self, server: UnrulyServer) -> None:
        """Attack: slow retrieval; every byte comes before any socket's timeout."""
        server.script = [drip(b"X-Slow: 1\r\n", every=0.05)]
        with pytest.raises(FetchError):
            read(server.url, way=Way(limits=Limits(read_timeout_seconds=0.4, max_attempts=1)))

    def test_a_body_that_trickles_is_given_up(self, server: UnrulyServer) -> None:
        """Attack: slow retrieval; the mirror sends a byte now and then."""
        server.script = [drip(b"\r\n" + b"x" * 3, every=0.05)]
        limits = Limits(read_timeout_seconds=0.4, max_attempts=1, min_rate_bytes_per_second=100_000)
        with pytest.raises(FetchError, match="less than min_rate_bytes_per_second=100000"):
            read(server.url, way=Way(limits=limits))

    def test_a_run_ends_at_its_deadline(self, server: UnrulyServer) -> None:
        ticks = iter(range(0, 100_000, 400))
        way = Way(limits=Limits(max_run_seconds=3600, max_attempts=99))
        server.script = [status(503)] * 99
        with (
            Fetcher([server.url], way, clock=lambda: next(ticks), sleep=Naps()) as fetcher,
            pytest.raises(LimitError, match="max_run_seconds=3600"),
        ):
            fetcher.read("site", TARGET, PIN, max_bytes=1 << 20)

    def test_the_bandwidth_limit_is_kept_by_pausing(self, server: UnrulyServer) -> None:
        clock = Clock()
        way = Way(limits=Limits(max_bytes_per_second=100_000))
        with Fetcher([server.url], way, clock=clock.read, sleep=clock.sleep) as fetcher:
            assert fetcher.read("site", TARGET, PIN, max_bytes=1 << 20) == DATA
        assert clock.time == pytest.approx(len(DATA) / 100_000)
        assert max(clock.sleeps) < 1


class Clock:
    """A clock that only moves when someone sleeps."""

    def __init__(self) -> None:
        self.time = 0.0
        self.sleeps: list[float] = []

    def read(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.time += seconds


class TestMirrors:
    def test_the_next_mirror_serves_when_the_first_is_dead_and_the_dead_one_is_left_out(
        self, server: UnrulyServer
    ) -> None:
        with dead_port() as dead, Fetcher([dead, server.url]) as fetcher:
            for _ in range(3):
                assert fetcher.read("site", TARGET, PIN, max_bytes=1 << 20) == DATA
            assert fetcher.traffic.requests == 4

    def test_the_order_of_the_settings_is_kept(self, server: UnrulyServer) -> None:
        with UnrulyServer({PATH: DATA}) as second:
            read(server.url, second.url)
            assert (len(server.asked), len(second.asked)) == (1, 0)

    def test_a_mirror_that_breaks_off_is_followed_by_the_next_for_the_rest(
        self, server: UnrulyServer, tmp_path: Path
    ) -> None:
        with UnrulyServer({PATH: DATA}) as first:
            first.script = [first.cut(1000)]
            assert fetch(first.url, server.url, folder=tmp_path).read_bytes() == DATA
        assert server.asked[0].first_byte == 1000

    def test_a_file_one_mirror_lacks_is_asked_of_the_next(self, server: UnrulyServer) -> None:
        with UnrulyServer() as empty:
            assert read(empty.url, server.url) == DATA

    def test_the_first_mirror_is_believed_when_there_is_no_next_root(
        self, server: UnrulyServer
    ) -> None:
        with UnrulyServer() as first, Fetcher([first.url, server.url]) as fetcher:
            with pytest.raises(MissingError):
                fetcher.metadata("site").read("2.root.json", max_bytes=100)
            assert fetcher.traffic.requests == 1

    def test_when_all_failed_all_are_tried_again(self, server: UnrulyServer) -> None:
        server.script = [status(500)]
        with UnrulyServer({PATH: DATA}) as second:
            second.script = [status(500)]
            assert read(server.url, second.url) == DATA

    def test_connections_are_kept_open_between_requests(self, server: UnrulyServer) -> None:
        with Fetcher([server.url]) as fetcher:
            source = fetcher.metadata("site")
            for name in ("2.root.json", "3.root.json"):
                with pytest.raises(MissingError):
                    source.read(name, max_bytes=100)
            fetcher.read("site", TARGET, PIN, max_bytes=1 << 20)
            assert fetcher.traffic.requests == 3

    def test_metadata_is_limited_by_the_smaller_of_two_limits(self, server: UnrulyServer) -> None:
        server.files["/r/site/metadata/timestamp.json"] = bytes(2000)
        limits = Limits(max_metadata_bytes=1000)
        with Fetcher([server.url], Way(limits=limits), sleep=Naps()) as fetcher:
            with pytest.raises(LimitError, match="more than the 1000 bytes"):
                fetcher.metadata("site").read("timestamp.json", max_bytes=4000)
            with pytest.raises(LimitError, match="more than the 500 bytes"):
                fetcher.metadata("site").read("timestamp.json", max_bytes=500)

    def test_names_are_quoted_and_already_quoted_roles_stay(self, server: UnrulyServer) -> None:
        with Fetcher([server.url + "/base/"]) as fetcher:
            with pytest.raises(MissingError):
                fetcher.metadata("site").read("1.a%2Fb.json", max_bytes=9)
            with pytest.raises(MissingError):
                fetcher.read("site", "a b/c?d#e@20é", Pin("0" * 64, 1), max_bytes=9)
        assert server.paths == [
            "/base/r/site/metadata/1.a%2Fb.json",
            f"/base/r/site/targets/a%20b/{'0' * 64}.c%3Fd%23e@20%C3%A9",
        ]


CREDENTIAL = Credential("host-1", Secret("s3cret"))


class TestCredentials:
    def test_a_credential_goes_to_the_mirror_and_prints_nowhere(self, server: UnrulyServer) -> None:
        server.script = [status(401)]
        with pytest.raises(CredentialError) as caught:
            read(server.url, way=Way(credential=CREDENTIAL))
        assert server.asked[0].headers["Authorization"] == CREDENTIAL.basic()
        assert "s3cret" not in str(caught.value) + caught.value.hint

    def test_a_credential_is_dropped_on_a_redirect_to_another_host(
        self, server: UnrulyServer
    ) -> None:
        with UnrulyServer() as front:
            front.script = [status(302, Location=server.url + PATH)]
            assert read(front.url, way=Way(credential=CREDENTIAL)) == DATA
        assert "Authorization" in front.asked[0].headers
        assert "Authorization" not in server.asked[0].headers

    def test_a_credential_stays_on_a_redirect_within_the_host(self, server: UnrulyServer) -> None:
        server.files["/elsewhere"] = DATA
        server.script = [status(307, Location="/elsewhere")]
        assert read(server.url, way=Way(credential=CREDENTIAL)) == DATA
        assert "Authorization" in server.asked[1].headers

    def test_redirects_end_at_their_limit(self, server: UnrulyServer) -> None:
        server.script = [status(302, Location=PATH)] * 20
        with pytest.raises(RefusedError, match="more than 5 redirects"):
            read(server.url)
        assert len(server.asked) == 6

    @pytest.mark.parametrize("place", ["ftp://127.0.0.1/x", "file:///etc/passwd"])
    def test_a_redirect_away_from_http_is_refused(self, server: UnrulyServer, place: str) -> None:
        server.script = [status(302, Location=place)]
        with pytest.raises(RefusedError, match="redirected away from HTTP"):
            read(server.url)

    @pytest.mark.parametrize(
        ("mirror", "said"),
        [
            ("http://mirror.example:8480", "never goes over plain http"),
            ("http://192.0.2.1", "never goes over plain http"),
            ("https://user:pw@mirror.example", "holds a user name"),
            ("ftp://mirror.example", "not an http:// or https:// address"),
            ("mirror.example", "not an http:// or https:// address"),
            ("https://mirror.example/?x=1", "not an http:// or https:// address"),
            ("https://mirror.example:port", "Port could not be cast"),
        ],
    )
    def test_a_mirror_that_must_not_be_used_is_named_without_its_password(
        self, mirror: str, said: str
    ) -> None:
        with pytest.raises(SettingsError, match=re.escape(said)) as caught:
            Fetcher([mirror], Way(credential=CREDENTIAL))
        assert "pw" not in str(caught.value)

    def test_no_mirror_at_all_is_refused(self) -> None:
        with pytest.raises(SettingsError, match="none is named"):
            Fetcher([])

    @pytest.mark.parametrize("mirror", ["http://localhost:1", "http://127.8.8.8", "http://[::1]:1"])
    def test_loopback_may_be_plain(self, mirror: str) -> None:
        Fetcher([mirror], Way(credential=CREDENTIAL)).close()

    def test_settings_say_it_all(self, server: UnrulyServer, tmp_path: Path) -> None:
        (tmp_path / "cred").write_text("host-1:s3cret\n")
        settings = Settings(mirrors=(server.url,), credential_file=str(tmp_path / "cred"))
        with Fetcher.of(settings) as fetcher:
            assert fetcher.read("site", TARGET, PIN, max_bytes=1 << 20) == DATA
        assert server.asked[0].headers["Authorization"] == CREDENTIAL.basic()


class TestProxy:
    def test_none_is_used_unless_the_settings_name_one(
        self, server: UnrulyServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        assert read(server.url) == DATA

    def test_a_named_proxy_is_asked_with_its_own_login(self) -> None:
        with UnrulyServer() as proxy:
            proxy.files[f"http://mirror.example{PATH}"] = DATA
            url = proxy.url.replace("http://", "http://bob:pw@")
            assert read("http://mirror.example", way=Way(proxy=url)) == DATA
        assert proxy.asked[0].headers["proxy-authorization"].startswith("Basic ")

    def test_the_environment_is_used_when_the_settings_say_so(
        self, server: UnrulyServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with UnrulyServer() as proxy:
            proxy.files[f"http://mirror.example{PATH}"] = DATA
            monkeypatch.setenv("http_proxy", proxy.url)
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            way = Way(proxy="environment")
            assert read("http://mirror.example", way=way) == DATA
            assert read(server.url, way=way) == DATA
        assert len(proxy.asked) == 1

    def test_a_proxy_that_is_no_address_is_refused(self, server: UnrulyServer) -> None:
        with pytest.raises(SettingsError, match="proxy"):
            read(server.url, way=Way(proxy="socks5://127.0.0.1:1"))


def test_every_failure_is_one_of_ours(tmp_path: Path) -> None:
    with dead_port() as dead, pytest.raises(Error, match="refused"):
        fetch(dead, way=Way(limits=QUICK), folder=tmp_path)
