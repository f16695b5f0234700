"""Feeds on plain web servers, pulled by the real command into a real repository."""

import hashlib
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.mirror.feeding import Feeding
from tests.mirror.stand_in import (
    MODIFIED,
    StandIn,
    body,
    etag,
    names,
    packed,
    redirect,
    status,
)

RULE = b'rule a { strings: $a = "x" condition: $a }\n'
RULES = b'rule b { strings: $b = "yy" condition: $b }\n'
DAY = timedelta(days=1)


@pytest.fixture
def feeding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Feeding:
    return Feeding(tmp_path, capsys)


@pytest.fixture
def vendor() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        yield stand_in


def follow(feeding: Feeding, vendor: StandIn, **settings: Any) -> None:
    """Configure the file ``/a.yar`` of a vendor."""
    feeding.feed(**{"url": f"{vendor.url}/a.yar", "allow_unsigned": True, **settings})


def test_a_file_with_its_sidecar_becomes_a_release(feeding: Feeding, vendor: StandIn) -> None:
    vendor.put("/a.yar", RULE, "sha256")
    follow(feeding, vendor, verify=["sha256"])
    feeding.published()
    assert feeding.contents() == {"a.yar": RULE}
    offered = feeding.offered()
    assert offered.assurance.value == "digest"
    assert [file.path for file in offered.originals] == ["a.yar.sha256"]
    assert offered.release.startswith("20260301T060000Z-")
    assert offered.vendor_time == MODIFIED
    assert offered.provenance.url == f"{vendor.url}/a.yar"
    assert "feed: unchanged" in feeding.pull().out
    assert vendor.bodies("/a.yar") == 1


def test_a_pull_without_a_change_is_one_request_without_a_body(
    feeding: Feeding, vendor: StandIn
) -> None:
    vendor.put("/a.yar", RULE)
    follow(feeding, vendor)
    feeding.published()
    vendor.asked.clear()
    told = feeding.asks("pull", "feed")["pulls"][0]
    assert (told["outcome"], told["requests"], told["received_bytes"]) == ("unchanged", 1, 0)
    assert [one.method for one in vendor.asked] == ["HEAD"]


@pytest.mark.parametrize("version", ["etag", "last-modified"])
def test_where_head_is_not_answered_a_change_is_asked_for_with_a_condition(
    feeding: Feeding, vendor: StandIn, version: str
) -> None:
    vendor.head = False
    vendor.put("/a.yar", RULE)
    follow(feeding, vendor, version=version)
    feeding.published()
    vendor.sent = 0
    assert "feed: unchanged" in feeding.pull().out
    assert vendor.sent == 0
    vendor.put("/a.yar", RULES, modified=MODIFIED + DAY)
    feeding.published()
    assert vendor.sent == 1 + len(RULES), "one byte to ask, then the file once"


def test_requests_name_sigmirror_and_ask_for_bytes_as_they_are(
    feeding: Feeding, vendor: StandIn
) -> None:
    vendor.put("/a.yar", RULE)
    follow(feeding, vendor)
    feeding.published()
    assert {one.headers["User-Agent"].partition("/")[0] for one in vendor.asked} == {"sigmirror"}
    assert {one.headers["Accept-Encoding"] for one in vendor.asked} == {"identity"}
    follow(feeding, vendor, user_agent="site-mirror/1 (ops@example.com)")
    feeding.pull()
    assert vendor.asked[-1].headers["User-Agent"] == "site-mirror/1 (ops@example.com)"


