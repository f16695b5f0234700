"""The pure parts of feeds: how credentials are shown and hidden, versions, names, answers."""

import base64
import contextlib
from urllib.parse import quote, quote_plus, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from keys.credentials import Credential, Secret
from keys.errors import (
    CredentialError,
    Error,
    FetchError,
    FormatError,
    LicenceEndedError,
    NameRefusedError,
    RefusedError,
    SettingsError,
)
from mirror.feed_rules import is_protected
from mirror.feeds import UpstreamSettings
from mirror.upstream import answers
from mirror.upstream.answers import BusyError, check_feed, wait_seconds
from mirror.upstream.auth import ANONYMOUS, Auth, Request, basic, bearer
from mirror.upstream.http import versions
from mirror.upstream.http.sources import sources, version_address
from mirror.upstream.redaction import Redactor

secrets = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=4)
HOST = "https://vendor.example"


class TestRedaction:
    @given(secrets, st.text(), st.text())
    def test_a_secret_is_found_in_every_spelling(self, secret: str, left: str, right: str) -> None:
        redactor = Redactor([Secret(secret)])
        for spelled in (
            secret,
            quote(secret),
            quote(secret, safe=""),
            quote(secret, safe="").lower() if secret.islower() else secret,
            quote_plus(secret),
            repr(secret)[1:-1] if secret.isprintable() else secret,
        ):
            hidden = redactor.secrets(f"{left}\n{spelled}\n{right}")
            assert f"\n{spelled}\n" not in hidden
            assert "\n***\n" in hidden

    @given(secrets, st.text())
    def test_text_without_the_secret_stays(self, secret: str, text: str) -> None:
        redactor = Redactor([Secret(secret)])
        if not redactor.holds(text):
            assert redactor.secrets(text) == text

    def test_the_longest_secret_is_taken_out_as_a_whole(self) -> None:
        redactor = Redactor([Secret("abcd"), Secret("Bearer abcdefgh")])
        assert redactor.text("<Bearer abcdefgh>") == "<***>"

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("see https://u:p@h/a?key=1#x now", "see https://***@h/a now"),
            ("url='http://h/a?b=c'", "url='http://h/a'"),
            ("no address, a=b?c", "no address, a=b?c"),
        ],
    )
    def test_addresses_in_text_lose_what_may_be_secret(self, text: str, shown: str) -> None:
        assert Redactor().text(text) == shown

    def test_an_error_that_leaves_holds_no_secret_and_no_cause(self) -> None:
        redactor = Redactor([Secret("hunter22")])
        error = FetchError("hunter22: no", hint="try hunter22")
        error.__cause__ = ValueError("hunter22")
        with pytest.raises(FetchError) as caught, redactor.guard():
            raise error
        assert str(caught.value) == "***: no"
        assert caught.value.hint == "try ***"
        assert caught.value.__cause__ is None


class TestAuth:
    @given(secrets)
    def test_a_token_has_its_place_in_an_address(self, token: str) -> None:
        placed = Auth(token=Secret(token)).place(f"{HOST}/get/{{token}}/a.hdb")
        parts = urlsplit(placed)
        assert [unquote(part) for part in parts.path.split("/")] == ["", "get", token, "a.hdb"]
        assert not parts.query

    def test_a_token_without_a_place_stands_at_the_end(self) -> None:
        assert Auth(token=Secret("a/b")).place(f"{HOST}/get/") == f"{HOST}/get/a%2Fb"

    @given(secrets)
    def test_a_query_keeps_what_was_there(self, token: str) -> None:
        auth = Auth(query={"key": Secret(token)})
        url = auth.show(Request(URL(f"{HOST}/get?list=a&format=b"))).url
        assert dict(url.query) == {"list": "a", "format": "b", "key": token}

    def test_a_form_is_a_post_with_everything_in_it(self) -> None:
        auth = Auth(form={"apikey": Secret("s")}, fields={"product": "x"})
        request = auth.show(Request(URL(HOST)))
        assert (request.method, request.form) == ("POST", {"product": "x", "apikey": "s"})
        assert "s" not in str(request.url.query)

    def test_only_who_has_nothing_to_show_is_anonymous(self) -> None:
        assert not ANONYMOUS
        for auth in (
            basic(Credential("u", Secret("p"))), bearer(Secret("t")), Auth(token=Secret("t")),
            Auth(query={"a": Secret("t")}), Auth(form={"a": Secret("t")}),
            Auth(certificate=("c", "k")),
        ):  # fmt: skip
            assert auth
            assert "t" not in "".join(one.partition(":")[2] for one in auth.told)

    def test_the_encoded_pair_is_a_secret_too(self) -> None:
        pair = base64.b64encode(b"user:pass word").decode()
        redactor = Redactor(basic(Credential("user", Secret("pass word"))).secrets)
        assert redactor.text(f"Basic {pair}; {pair}; pass%20word") == "***; ***; ***"


