"""ClamAV databases as an operator sees them: settings, pulls, cool-downs, status."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from keys.credentials import Credential, Secret
from keys.errors import UsageError
from mirror.feeds import UpstreamSettings
from mirror.upstream import clamav
from mirror.upstream.base import Feed
from tests.clamav_vendor import VENDOR
from tests.mirror.clamav_vendor_server import ClamavServer, in_background
from tests.mirror.operator import Operator, now


@pytest.fixture
def operator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    return Operator(tmp_path, capsys)


@pytest.fixture
def server() -> Iterator[ClamavServer]:
    with in_background(ClamavServer()) as one:
        yield one


def upstream(*lines: str) -> str:
    keys = ('name = "official"', 'kind = "clamav"', 'channel = "clamav"', *lines)
    return "[[upstream]]\n" + "\n".join(keys) + "\n"


def private(server: ClamavServer, *lines: str) -> str:
    return upstream(f'url = "{server.url}"', 'databases = ["test"]', *lines)


def test_a_pull_publishes_and_the_next_one_finds_nothing_new(
    operator: Operator, server: ClamavServer
) -> None:
    server.genuine(3)
    operator.write(private(server))
    first = operator.asks("pull", "official")["pulls"][0]
    assert (first["outcome"], first["release"]) == ("published", "test-3")
    again = operator.asks("pull", "official")["pulls"][0]
    assert (again["outcome"], again["requests"], again["received_bytes"]) == ("unchanged", 1, 0)
    manifest = operator.client.offered("clamav", now=now())
    assert manifest.signatures == 11
    assert {file.path for file in manifest.originals} >= {"test.cvd", "test-3.cdiff"}


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [(403, {}, "24 h"), (429, {"Retry-After": "7200"}, "2 h"), (429, {}, "4 h")],
)
def test_a_vendor_that_sends_us_away_is_not_asked_again_by_any_hand(
    operator: Operator, server: ClamavServer, status: int, headers: dict[str, str], wait: str
) -> None:
    server.statuses["*"] = (status, headers)
    operator.write(private(server))
    code, _, err = operator.types("pull", "official")
    assert (code, str(status) in err) == (1, True), wait
    server.forget()
    again = operator.asks("pull", "official", expect=1)["pulls"][0]
    assert (again["outcome"], str(status) in again["detail"]) == ("not due", True)
    assert server.asked == []


def test_status_tells_the_driver_and_what_it_lacks(
    operator: Operator, server: ClamavServer
) -> None:
    operator.write(private(server, 'driver = "freshclam"'))
    told = {one["name"]: one for one in operator.asks("status")["upstreams"]}["official"]
    assert told["driver"] == "freshclam"
    assert any("no cdiffs" in lack for lack in told["lacks"])
    operator.write(private(server))
    told = {one["name"]: one for one in operator.asks("status")["upstreams"]}["official"]
    assert told["driver"] == "native"


def test_an_operator_is_told_of_every_setting_that_cannot_be_followed(operator: Operator) -> None:
    wrong = ('databases = ["daily", "daily"]', 'signatures = "both"', 'resolver = "dns.example"')
    operator.write(upstream('driver = "native"', *wrong))
    code, out, err = operator.types("check-config")
    assert code == 2
    for words in ("driver: native", "databases: daily, daily", "certificates: missing", "resolver"):
        assert words in out + err


def settings(**keys: object) -> UpstreamSettings:
    plain = {"name": "official", "kind": "clamav", "channel": "clamav", "interval_seconds": 3600}
    return clamav.completed(UpstreamSettings(**{**plain, **keys}))  # type: ignore[arg-type] # a table


OFFICIAL: dict[str, object] = {}
PRIVATE: dict[str, object] = {"url": "https://mirror.example/clamav"}


def test_nobody_in_particular_is_the_vendor_asked_by_cvdupdate() -> None:
    found = settings()
    assert (found.url, found.driver, found.dns) == (
        "https://database.clamav.net", "cvdupdate", "current.cvd.clamav.net",
    )  # fmt: skip
    assert list(clamav.problems(found)) == []


def test_somebody_else_is_asked_directly_and_without_a_record() -> None:
    found = settings(**PRIVATE)
    assert (found.driver, found.dns) == ("native", "")
    assert list(clamav.problems(found)) == []


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"driver": "native"}, "driver: native: https://database.clamav.net takes its own"),
        ({"driver": "native", "url": "http://DB.jp.clamav.net."}, "takes its own programs only"),
        ({"interval_seconds": 3599}, "interval_seconds: 3599: no less than 3600 here"),
        ({**PRIVATE, "interval_seconds": 59}, "interval_seconds: 59: no less than 60 here"),
        ({"databases": ()}, "databases: none"),
        ({"databases": ("daily.cvd",)}, r"databases: daily\.cvd"),
        ({"databases": ("../x",)}, r"databases: \.\./x"),
        ({"signatures": "sign"}, "certificates: missing, needed for signatures = 'sign'"),
        ({"certificates": "/nowhere"}, "certificates /nowhere"),
        ({"resolver": "ns.example"}, "resolver: 'ns.example': not address"),
        ({"resolver": "192.0.2.1:5353"}, "cvdupdate asks port 53 only"),
        ({"driver": "freshclam", "resolver": "192.0.2.1"}, "freshclam asks the system's resolver"),
        ({"dns": "other.example"}, "dns: other.example: cvdupdate asks current"),
        ({"auth": "basic", "username": "me", "password_file": "/x"}, "cvdupdate shows no"),
        ({**PRIVATE, "driver": "freshclam", "auth": "header"}, "auth: header: freshclam shows"),
    ],
)
def test_a_setting_that_cannot_be_followed_is_named(keys: dict[str, object], says: str) -> None:
    with pytest.raises(Exception, match=says):
        raise next(clamav.problems(settings(**keys)))


@pytest.mark.parametrize(
    "keys",
    [
        {"resolver": "192.0.2.1:53"},
        {"resolver": "[2001:db8::1]:53"},
        {"resolver": "2001:db8::1"},
        {**PRIVATE, "resolver": "192.0.2.1:5353", "dns": "x.example"},
        {"driver": "freshclam", "dns": "other.example"},
        {**PRIVATE, "driver": "freshclam", "auth": "basic"},
    ],
)
def test_what_can_be_followed_is_no_problem(keys: dict[str, object]) -> None:
    assert list(clamav.problems(settings(**keys))) == []


@pytest.mark.parametrize("driver", ["native", "freshclam"])
def test_no_driver_shows_a_password_in_the_clear(driver: str, tmp_path: Path) -> None:
    found = settings(url="http://mirror.example", driver=driver)
    with pytest.raises(UsageError, match="in the clear"):
        clamav.assembled(Feed(found, Credential("me", Secret("pw")), "", tmp_path))


def test_a_folder_of_certificates_is_read_when_settings_are_checked(tmp_path: Path) -> None:
    folder = VENDOR.certificates(tmp_path / "certificates")
    found = settings(signatures="both", certificates=str(folder))
    assert list(clamav.problems(found)) == []


def test_a_missing_program_is_told_with_the_line_that_installs_it() -> None:
    (problem,) = clamav.missing(settings(program="/nowhere/cvd"))
    assert "official: program: /nowhere/cvd: there is no such program" in str(problem)
    assert "pip install cvdupdate" in problem.hint
    (problem,) = clamav.missing(settings(driver="freshclam", program="/nowhere/freshclam"))
    assert problem.hint == "apt-get install clamav-freshclam"
    assert list(clamav.missing(settings(**PRIVATE))) == []