class TestVersions:
    """Each way to tell that there is something new: a change is seen, no change costs no file."""

    def grows(self, feeding: Feeding, vendor: StandIn) -> None:
        feeding.published()
        assert "feed: unchanged" in feeding.pull().out
        assert vendor.bodies("/a.yar") == 1

    def test_an_entity_tag(self, feeding: Feeding, vendor: StandIn) -> None:
        vendor.dates = False
        vendor.put("/a.yar", RULE)
        follow(feeding, vendor, version="etag")
        self.grows(feeding, vendor)
        vendor.put("/a.yar", RULES)
        feeding.published()
        assert feeding.offered().provenance.vendor_version == etag(RULES)

    def test_a_time_of_change(self, feeding: Feeding, vendor: StandIn) -> None:
        vendor.etags = False
        vendor.put("/a.yar", RULE)
        follow(feeding, vendor, version="last-modified")
        self.grows(feeding, vendor)
        vendor.put("/a.yar", RULES, modified=MODIFIED + DAY)
        feeding.published()
        assert feeding.offered().provenance.vendor_version == "20260302T060000Z"

    def test_a_sidecar(self, feeding: Feeding, vendor: StandIn) -> None:
        vendor.etags = vendor.dates = False
        vendor.put("/a.yar", RULE, "md5")
        follow(feeding, vendor, version="sidecar", verify=["md5"])
        self.grows(feeding, vendor)
        vendor.put("/a.yar", RULES, "md5")
        feeding.published()

    def test_a_version_file(self, feeding: Feeding, vendor: StandIn) -> None:
        vendor.put("/a.yar", RULE)
        vendor.put("/version.txt", b"10341\n")
        follow(feeding, vendor, version="version-file", version_at="version.txt")
        self.grows(feeding, vendor)
        assert feeding.offered().release.startswith("10341-")
        vendor.put("/a.yar", RULES)
        vendor.put("/version.txt", b"10342\n")
        feeding.published()

    def test_a_place_in_a_json_document(self, feeding: Feeding, vendor: StandIn) -> None:
        vendor.put("/a.yar", RULE)
        vendor.put("/api/latest", b'{"data": [{"tag/name": "20260301"}]}')
        follow(
            feeding, vendor, version="json-pointer", version_at=f"{vendor.url}/api/latest",
            version_pointer="/data/0/tag~1name",
        )  # fmt: skip
        self.grows(feeding, vendor)
        assert feeding.offered().release.startswith("20260301-")

    def test_a_dns_record(self, feeding: Feeding, vendor: StandIn) -> None:
        vendor.put("/a.yar", RULE)
        with names({"current.rules.example": "1:17:63"}) as resolver:
            follow(
                feeding, vendor, version="dns-txt", version_at="current.rules.example",
                version_pointer="1", resolver=resolver,
            )  # fmt: skip
            self.grows(feeding, vendor)
        assert feeding.offered().provenance.vendor_version == "17"

    def test_where_nothing_tells_the_content_does(self, feeding: Feeding, vendor: StandIn) -> None:
        vendor.etags = vendor.dates = False
        vendor.put("/a.yar", RULE)
        follow(feeding, vendor)
        feeding.published()
        assert "feed: unchanged" in feeding.pull().out
        assert feeding.asks("status")["repositories"][0]["channels"][0]["tracks"] == {"stable": 1}

    def test_yesterdays_file_with_todays_date_is_no_release(
        self, feeding: Feeding, vendor: StandIn
    ) -> None:
        vendor.etags = False
        vendor.put("/a.yar", RULE)
        follow(feeding, vendor, version="last-modified")
        feeding.published()
        vendor.put("/a.yar", RULE, modified=MODIFIED + DAY)
        assert "feed: unchanged" in feeding.pull().out
        assert feeding.offered().sequence == 1

    @pytest.mark.parametrize("older", ["10340", "9", "v10340"])
    def test_an_older_version_than_the_last_one_is_refused(
        self, feeding: Feeding, vendor: StandIn, older: str
    ) -> None:
        vendor.put("/a.yar", RULE)
        vendor.put("/version.txt", b"10341\n")
        follow(feeding, vendor, version="version-file", version_at="version.txt")
        feeding.published()
        vendor.put("/a.yar", RULES)
        vendor.put("/version.txt", older.encode())
        done = feeding.pull()
        assert done.code == 3
        assert f"offers version {older}, older than 10341" in done.err
        assert feeding.contents() == {"a.yar": RULE}
        assert vendor.bodies("/a.yar") == 1

    def test_an_older_date_than_the_last_one_is_refused(
        self, feeding: Feeding, vendor: StandIn
    ) -> None:
        vendor.put("/a.yar", RULE)
        follow(feeding, vendor, version="last-modified")
        feeding.published()
        vendor.put("/a.yar", RULES, modified=MODIFIED - DAY)
        assert feeding.pull().code == 3
        assert feeding.contents() == {"a.yar": RULE}