class TestVersions:
    @given(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)))
    def test_numbers_are_ordered_as_numbers(self, pair: tuple[int, int]) -> None:
        first, second = pair
        assert versions.is_older(str(first), str(second)) == (first < second)
        assert versions.is_older(f"v1.{first}", f"v1.{second}") == (first < second)

    @given(st.text(), st.text())
    def test_of_two_versions_at_most_one_is_older(self, first: str, second: str) -> None:
        assert not (versions.is_older(first, second) and versions.is_older(second, first))
        assert not versions.is_older(first, first)

    @pytest.mark.parametrize(
        ("version", "last"),
        [("abc", "abd"), ('"1"', '"2"'), ("1-rc", "2"), ("", "1"), ("1", ""), ("2", "1")],
    )
    def test_what_has_no_order_is_never_older(self, version: str, last: str) -> None:
        assert not versions.is_older(version, last)

    @pytest.mark.parametrize("data", [b"\x89PNG", b"v1\xff", b"\xfe\xfe\xfe"])
    def test_a_version_file_of_bytes_that_are_no_text_is_refused(self, data: bytes) -> None:
        with pytest.raises(FormatError, match="VERSION: not a version"):
            versions.from_text(data, "VERSION")

    @given(st.binary())
    def test_any_bytes_are_a_version_or_refused(self, data: bytes) -> None:
        found = []
        with contextlib.suppress(FormatError):
            found.append(versions.from_text(data, "v"))
        with contextlib.suppress(FormatError):
            found.append(versions.from_json(data, "/v", "v"))
        for one in found:
            assert one
            assert one.isprintable()
            assert "\ufffd" not in one
            assert len(one) <= versions.MAX_VERSION_CHARACTERS

    @pytest.mark.parametrize(
        ("pointer", "found"),
        [
            ("/foo/0", "bar"), ("/a~1b", "1"), ("/m~0n", "8"), ("/ ", "7"), ("/c%d", "2"),
            ("/", "0"), ('/k"l', "6"),
        ],
    )  # fmt: skip
    def test_pointers_mean_what_rfc_6901_says(self, pointer: str, found: str) -> None:
        data = b'{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"k\\"l":6," ":7,"m~n":8}'
        assert versions.from_json(data, pointer, "v") == found

    @pytest.mark.parametrize("pointer", ["", "/foo", "/foo/2", "/foo/-", "/foo/01", "/foo/-1"])
    def test_a_pointer_to_nothing_is_refused(self, pointer: str) -> None:
        with pytest.raises(FormatError):
            versions.from_json(b'{"foo":["bar","baz"]}', pointer, "v")

    @pytest.mark.parametrize(
        ("version", "headers"),
        [
            ('"a"', {"If-None-Match": '"a"'}),
            ('W/"a"', {"If-None-Match": 'W/"a"'}),
            ("20260301T060000Z", {"If-Modified-Since": "Sun, 01 Mar 2026 06:00:00 GMT"}),
            ("99999999T999999Z", {}),
            ("20260301T060000Z~0123456789abcdef", {}),
            ("", {}),
        ],
    )
    def test_only_one_files_own_version_is_a_condition(
        self, version: str, headers: dict[str, str]
    ) -> None:
        assert versions.condition(version) == headers


