"""A credential is shown to its vendor and to nobody else, and stands in nothing we write.

For each kind of credential a vendor refuses it, echoes it in every way he can, fails, and at last
delivers; then everything that was written or printed is searched for it.
"""

import asyncio
import base64
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from keys.errors import Error
from mirror.cli.options import open_site
from tests.mirror import stand_in
from tests.mirror.feeding import Feeding, now
from tests.mirror.serving import Process, wait_for
from tests.mirror.site import BY
from tests.mirror.stand_in import Answer, Door, Handler, StandIn, server_tls

CORE = "S3CR3T"  # no output may hold it, whatever stands around it
TOKEN, PLAIN, WORD = f"{CORE}/tok en+&=%", f"{CORE}+tok/en=", f"{CORE}+tok_en="
RULE = b"rule a { condition: true }\n"


@dataclass(frozen=True)
class Kind:
    """One way to show a credential: the settings, and the door that takes it."""

    door: Door
    token: str
    settings: dict[str, str]

    def address(self, vendor: StandIn) -> str:
        return f"{vendor.url}{self.settings.get('at', '/a.yar')}"


def kind(door: Callable[..., Door], *names: str, token: str = TOKEN, **settings: str) -> Kind:
    return Kind(door(*names, token), token, settings)


BEARER = stand_in.by_header("Authorization", f"Bearer {PLAIN}")
KINDS = {
    "basic": kind(stand_in.by_basic, "EAV-0123456", auth="basic", username="EAV-0123456"),
    "bearer": Kind(BEARER, PLAIN, {"auth": "header"}),
    "header": kind(stand_in.by_header, "X-Key", token=PLAIN, auth="header", auth_name="X-Key"),
    "path": kind(stand_in.by_path, token=WORD, auth="path", at="/get/{token}/a.yar"),
    "query": kind(stand_in.by_query, "receipt", auth="query", auth_name="receipt"),
    "form": kind(stand_in.by_form, "apikey", auth="form", auth_name="apikey"),
}


def spellings(token: str) -> list[bytes]:
    """List what would give a secret away."""
    pair = base64.b64encode(f"EAV-0123456:{token}".encode())
    alone = base64.b64encode(token.encode())
    return [CORE.encode(), quote(CORE).encode(), pair, alone, pair[8:-4], alone[:-4]]