class TestVerify:
    def test_all_that_is_listed_must_hold(self, feeding: Feeding, vendor: StandIn) -> None:
        vendor.put("/a.yar", RULE, "sha512", "sha256", "md5")
        follow(feeding, vendor, verify=["sha512", "sha256", "md5", "size"])
        feeding.published()
        vendor.put("/a.yar", RULES, "sha512", "sha256")
        done = feeding.pull()
        assert done.code == 3
        assert "a.yar: md5 is" in done.err
        assert feeding.contents() == {"a.yar": RULE}

    def test_a_digest_of_githubs_api(self, feeding: Feeding, vendor: StandIn) -> None:
        digest = hashlib.sha256(RULE).hexdigest()
        assets = [{"name": "a.yar", "digest": f"sha256:{digest}"}, {"name": "b", "digest": None}]
        vendor.put("/a.yar", RULE)
        vendor.put("/api", json.dumps({"tag_name": "v7", "assets": assets}).encode())
        settings = {
            "version": "json-pointer", "version_at": "/api", "version_pointer": "/tag_name",
            "verify": ["github-digest"],
        }  # fmt: skip
        follow(feeding, vendor, **settings)
        feeding.published()
        assert feeding.offered().assurance.value == "digest"
        vendor.put("/a.yar", RULES)
        vendor.put("/api", json.dumps({"tag_name": "v8", "assets": assets[1:]}).encode())
        done = feeding.pull()
        assert done.code == 3
        assert "GitHub states no sha256 digest of it" in done.err

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"allow_unsigned": False}, "allow_unsigned"),
            ({"url": "http://vendor.example/a.yar"}, "needs https"),
            ({"url": "https://[::1/a.yar"}, "url: not an http or https address"),
            ({"url": "vendor.example/a.yar"}, "url: not an http or https address"),
            ({"url": "https://vendor.example:99999/a"}, "url: not an http or https address"),
            ({"url": "ftp://vendor.example/a.yar"}, "url: not an http or https address"),
            ({"url": "https://vendor.example"}, "save_as: missing"),
            (
                {"version": "version-file", "version_at": "https://[x"},
                "version_at: not an http or https address",
            ),
            ({"verify": ["openpgp"]}, "verify_keys: missing"),
            ({"verify": ["openpgp"], "fingerprints": ["1234ABCD"]}, "not 40 or 64 hex digits"),
            ({"verify": ["github-digest"]}, "version_at: missing"),
            ({"version": "sidecar"}, "verify lists none"),
            ({"version": "version-file"}, "version_at: missing"),
            ({"version": "json-pointer", "version_at": "/v"}, "version_pointer: missing"),
            (
                {"version": "json-pointer", "version_at": "/v", "version_pointer": "tag"},
                "not a JSON pointer",
            ),
            (
                {"version": "dns-txt", "version_at": "x.example", "version_pointer": "-1"},
                "not the number of a field",
            ),
            ({"auth": "query", "token_file": "/nowhere"}, "auth_name: missing"),
            ({"auth": "basic"}, "username: missing"),
            ({"url": "https://vendor.example/{token}/a"}, "needs auth = 'path'"),
            ({"auth": "mtls", "client_cert": "/c", "client_key": "/k"}, "only shown over https"),
            ({"names": ["a.yar"], "url": "https://vendor.example/?x=1"}, "holds no query"),
            ({"include": ["*.yar"]}, "include: counts for members of an archive"),
            ({"strip": 1}, "strip: counts for members of an archive"),
            ({"token_file": "/t"}, "token_file: is shown to nobody while auth is none"),
        ],
    )  # fmt: skip
    def test_settings_that_prove_nothing_are_named(
        self, feeding: Feeding, vendor: StandIn, settings: dict[str, Any], message: str
    ) -> None:
        follow(feeding, vendor, **settings)
        done = feeding.pull()
        assert done.code == 2
        assert message in done.err
        assert vendor.asked == []