class TestSources:
    @given(st.text(min_size=1))
    def test_an_address_below_another_leads_nowhere_else(self, name: str) -> None:
        settings = UpstreamSettings(name="a", kind="http", url=f"{HOST}/get", names=(name,))
        try:
            (source,) = sources(settings, ANONYMOUS)
        except NameRefusedError:
            return
        url = URL(f"{HOST}/other/").join(URL(source.address, encoded=True))
        assert url.origin() == URL(HOST)
        assert url.path == f"/get/{name}"
        assert not url.raw_query_string
        assert source.path == name

    @pytest.mark.parametrize("url", [f"{HOST}/", HOST, f"{HOST}/get/{{token}}", f"{HOST}/?a=b"])
    def test_an_address_that_ends_in_no_name_needs_one(self, url: str) -> None:
        with pytest.raises((SettingsError, NameRefusedError)):
            sources(UpstreamSettings(name="a", kind="http", url=url), ANONYMOUS)

    @given(st.text(), secrets)
    def test_any_address_is_one_line_of_ascii(self, tail: str, token: str) -> None:
        settings = UpstreamSettings(
            name="a", kind="http", url=f"{HOST}/{{token}}/{tail}", save_as="a.ndb"
        )
        (source,) = sources(settings, Auth(token=Secret(token)))
        assert source.address.isascii()
        assert source.address.isprintable()
        assert " " not in source.address

    def test_a_sidecar_lies_beside_its_file_whatever_the_query(self) -> None:
        settings = UpstreamSettings(name="a", kind="http", url=f"{HOST}/a.ndb?list=x")
        beside = sources(settings, ANONYMOUS)[0].beside(".sha256")
        assert (beside.path, beside.address) == ("a.ndb.sha256", f"{HOST}/a.ndb.sha256?list=x")

    @pytest.mark.parametrize(
        ("at", "address"),
        [
            ("version.txt", f"{HOST}/get/T/version.txt"),
            ("/v", f"{HOST}/v"),
            ("/{token}/v", f"{HOST}/T/v"),
            ("https://api.example/v", "https://api.example/v"),
        ],
    )
    def test_a_version_lies_below_the_feed_unless_said(self, at: str, address: str) -> None:
        url = f"{HOST}/get/{{token}}/"
        settings = UpstreamSettings(name="a", kind="http", url=url, names=("x",), version_at=at)
        assert version_address(settings, Auth(token=Secret("T"))) == address

    def test_a_token_is_never_placed_in_another_hosts_address(self) -> None:
        settings = UpstreamSettings(
            name="a", kind="http", url=f"{HOST}/{{token}}/a", version_at="https://b.example/{token}"
        )
        with pytest.raises(SettingsError, match="on another host"):
            version_address(settings, Auth(token=Secret("T")))


class TestAnswers:
    @pytest.mark.parametrize("status", [200, 206, 304])
    def test_what_carries_an_answer_is_taken(self, status: int) -> None:
        check_feed(status, {}, "u", credentialed=True, missing_means_blocked=True)

    @pytest.mark.parametrize(
        ("status", "headers", "credentialed", "blocked", "kind", "seconds"),
        [
            (401, {}, True, False, CredentialError, 0),
            (403, {}, True, False, CredentialError, 0),
            (401, {}, False, False, BusyError, answers.REFUSED_SECONDS),
            (403, {}, False, False, BusyError, answers.REFUSED_SECONDS),
            (402, {}, True, False, LicenceEndedError, 0),
            (404, {}, True, False, RefusedError, 0),
            (404, {}, True, True, BusyError, answers.BLOCKED_SECONDS),
            (429, {}, False, False, BusyError, answers.BUSY_SECONDS),
            (429, {"Retry-After": "7"}, False, False, BusyError, 7),
            (429, {"Retry-After": "999999999"}, False, False, BusyError, 7 * 86400),
            (429, {"Retry-After": "-1"}, False, False, BusyError, answers.BUSY_SECONDS),
            (503, {}, False, False, BusyError, 0),
            (500, {}, False, False, FetchError, 0),
            (204, {}, False, False, FetchError, 0),
            (418, {}, False, False, RefusedError, 0),
        ],
    )
    def test_each_status_has_its_meaning(
        self, status: int, headers: dict[str, str], credentialed: bool, blocked: bool,
        kind: type[Error], seconds: float,
    ) -> None:  # fmt: skip
        with pytest.raises(kind) as caught:
            check_feed(
                status, headers, "u", credentialed=credentialed, missing_means_blocked=blocked
            )
        assert wait_seconds(caught.value) == seconds

    @given(st.dictionaries(st.sampled_from(["Retry-After", "Date"]), st.text()))
    def test_no_header_makes_a_wait_endless(self, headers: dict[str, str]) -> None:
        with pytest.raises(BusyError) as caught:
            check_feed(429, headers, "u", credentialed=False, missing_means_blocked=False)
        assert 0 <= caught.value.seconds <= answers.MAX_RETRY_AFTER_SECONDS


@pytest.mark.parametrize(
    ("url", "protected"),
    [
        ("https://vendor.example/a", True), ("http://vendor.example/a", False),
        ("http://127.0.0.1:8000/a", True), ("http://[::1]/a", True), ("http://localhost/a", True),
        ("http://localhost.example/a", False), ("http://127.0.0.1.example/a", False),
        ("http:///a", False), ("ftp://vendor.example/a", False),
    ],
)  # fmt: skip
def test_only_https_and_this_machine_are_protected_on_the_way(url: str, protected: bool) -> None:
    assert is_protected(url) == protected