class Watched:
    """A feed with a credential; everything it prints is gathered."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], one: Kind) -> None:
        self.kind = one
        self.feeding = Feeding(folder, capsys)
        self.folder = folder
        self.printed: list[str] = []

    def follow(self, url: str, **settings: Any) -> None:
        self.show(self.kind.token)
        name = "password_file" if self.kind.settings["auth"] == "basic" else "token_file"
        known = {key: value for key, value in self.kind.settings.items() if key != "at"}
        self.feeding.feed(
            url=url, allow_unsigned=True, **{name: str(self.folder / "token")}, **known, **settings
        )

    def show(self, token: str) -> None:
        self.feeding.secret(token)

    def does(self, *words: str) -> int:
        done = self.feeding.types(*words)
        self.printed += [done.out, done.err]
        return done.code

    def pulls(self) -> int:
        """Pull, probe, and pull as a caller who prints the exception and what is remembered."""
        code = self.does("pull", "feed", "--json")
        self.printed.append(self._state().read_text())
        self.does("probe", "feed", "--transcript", str(self.folder / "mirror" / "transcript"))
        self.printed.append((self.folder / "mirror" / "transcript").read_text())
        self.forgets()
        try:
            pulling = open_site(self.feeding.config).ingest("feed").pull
            asyncio.run(pulling(now=now(), by=BY, by_hand=True))
        except Error as exc:
            self.printed += traceback.format_exception(exc)
        return code

    def _state(self) -> Path:
        return self.feeding.mirror.folder / "state/upstreams/feed.json"

    def forgets(self) -> None:
        """Forget the cool-down and the version, as after a day."""
        self._state().unlink(missing_ok=True)

    def leaks(self) -> list[str]:
        """List where the secret stands: files, their names, and what was printed."""
        wanted = spellings(self.kind.token)
        found = [text for text in self.printed if any(one in text.encode() for one in wanted)]
        for path in self.feeding.mirror.folder.rglob("*"):
            data = path.read_bytes() if path.is_file() else b""
            if any(one in data or one in str(path).encode() for one in wanted):
                found.append(str(path))
        return found


def shouts(token: str) -> Answer:
    """Answer with a status line that is none, and the secret in it."""

    def send(handler: Handler, _data: bytes | None) -> None:
        handler.wfile.write(f"{token}\r\n\r\n".encode())
        handler.hang_up()

    return send


def lengthens(token: str) -> Answer:
    """Answer with a length that is none, and hang up."""
    odd = stand_in.status(200, b"", Content_Length=token)

    def send(handler: Handler, data: bytes | None) -> None:
        odd(handler, data)
        handler.hang_up()

    return send


def long_title(word: str, shown: int) -> bytes:
    """Write a page whose title is quoted up to the first letters of a word."""
    return f"<html><head><title>{'x' * (59 - shown)} {word}</title></head></html>".encode()


def troubles(token: str, elsewhere: StandIn) -> dict[str, tuple[Answer, dict[str, Any]]]:
    """List ways to fail that say the secret wherever a vendor can say something."""
    echo = quote(token, safe="")
    page = f"<html><head><title>{token} is blocked</title></head></html>".encode()
    pair = base64.b64encode(f"EAV-0123456:{token}".encode()).decode()
    return {
        "a block page": (stand_in.body(page), {}),
        "a long block page": (stand_in.body(long_title(token, len(CORE) + 1)), {}),
        "a long block page about the login": (stand_in.body(long_title(pair, 24)), {}),
        "a refusal": (stand_in.status(403, page), {}),
        "a status line": (shouts(token), {}),
        "a redirect elsewhere": (stand_in.redirect(f"{elsewhere.url}/a.yar?k={echo}"), {}),
        "a redirect in circles": (stand_in.redirect(f"/get/{echo}/again?k={echo}"), {}),
        "a redirect to nowhere": (stand_in.redirect(f"http://[{echo}"), {}),
        "an odd redirect": (stand_in.redirect(f"ftp://{echo}/{echo}"), {}),
        "a wait": (stand_in.status(429, Retry_After=token, ETag=token), {}),
        "an encoding": (stand_in.body(page, Content_Encoding=token), {}),
        "a length": (lengthens(token), {}),
        "a cut": (stand_in.cut(3), {}),
        "silence": (stand_in.hang, {"max_pull_seconds": 1}),
        "a sidecar": (stand_in.status(404), {"verify": ["sha256"]}),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_no_output_of_a_failing_or_a_succeeding_pull_holds_the_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    one = KINDS[name]
    watched = Watched(tmp_path, capsys, one)
    with StandIn(door=one.door) as vendor, StandIn() as elsewhere:
        vendor.put("/get/a.yar", RULE)
        vendor.put("/a.yar", RULE)
        path = "/get/a.yar" if "at" in one.settings else "/a.yar"
        watched.follow(one.address(vendor))
        watched.show(f"{CORE}-wrong")
        assert watched.pulls() == 4, "a wrong credential"
        watched.show(one.token)
        for trouble, (answer, settings) in troubles(one.token, elsewhere).items():
            watched.forgets()
            vendor.always[path] = answer
            vendor.always[f"{path}.sha256"] = stand_in.body(f"{one.token}\n".encode())
            watched.follow(one.address(vendor), **{"verify": [], "max_pull_seconds": 60} | settings)
            assert watched.pulls() != 0, trouble
            vendor.always.clear()
        assert elsewhere.asked == [], "the credential was carried to another host"
        watched.follow(one.address(vendor), verify=[], max_pull_seconds=60)
        watched.forgets()
        vendor.always[path] = stand_in.body(RULE, ETag=f'"{one.token}"')
        assert watched.pulls() == 0, watched.printed[-9:]
        assert watched.feeding.contents() == {"a.yar": RULE}
    watched.forgets()
    watched.pulls()  # nobody listens any more
    for words in (["status"], ["status", "--json"], ["check-config"], ["pull"]):
        watched.does(*words)
    assert watched.leaks() == []


@pytest.mark.parametrize("name", KINDS)
def test_a_rejected_credential_stops_the_upstream_after_one_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    one = KINDS[name]
    watched = Watched(tmp_path, capsys, one)
    with StandIn(door=one.door) as vendor:
        vendor.put("/get/a.yar", RULE)
        vendor.put("/a.yar", RULE)
        watched.follow(one.address(vendor))
        watched.show("wrong")
        assert watched.does("pull", "feed") == 4
        assert len(vendor.asked) == 1
        assert watched.feeding.upstream()["state"] == "stopped"
        assert watched.does("pull") == 4
        assert len(vendor.asked) == 1, "no retry by itself"
        watched.show(one.token)
        watched.feeding.published()
        assert "feed: unchanged" in watched.feeding.pull().out


def test_what_is_kept_for_the_next_pull_holds_no_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = KINDS["query"]
    watched = Watched(tmp_path, capsys, one)
    with StandIn(door=one.door) as vendor:
        for name in ("a.yar", "b.yar"):
            vendor.always[f"/{name}"] = stand_in.body(RULE, ETag=f'"{one.token}"')
        watched.follow(vendor.url, names=["a.yar", "b.yar"])
        watched.feeding.published()
    assert (tmp_path / "mirror/state/upstreams/feed/kept/index.json").exists()
    assert watched.leaks() == []


def shown(vendor: StandIn) -> str:
    """Return everything a host was told."""
    return repr([(one.target, dict(one.headers), one.form) for one in vendor.asked])


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("name", KINDS)
def test_a_redirect_to_another_host_carries_no_credential(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, code: int
) -> None:
    one = KINDS[name]
    watched = Watched(tmp_path, capsys, one)
    with StandIn(door=one.door) as vendor, StandIn() as elsewhere:
        elsewhere.put("/cdn/a.yar", RULE)
        watched.follow(one.address(vendor))
        for path in ("/a.yar", "/get/a.yar"):
            vendor.always[path] = stand_in.redirect(f"{elsewhere.url}/cdn/a.yar", code)
        watched.feeding.published()
        assert vendor.asked
        assert {asked.method for asked in elsewhere.asked} <= {"GET", "HEAD"}
        assert not any(one in shown(elsewhere).encode() for one in spellings(one.token))
        assert "Referer" not in shown(elsewhere)


def test_a_redirect_back_from_another_host_carries_no_credential(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    watched = Watched(tmp_path, capsys, KINDS["basic"])
    with StandIn() as vendor, StandIn() as elsewhere:
        vendor.put("/public", RULE)
        vendor.always["/a.yar"] = stand_in.redirect(f"{elsewhere.url}/x")
        elsewhere.always["/x"] = stand_in.redirect(f"{vendor.url}/public")
        watched.follow(KINDS["basic"].address(vendor))
        watched.feeding.published()
        told = {one.path: "Authorization" in one.headers for one in vendor.asked}
    assert told == {"/a.yar": True, "/public": False}


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[StandIn, Path]]:
    """A vendor who wants to see a certificate."""
    context, trusted = server_tls(tmp_path, clients=True)
    with StandIn(tls=context) as vendor:
        vendor.put("/a.yar", RULE)
        yield vendor, trusted


def test_a_client_certificate_opens_the_door_and_its_key_is_never_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], guarded: tuple[StandIn, Path]
) -> None:
    vendor, trusted = guarded
    feeding = Feeding(tmp_path, capsys)
    feeding.feed(url=f"{vendor.url}/a.yar", ca_file=str(trusted), allow_unsigned=True)
    refused = feeding.pull()
    assert refused.code == 1, "without a certificate"
    key = tmp_path / "client.key"
    feeding.feed(auth="mtls", client_cert=str(tmp_path / "client.pem"), client_key=str(key))
    feeding.published()
    secret = key.read_text().splitlines()[1]
    for path in feeding.mirror.folder.rglob("*"):
        assert not path.is_file() or secret not in path.read_bytes().decode("latin-1")
    key.write_text("no key\n")
    done = feeding.pull()
    assert (done.code, "client_cert, client_key" in done.err) == (2, True)


def test_a_client_certificate_is_not_shown_to_another_host(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], guarded: tuple[StandIn, Path]
) -> None:
    """The other host demands a certificate too, and gets none."""
    vendor, trusted = guarded
    context, _ = server_tls(tmp_path, clients=True)
    feeding = Feeding(tmp_path, capsys)
    both = tmp_path / "both.pem"
    with StandIn(tls=context) as elsewhere:
        both.write_bytes(trusted.read_bytes())
        elsewhere.put("/a.yar", RULE)
        vendor.always["/a.yar"] = stand_in.redirect(f"{elsewhere.url}/a.yar")
        feeding.feed(
            url=f"{vendor.url}/a.yar", ca_file=str(both), auth="mtls", allow_unsigned=True,
            client_cert=str(tmp_path / "client.pem"), client_key=str(tmp_path / "client.key"),
        )  # fmt: skip
        assert feeding.pull().code == 1
        assert elsewhere.asked == []


@pytest.mark.parametrize(
    ("name", "form"), [("query", {}), ("form", {"product": "feed", "format": "text"})]
)
def test_a_vendor_gets_what_he_asks_for_besides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, form: dict[str, str]
) -> None:
    one = KINDS[name]
    watched = Watched(tmp_path, capsys, one)
    with StandIn(door=one.door) as vendor:
        vendor.put("/get", RULE)
        watched.follow(f"{vendor.url}/get?list=clamav", save_as="a.ndb", form=form)
        watched.feeding.published()
        assert all(asked.query["list"] == "clamav" for asked in vendor.asked)
        assert all(form.items() <= asked.form.items() for asked in vendor.asked)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_a_credential_never_travels_in_the_clear(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    watched = Watched(tmp_path, capsys, KINDS[name])
    at = KINDS[name].settings.get("at", "/a.yar")
    watched.follow(f"http://vendor.example{at}", verify=["cvd"])
    done = watched.feeding.pull()
    assert done.code in {1, 2}
    assert "the credential would travel in the clear" in done.err


@pytest.mark.slow
def test_the_log_and_the_metrics_of_a_running_mirror_hold_no_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = KINDS["path"]
    watched = Watched(tmp_path, capsys, one)
    with StandIn(door=one.door) as vendor:
        vendor.put("/get/a.yar", RULE)
        watched.follow(one.address(vendor))
        watched.show(f"{CORE}-wrong")
        config = watched.feeding.config
        text = '[serve]\nlisten = "127.0.0.1:0"\nmetrics_listen = "127.0.0.1:0"\n'
        config.write_text(text + config.read_text())
        with Process.started(config, tmp_path / "log") as process:
            wait_for(lambda: process.told("failed", what="feed"), "the first failure")
            watched.printed.append(repr(process.metrics()))
            watched.show(one.token)
            wait_for(lambda: process.told("published", upstream="feed"), "the release")
            watched.printed.append(repr(process.metrics()))
    watched.printed.append((tmp_path / "log").read_text())
    assert watched.leaks() == []