class TestNames:
    def test_several_files_lie_below_one_address(self, feeding: Feeding, vendor: StandIn) -> None:
        wanted = {
            "a.yar": RULE,
            "deep/b.yar": RULES,
            "除外リスト.ign2": b"x\n",
            "50% off.txt": b"y",
        }
        for name, data in wanted.items():
            vendor.put(f"/rules/{name}", data, "sha256")
        feeding.feed(
            url=f"{vendor.url}/rules", names=list(wanted), verify=["sha256"], allow_unsigned=True
        )
        feeding.published()
        assert feeding.contents() == wanted
        served = {path.name[65:] for path in feeding.mirror.folder.rglob("feed/files/**/*.ign2")}
        assert served == {"@E9@99@A4@E5@A4@96@E3@83@AA@E3@82@B9@E3@83@88.ign2"}

    def test_an_address_may_be_written_as_people_read_it(
        self, feeding: Feeding, vendor: StandIn
    ) -> None:
        vendor.put("/ルール/一 覧.yar", RULE)
        feeding.feed(url=f"{vendor.url}/ルール/一 覧.yar", allow_unsigned=True)
        feeding.published()
        assert feeding.contents() == {"一 覧.yar": RULE}
        assert all(one.target.isascii() for one in vendor.asked)

    def test_a_file_is_called_what_the_settings_say(
        self, feeding: Feeding, vendor: StandIn
    ) -> None:
        vendor.files["/cgi/getfile"] = RULE
        answer = status(200, RULE, Content_Disposition='attachment; filename="../../evil.ign2"')
        vendor.always["/cgi/getfile"] = answer
        feeding.feed(
            url=f"{vendor.url}/cgi/getfile?list=clamav", save_as="除外.ndb", allow_unsigned=True
        )
        feeding.published()
        assert feeding.contents() == {"除外.ndb": RULE}

    @pytest.mark.parametrize(
        "name", ["../a", "/a", "a/../../b", ".hidden", "a\\b", "\u304b\u3099.txt"]
    )
    def test_a_name_that_must_not_be_is_refused(
        self, feeding: Feeding, vendor: StandIn, name: str
    ) -> None:
        feeding.feed(url=f"{vendor.url}/rules", names=[name], allow_unsigned=True)
        done = feeding.pull()
        assert done.code == 2
        assert f"names: file {name!r}: " in done.err
        assert vendor.asked == []


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_an_archive_is_unpacked_and_kept(feeding: Feeding, vendor: StandIn, kind: str) -> None:
    data = packed(kind, {"rules/a.rules": RULE, "rules/sub/b.rules": RULES, "README": b"no"})
    vendor.put(f"/open/rules.{kind}", data, "md5")
    feeding.feed(
        url=f"{vendor.url}/open/rules.{kind}", archive=kind, strip=1, include=["*.rules"],
        version="sidecar", verify=["md5"], allow_unsigned=True,
    )  # fmt: skip
    feeding.published()
    assert feeding.contents() == {"a.rules": RULE, "sub/b.rules": RULES}
    offered = feeding.offered()
    assert [one.path for one in offered.originals] == [f"rules.{kind}", f"rules.{kind}.md5"]
    assert offered.originals[0].sha256 == hashlib.sha256(data).hexdigest()


