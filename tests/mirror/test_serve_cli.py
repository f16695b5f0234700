"""The commands that make, check and run a mirror, and admit who may fetch."""

import http.client
import json
import logging
import os
import re
import signal
import stat
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import structlog

from keys import console
from keys.errors import MissingError, SettingsError
from keys.model.licence import Content, Licence
from keys.signing.licence import issue, public_half
from keys.trust.repository import Repository
from mirror.address import Address
from mirror.cli import sigmirror
from tests.keys.issuing import LICENCE, Issuer, but
from tests.mirror.serving import SIGMIRROR, Process, wait_for


class Cli:
    """`sigmirror` in this process, with one settings file."""

    def __init__(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.config = config
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *words: object) -> int:
        arguments = [*map(str, words), "--config", str(self.config)]
        code = console.exit_code(sigmirror, program="sigmirror", arguments=arguments)
        self.out, self.err = self._capsys.readouterr()
        return code

    def json(self, *words: object, expect: int = 0) -> Any:
        assert self(*words, "--json") == expect, self.err
        assert not self.err
        return json.loads(self.out)


@pytest.fixture
def own_logs() -> Iterator[None]:
    """Undo what a command that serves does to the logs of its process."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], own_logs: None) -> Cli:
    """A mirror that `sigmirror init` made."""
    del own_logs
    found = Cli(tmp_path / "etc" / "sigmirror.toml", capsys)
    words = [
        "init",
        "--folder",
        tmp_path / "m",
        "--listen",
        "127.0.0.1:0",
        "--threshold",
        1,
        "--keys",
        1,
    ]
    assert found(*words) == 0, found.err
    text = found.config.read_text()
    found.config.write_text(text.replace("[serve]", '[serve]\nmetrics_listen = "127.0.0.1:0"'))
    return found


def test_init_makes_a_mirror_that_a_client_trusts(cli: Cli, tmp_path: Path) -> None:
    metadata = tmp_path / "m/r/site/metadata"

    class Source:
        def read(self, name: str, *, max_bytes: int) -> bytes:
            del max_bytes
            try:
                return (metadata / name).read_bytes()
            except FileNotFoundError as exc:
                raise MissingError(name) from exc

    repository = Repository("site", tmp_path / "c/metadata", tmp_path / "c/clock.json")
    repository.bootstrap((metadata / "1.root.json").read_bytes())
    assert repository.refresh(Source(), now=datetime.now(UTC)).changed
    assert cli("check-config") == 0
    for secret in (tmp_path / "etc/passphrase", tmp_path / "m/keys/offline.passphrase"):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert secret.read_text().strip() not in cli.out
    assert (tmp_path / "m/keys/offline/root-1.pem").is_file()


@pytest.mark.parametrize(
    ("access", "told"),
    [("hosts", ["host add"]), ("licences", ["customer add"]), ("open", [])],
)
def test_init_says_how_to_admit_those_who_may_fetch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], access: str, told: list[str]
) -> None:
    made = Cli(tmp_path / "sigmirror.toml", capsys)
    assert made("init", "--folder", tmp_path / "m", "--access", access) == 0
    assert re.findall(r"sigmirror (\w+ add) ", made.out) == told


def test_init_overwrites_nothing(cli: Cli, tmp_path: Path) -> None:
    before = cli.config.read_bytes()
    assert cli("init", "--folder", tmp_path / "other") == 2
    assert "exists already" in cli.err
    assert cli.config.read_bytes() == before
    cli.config.unlink()
    root = (tmp_path / "m/r/site/metadata/1.root.json").read_bytes()
    assert cli("init", "--folder", tmp_path / "m") == 2
    assert (tmp_path / "m/r/site/metadata/1.root.json").read_bytes() == root


def test_check_config_explains_each_value(cli: Cli, tmp_path: Path) -> None:
    values = {one["key"]: one for one in cli.json("check-config")["values"]}
    assert values["serve.access"] == {"key": "serve.access", "value": "hosts", "from": "file"}
    assert values["keep_releases"]["from"] == "default"
    assert cli("check-config") == 0
    assert 'serve.access = "hosts"  (file)' in cli.out
    assert "no problems" in cli.out
    del tmp_path


@pytest.mark.parametrize(
    ("serve", "warns"),
    [
        ('listen = "0.0.0.0:8480"', True),
        ('listen = "127.0.0.1:8480"', False),
        ('listen = "127.0.0.1:8480"\ntrusted_proxies = ["127.0.0.1"]', True),
    ],
    ids=["open to everybody", "on this machine only", "behind a proxy of this machine"],
)
def test_check_config_warns_of_feeds_an_open_mirror_keeps_to_itself(
    cli: Cli, serve: str, *, warns: bool
) -> None:
    text = cli.config.read_text().replace('access = "hosts"', 'access = "open"')
    lines = [line for line in text.splitlines() if not line.startswith("listen")]
    text = "\n".join(lines).replace("[serve]", f"[serve]\n{serve}")
    feeds = "".join(
        f"""
        [[upstream]]
        name = "{name}"
        kind = "drop"
        channel = "{name}"
        folder = "/"
        redistribution = "{word}"
        """
        for name, word in (("free", "public"), ("paid", "licensed-hosts"), ("mine", "none"))
    )
    cli.config.write_text(text + feeds)
    found = cli.json("check-config")
    assert found["problems"] == []
    told = [one["message"] for one in found["warnings"]]
    assert len(told) == (2 if warns else 0)
    assert cli("check-config") == 0
    if warns:
        assert told[0].startswith("upstream paid: redistribution is licensed-hosts, and ")
        assert "only this machine gets its files" in told[1]
        assert "warning: upstream mine: redistribution is none" in cli.out


def test_check_config_lists_every_problem(cli: Cli, tmp_path: Path) -> None:
    cli.config.write_text(f"""
        [store]
        url = "file://{tmp_path}/nowhere"
        [signing]
        passphrase_file = "{tmp_path}/no-passphrase"
        [serve]
        listen = "0.0.0.0:8480"
        access = "hosts"
        metrics_listen = "9480"
        trusted_proxies = ["10.0.0.0/99"]
        [[licence]]
        name = "av"
        file = "{tmp_path}/no.lic"
        issuer = "{tmp_path}/no.pub"
        username = "EAV-1"
        [[upstream]]
        name = "site"
        kind = "drop"
        folder = "{tmp_path}/no-drop"
        [[upstream]]
        name = "acme"
        kind = "tuf"
        url = "https://user:hunter2@vendor.example/r/site"
        licence = "other"
        [[upstream]]
        name = "acme"
        kind = "drop"
        channel = "root"
        folder = "/"
    """)
    found = cli.json("check-config", expect=2)
    problems = "\n".join(one["message"] for one in found["problems"])
    for part in (
        "serve.listen: 0.0.0.0:8480: credentials would travel in the clear",
        "serve.metrics_listen: '9480'",
        "serve.trusted_proxies: '10.0.0.0/99'",
        "nowhere: holds no repository",
        "no-passphrase",
        "no.lic",
        "licence av: password_file: missing",
        "upstream 'site': name",
        "upstream 'site': channel: missing",
        "no-drop: does not exist",
        "upstream 'acme': root: missing",
        "'other' is not in the settings",
        "upstream 'acme': named 2 times",
        "channel 'root'",
    ):
        assert part in problems, problems
    assert "hunter2" not in json.dumps(found)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ('listen = "192.0.2.1:8480"\naccess = "hosts"', "in the clear"),
        ('listen = "[::]:8480"\naccess = "licences"', "in the clear"),
        (
            'listen = "192.0.2.1:8480"\naccess = "hosts"\ntls_terminated_by_proxy = true',
            "trusted_proxies",
        ),
        ('tls = { cert = "/nowhere.crt", key = "/nowhere.key" }', "/nowhere.crt: no such file"),
        ('acess = "open"', "acess"),
        ('access = "everybody"', "serve.access"),
        ("max_requests_in_flight = 0", "serve.max_requests_in_flight"),
    ],
)
def test_a_mirror_that_would_be_unsafe_does_not_start(
    cli: Cli, settings: str, message: str
) -> None:
    text = cli.config.read_text()
    cli.config.write_text(text[: text.index("[serve]")] + "[serve]\n" + settings)
    for command in ("run", "serve", "check-config"):
        assert cli(command) == 2
        assert message in cli.out + cli.err


def test_credentials_behind_a_proxy_that_ends_tls_are_fine(cli: Cli) -> None:
    text = cli.config.read_text()
    cli.config.write_text(text.replace('\nlisten = "127.0.0.1:0"', """
        listen = "192.0.2.1:0"
        tls_terminated_by_proxy = true
        trusted_proxies = ["10.0.0.0/8", "192.0.2.7"]
    """))  # fmt: skip
    assert cli("check-config") == 0, cli.out


def test_an_address_that_is_taken_is_named(cli: Cli, tmp_path: Path) -> None:
    with Process.started(cli.config, tmp_path / "log") as process:
        text = cli.config.read_text()
        cli.config.write_text(
            text.replace('\nlisten = "127.0.0.1:0"', f'\nlisten = "{process.address}"')
        )
        words = [SIGMIRROR, "serve", "--config", cli.config]
        done = subprocess.run([str(word) for word in words], capture_output=True, check=False)
    assert done.returncode == 1
    assert f"serve.listen: {process.address}" in done.stderr.decode()


def test_hosts_are_added_rotated_listed_and_removed(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "mx1.cred"
    assert cli("host", "add", "mx1", "--out", out) == 0
    name, _, token = out.read_text().strip().partition(":")
    assert (name, len(token) >= 43) == ("mx1", True)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    record = tmp_path / "m/state/hosts.json"
    assert token not in record.read_text()
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert cli("host", "add", "mx1") == 2
    assert cli("host", "rotate", "mx1", "--overlap", "2h") == 0
    assert cli.out.startswith("mx1:")
    (row,) = cli.json("host", "list")
    assert (row["name"], row["tokens"]) == ("mx1", 2)
    assert cli("host", "rotate", "mx1", "--overlap", "0s") == 0
    assert cli.json("host", "list")[0]["tokens"] == 1
    assert cli("host", "remove", "mx1") == 0
    assert cli.json("host", "list") == []
    assert cli("host", "remove", "mx1") == 2
    assert cli("host", "add", "a:b") == 2
    assert cli("host", "rotate", "mx1", "--overlap", "soon") == 2


def test_a_host_record_that_was_damaged_is_named(cli: Cli, tmp_path: Path) -> None:
    assert cli("host", "add", "mx1") == 0
    (tmp_path / "m/state/hosts.json").write_text("{")
    assert cli("host", "list") == 1
    assert "hosts.json" in cli.err


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer.make(tmp_path)


def issued(issuer: Issuer, path: Path, one: Licence) -> Path:
    path.write_bytes(issue(one, issuer.signer))
    return path


def test_customers_are_added_renewed_listed_and_removed(
    cli: Cli, tmp_path: Path, issuer: Issuer
) -> None:
    password = tmp_path / "password"
    password.write_text("kept at renewal\n")
    today = datetime.now(ZoneInfo(LICENCE.tz)).date()
    first = but(starts_on=today - timedelta(days=300), ends_on=today + timedelta(days=30))
    then = but(
        starts_on=today + timedelta(days=31), ends_on=today + timedelta(days=390), sequence=2
    )
    file = issued(issuer, tmp_path / "1.lic", first)
    add = ["customer", "add", "EAV-0123456", "--licence", file, "--password-file", password]
    assert cli(*add) == 2
    assert "--issuer" in cli.err
    pinned = ["--issuer", public_half(issuer.key)]
    assert cli(*add, *pinned) == 0, cli.err
    assert "株式会社サンプル" in cli.out
    assert cli(*add, *pinned) == 2
    record = tmp_path / "m/state/customers.json"
    kept = json.loads(record.read_text())["customers"]["EAV-0123456"]["password"]
    assert "kept at renewal" not in record.read_text()
    (row,) = cli.json("customer", "list")
    assert (row["channel"], row["state"], row["days_left"]) == ("inhouse", "expiring", 30)
    renewal = issued(issuer, tmp_path / "2.lic", then)
    renew = ["customer", "renew", "EAV-0123456", "--licence", renewal, *pinned]
    assert cli(*renew) == 0, cli.err
    assert json.loads(record.read_text())["customers"]["EAV-0123456"]["password"] == kept
    assert cli.json("customer", "list")[0]["days_left"] > 300
    assert cli("customer", "renew", "EAV-0123456", "--licence", file, *pinned) == 4
    assert cli("customer", "remove", "EAV-0123456") == 0
    assert cli.json("customer", "list") == []


def test_a_forged_licence_makes_no_customer(cli: Cli, tmp_path: Path, issuer: Issuer) -> None:
    password = tmp_path / "password"
    password.write_text("kept at renewal\n")
    (tmp_path / "other").mkdir()
    forged = issued(Issuer.make(tmp_path / "other"), tmp_path / "1.lic", LICENCE)
    words = ["customer", "add", "EAV-1", "--licence", forged, "--password-file", password]
    assert cli(*words, "--issuer", public_half(issuer.key)) == 4
    assert "no pinned issuer" in cli.err
    assert cli.json("customer", "list") == []


def test_licences_are_imported_replaced_and_listed(
    cli: Cli, tmp_path: Path, issuer: Issuer
) -> None:
    today = datetime.now(UTC).date()
    with cli.config.open("a") as file:
        file.write(f"""
            [[licence]]
            name = "av"
            file = "{tmp_path}/etc/av.lic"
            issuer = "{public_half(issuer.key)}"
        """)
    first = but(starts_on=date(2026, 1, 1), ends_on=today + timedelta(days=100))
    second = but(starts_on=date(2026, 1, 1), ends_on=today + timedelta(days=300), sequence=2)
    one, two = issued(issuer, tmp_path / "1.lic", first), issued(issuer, tmp_path / "2.lic", second)
    assert cli("licence", "replace", "av", one) == 2
    assert cli("licence", "import", "av", one) == 0, cli.err
    assert cli("licence", "import", "av", one) == 2
    assert cli.json("licence", "list")[0]["days_left"] in {99, 100}
    assert cli("licence", "replace", "av", two) == 0, cli.err
    assert cli.json("licence", "list")[0]["days_left"] in {299, 300}
    assert cli.json("licence", "list")[0]["organisation"] == "株式会社サンプル"
    assert cli("licence", "replace", "av", one) == 4
    assert cli("licence", "import", "other", one) == 2


def test_programs_need_a_licence_that_brings_them(cli: Cli, tmp_path: Path, issuer: Issuer) -> None:
    today = datetime.now(UTC).date()
    one = but(
        starts_on=date(2026, 1, 1),
        ends_on=today + timedelta(days=100),
        content=(Content.definitions, Content.documents),
    )
    with cli.config.open("a") as file:
        file.write(f"""
            [[licence]]
            name = "av"
            file = "{issued(issuer, tmp_path / "av.lic", one)}"
            issuer = "{public_half(issuer.key)}"
            [[upstream]]
            name = "rules"
            kind = "drop"
            channel = "rules"
            folder = "/"
            licence = "av"
            [[upstream]]
            name = "setup"
            kind = "drop"
            channel = "setup"
            folder = "/"
            licence = "av"
            content = "programs"
        """)
    (problem,) = cli.json("check-config", expect=2)["problems"]
    assert problem["message"] == (
        "upstream setup: content: licence av brings definitions, documents, no programs"
    )


@pytest.fixture
def serving(cli: Cli, tmp_path: Path) -> Iterator[tuple[Process, str]]:
    """`sigmirror serve` with one host; no key is readable."""
    assert cli("host", "add", "mx1") == 0
    credential = cli.out.strip()
    (tmp_path / "etc/passphrase").unlink()
    with Process.started(cli.config, tmp_path / "log", command="serve") as process:
        yield process, credential


def get(process: Process, path: str, credential: str = "") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(process.address)
    headers = {"Authorization": "Basic " + b64encode(credential.encode()).decode()}
    connection.request("GET", path, headers=headers if credential else {})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def test_serve_needs_no_signing_key(serving: tuple[Process, str]) -> None:
    process, credential = serving
    assert get(process, "/r/site/metadata/timestamp.json", credential).status == 200
    assert get(process, "/r/site/metadata/timestamp.json").status == 401
    assert get(process, "/readyz").status == 200


def test_a_host_added_while_serving_is_let_in(serving: tuple[Process, str], cli: Cli) -> None:
    process, _ = serving
    assert cli("host", "add", "mx2") == 0
    credential = cli.out.strip()
    path = "/r/site/metadata/timestamp.json"
    wait_for(lambda: process.told("reloaded", what="access"), "the new host")
    assert get(process, path, credential).status == 200
    assert cli("host", "remove", "mx2") == 0
    wait_for(lambda: get(process, path, credential).status == 401, "the removed host")


def test_sighup_does_not_end_a_mirror(serving: tuple[Process, str]) -> None:
    process, _ = serving
    process.popen.send_signal(signal.SIGHUP)
    wait_for(lambda: process.told("sighup-ignored"), "the signal to be told")
    assert process.popen.poll() is None


def test_sigterm_lets_the_request_in_flight_finish(cli: Cli, tmp_path: Path) -> None:
    drop = tmp_path / "drop"
    drop.mkdir()
    data = os.urandom(64 << 20)
    (drop / "big.bin").write_bytes(data)
    assert cli("publish", "inhouse", drop) == 0, cli.err
    cli.config.write_text(cli.config.read_text().replace('"hosts"', '"open"'))
    blob = next((tmp_path / "m/r/site/targets/inhouse/files").glob("*.big.bin"))
    with Process.started(cli.config, tmp_path / "log", command="serve") as process:
        connection = http.client.HTTPConnection(process.address)
        connection.request("GET", f"/r/site/targets/inhouse/files/{blob.name}")
        answer = connection.getresponse()
        first = answer.read(1 << 20)
        process.popen.send_signal(signal.SIGTERM)
        wait_for(lambda: process.told("stopping"), "the signal")
        assert first + answer.read() == data
        connection.close()
        assert process.popen.wait(timeout=60) == 0


def test_another_process_publish_is_served_soon(cli: Cli, tmp_path: Path) -> None:
    cli.config.write_text(cli.config.read_text().replace('"hosts"', '"open"'))
    with Process.started(cli.config, tmp_path / "log", command="serve") as process:
        path = "/r/site/metadata/timestamp.json"
        before = get(process, path).headers["ETag"]
        (tmp_path / "drop").mkdir()
        (tmp_path / "drop" / "a.yar").write_text("rule a { condition: false }\n")
        assert cli("publish", "inhouse", tmp_path / "drop") == 0, cli.err
        wait_for(lambda: get(process, path).headers["ETag"] != before, "the new timestamp")


NO_ADDRESSES = ["", "8480", "localhost", "localhost:99999", "::1:80", "[::1]", "a:b"]


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"serve\.listen"):
        Address.parse(text, "serve.listen")


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [("127.0.0.1", True), ("[::1]", True), ("localhost", True), ("192.0.2.1", False),
     ("[::]", False), ("", False), ("mirror.example", False)],
)  # fmt: skip
def test_only_this_machine_reaches_loopback(host: str, is_loopback: bool) -> None:
    assert Address.parse(f"{host}:8480", "serve.listen").is_loopback is is_loopback