def test_an_archive_with_a_member_of_its_own_name_is_refused(
    feeding: Feeding, vendor: StandIn
) -> None:
    vendor.put("/r.zip", packed("zip", {"r.zip": RULE}))
    feeding.feed(url=f"{vendor.url}/r.zip", archive="zip", allow_unsigned=True)
    assert feeding.pull().code == 3


def test_gzip_that_is_the_file_itself_may_be_called_an_encoding(
    feeding: Feeding, vendor: StandIn
) -> None:
    """As servers do that know the suffix .gz as an encoding."""
    data = packed("tar.gz", {"a.rules": RULE})
    vendor.files["/r.tar.gz"] = data
    vendor.always["/r.tar.gz"] = body(data, Content_Encoding="x-gzip")
    feeding.feed(url=f"{vendor.url}/r.tar.gz", archive="tar.gz", allow_unsigned=True)
    feeding.published()
    assert feeding.contents() == {"a.rules": RULE}


class TestChangesMeanwhile:
    """A vendor who replaces files while he is read."""

    def test_a_file_newer_than_its_sidecar_is_read_once_more(
        self, feeding: Feeding, vendor: StandIn
    ) -> None:
        vendor.put("/a.yar", RULE, "sha256")
        vendor.next["/a.yar.sha256"] = [body(b"0" * 64)]
        follow(feeding, vendor, verify=["sha256"])
        feeding.published()
        assert vendor.bodies("/a.yar") == 2

    def test_a_sidecar_that_never_fits_is_refused(self, feeding: Feeding, vendor: StandIn) -> None:
        vendor.put("/a.yar", RULE, "sha256")
        vendor.always["/a.yar.sha256"] = body(b"0" * 64)
        follow(feeding, vendor, verify=["sha256"])
        assert feeding.pull().code == 3
        assert vendor.bodies("/a.yar") == 2

    def test_a_file_that_changed_since_it_was_asked_for_is_read_once_more(
        self, feeding: Feeding, vendor: StandIn
    ) -> None:
        vendor.put("/a.yar", RULE)
        vendor.next["/a.yar"] = [status(200, b"", ETag='"old"')]
        follow(feeding, vendor)
        feeding.published()
        assert vendor.bodies("/a.yar") == 2
        assert feeding.contents() == {"a.yar": RULE}

    def test_files_of_two_versions_are_never_one_release(
        self, feeding: Feeding, vendor: StandIn
    ) -> None:
        vendor.put("/a", RULE)
        vendor.put("/b", RULE)
        vendor.put("/version", b"1\n")
        rising = [body(b"%d\n" % number) for number in range(1, 9)]
        vendor.next["/version"] = rising
        contents = [body(b"%d" % number) for number in range(8)]
        vendor.next["/b"] = contents
        feeding.feed(
            url=vendor.url, names=["a", "b"], version="version-file", version_at="version",
            allow_unsigned=True,
        )  # fmt: skip
        done = feeding.pull()
        assert done.code == 1
        assert "changed while it was read, twice" in done.err
        assert feeding.asks("status")["repositories"][0]["channels"] == []

    def test_servers_that_disagree_on_the_tag_of_the_same_bytes_are_one_vendor(
        self, feeding: Feeding, vendor: StandIn
    ) -> None:
        vendor.put("/a.yar", RULE)
        tags = [status(200, RULE, ETag=f'"node-{number}"') for number in range(3)]
        vendor.next["/a.yar"] = tags
        follow(feeding, vendor)
        feeding.published()


class TestManyFiles:
    """Of many files only those that changed are brought again."""

    NAMES = ("a.yar", "b.yar", "c.yar")

    @pytest.fixture(autouse=True)
    def published(self, feeding: Feeding, vendor: StandIn) -> None:
        for name in self.NAMES:
            vendor.put(f"/{name}", RULE + name.encode(), "sha256")
        feeding.feed(url=vendor.url, names=list(self.NAMES), verify=["sha256"], allow_unsigned=True)
        feeding.published()
        vendor.sent = 0

    def kept(self, feeding: Feeding) -> Path:
        return feeding.mirror.folder / "state/upstreams/feed/kept"

    def test_what_did_not_change_is_not_sent_again(self, feeding: Feeding, vendor: StandIn) -> None:
        vendor.put("/b.yar", RULES, "sha256", modified=MODIFIED + DAY)
        feeding.published()
        wanted = {name: RULE + name.encode() for name in self.NAMES} | {"b.yar": RULES}
        assert feeding.contents() == wanted
        sidecars = sum(len(vendor.files[f"/{name}.sha256"]) for name in self.NAMES)
        assert vendor.sent == len(RULES) + sidecars
        assert len(list(self.kept(feeding).iterdir())) == len(self.NAMES) + 1

    def test_a_kept_file_that_was_changed_on_the_disk_is_brought_again(
        self, feeding: Feeding, vendor: StandIn
    ) -> None:
        for path in self.kept(feeding).iterdir():
            if path.suffix != ".json":
                path.write_bytes(b"evil")
        vendor.put("/b.yar", RULES, "sha256", modified=MODIFIED + DAY)
        feeding.published()
        assert feeding.contents()["a.yar"] == RULE + b"a.yar"

    def test_a_memory_that_is_lost_or_damaged_costs_only_bytes(
        self, feeding: Feeding, vendor: StandIn
    ) -> None:
        (self.kept(feeding) / "index.json").write_bytes(b"{")
        vendor.put("/b.yar", RULES, "sha256", modified=MODIFIED + DAY)
        feeding.published()
        assert vendor.bodies("/a.yar") == 2

    def test_a_vendor_who_says_unchanged_of_what_changed_is_asked_for_all_of_it(
        self, feeding: Feeding, vendor: StandIn
    ) -> None:
        vendor.put("/b.yar", RULES, "sha256")
        vendor.next["/b.yar"] = [status(200, b"", ETag='"new"'), status(304, b"")]
        feeding.published()
        assert feeding.contents()["b.yar"] == RULES

    def test_what_is_kept_shares_no_bytes_with_what_is_served(self, feeding: Feeding) -> None:
        served = {path.stat().st_ino for path in feeding.mirror.folder.glob("r/**/*.yar")}
        assert served
        assert not served & {path.stat().st_ino for path in self.kept(feeding).iterdir()}


def test_a_probe_tells_what_a_pull_would_meet_and_writes_nothing(
    feeding: Feeding, vendor: StandIn, tmp_path: Path
) -> None:
    vendor.put("/a.yar", RULE, "sha256")
    follow(feeding, vendor, verify=["sha256"])
    before = set(feeding.mirror.folder.rglob("*"))
    met = feeding.asks("probe", "feed", "--transcript", str(tmp_path / "transcript"))
    assert set(feeding.mirror.folder.rglob("*")) == before
    assert met["address"] == f"{vendor.url}/a.yar"
    assert (met["version"], met["bytes"]) == (etag(RULE), len(RULE))
    assert met["assurance"] == "digest"
    told = (tmp_path / "transcript").read_text()
    assert told.startswith(f"HEAD {vendor.url}/a.yar\n< 200\n")


def test_a_redirect_is_followed_to_where_the_vendor_keeps_his_files(
    feeding: Feeding, vendor: StandIn
) -> None:
    with StandIn() as elsewhere:
        elsewhere.put("/cdn/x", RULE)
        vendor.always["/a.yar"] = redirect(f"{elsewhere.url}/cdn/x")
        follow(feeding, vendor)
        feeding.published()
    assert feeding.contents() == {"a.yar": RULE}
