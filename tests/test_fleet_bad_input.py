"""What forged, replayed, huge or impossible reports, databases and clocks do to a fleet: nothing.

Real `sigmirror run` and `sigupdate` processes; definitions are served whatever happens.
"""

import contextlib
import http.client
import json
import sqlite3
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keys.model.release import encode
from keys.model.report import MAX_REPORT_BYTES, HistoryTail, HostReport, signed_text
from tests.clocks import moved
from tests.fleet import BIN, Fleet, Host
from tests.mirror import postgres
from tests.mirror.serving import Process, wait_for

SERIES = "ab" * 8
ENGINE = {"engine": "scan", "proof": "proven", "outcome": "installed"}
pytestmark = pytest.mark.xdist_group("bad-input")  # they share a mirror


@contextlib.contextmanager
def started(fleet: Fleet, log: str = "log", more: str = "") -> Iterator[Process]:
    if not fleet.config.exists():
        fleet.found()
    config = fleet.config.read_text().replace(
        'metrics_listen = ""', 'metrics_listen = "127.0.0.1:0"'
    )
    fleet.config.write_text(config + more)
    with Process.started(fleet.config, fleet.folder / log) as process:
        fleet.url, fleet.process = f"http://{process.address}", process
        yield process


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path_factory.mktemp("fleet"))
    with started(fleet):
        fleet.publish("rule one")
        yield fleet


def told(host: str, **more: object) -> dict[str, object]:
    now = datetime.now(UTC).isoformat()
    fresh = {"refreshed": {"site": now}, "engines": [ENGINE]}
    return {"host": host, "series": SERIES, "number": 1, "at": now, **fresh, **more}


def sends(fleet: Fleet, host: str, body: bytes | dict[str, object], *, to: str = "") -> int:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return fleet.post(f"v1/hosts/{to or host}", fleet.credential(host), data)


def line_of(fleet: Fleet, host: str) -> dict[str, Any]:
    (line,) = (one for one in fleet.hosts(code=None) if one["host"] == host)
    return line


def serves(fleet: Fleet) -> bool:
    address = f"{fleet.url}/r/site/metadata/timestamp.json"
    request = urllib.request.Request(address)  # noqa: S310 - loopback
    credential = next(fleet.folder.glob("*/cred")).read_text().strip()
    request.add_header("Authorization", basic(credential))
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
        return bool(answer.status == 200)


def basic(credential: str) -> str:
    from base64 import b64encode  # noqa: PLC0415 - only here

    return "Basic " + b64encode(credential.encode()).decode()


IMPOSSIBLE: list[tuple[str, dict[str, object]]] = [
    ("before the first day", {"at": "0001-01-01T00:00:00+14:00"}),
    ("after the last day", {"at": "9999-12-31T23:59:59-12:00"}),
    ("refreshed in the year 1", {"refreshed": {"site": "0001-01-01T00:00:00Z"}}),
    ("proven in the year 1", {"engines": [{**ENGINE, "proof_at": "0001-01-01T00:00:00Z"}]}),
    ("a NUL", {"system": "a\0b", "engines": [{**ENGINE, "detail": "\0"}]}),
    ("one engine twice", {"engines": [ENGINE, ENGINE]}),
]


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_report_nobody_could_have_written_harms_nobody_else(
    tmp_path: Path, database: str
) -> None:
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(postgres.running()) if database == "postgresql" else ""
        fleet = Fleet(tmp_path)
        stack.enter_context(started(fleet, more=f'[fleet]\ndatabase = "{url}"\n'))
        fleet.host("mx1")
        fleet.host("mx2")
        assert sends(fleet, "mx2", told("mx2")) == 200
        for number, (what, change) in enumerate(IMPOSSIBLE, start=1):
            assert sends(fleet, "mx1", told("mx1", number=number, **change)) == 200, what
            assert line_of(fleet, "mx2")["health"] == "ok", what
        deep = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        lone = json.dumps(told("mx1")).encode().replace(b'"ab', b'"\\ud800ab')
        tail = {"engine": "scan", "lines": ["\0"]}
        for body in (deep, lone, b'{"host": "mx1"', json.dumps(told("mx1", history=[tail]))):
            data = body if isinstance(body, bytes) else body.encode()
            assert sends(fleet, "mx1", data) == 400
        assert fleet.post("v1/enrol", "x:y", b'{"a":' + b"[" * 4000) == 400
        assert "every signature holds" in fleet.sigmirror("verify-log")
        assert fleet.process
        assert not [one for one in fleet.process.events("request") if one["status"] >= 500]


def test_a_report_without_end_is_refused_at_its_limit(fleet: Fleet) -> None:
    fleet.host("endless")
    headers = {"Authorization": basic(fleet.credential("endless")), "Transfer-Encoding": "chunked"}
    connection = http.client.HTTPConnection(fleet.url.removeprefix("http://"), timeout=60)
    pieces = [b" " * (MAX_REPORT_BYTES // 4)] * 4 + [b" "]
    try:
        path = "/v1/hosts/endless"
        connection.request("POST", path, iter(pieces), headers, encode_chunked=True)
        assert connection.getresponse().status == 413
    finally:
        connection.close()


def test_a_hosts_words_forge_no_line_and_move_no_cursor(fleet: Fleet) -> None:
    fleet.host("painter")
    forged = "\x1b[2J\nmx9  clamd  clamav 9  proven\u202e"
    trouble = {"message": forged}
    engine = {**ENGINE, "engine": forged, "version": forged, "troubles": [trouble]}
    body = told("painter", engines=[engine], system=forged, troubles=[trouble])
    assert sends(fleet, "painter", body) == 200
    for words in (["hosts"], ["host", "show", "painter"], ["status"], ["notify", "--dry-run"]):
        said = fleet.sigmirror(*words, code=None)
        assert not {"\x1b", "\u202e"} & set(said)
        assert not [line for line in said.splitlines() if line.startswith("mx9")]


def test_a_forged_history_is_refused_and_nothing_of_its_report_is_kept(fleet: Fleet) -> None:
    fleet.host("forger")
    key = Ed25519PrivateKey.generate()
    plain = msgspec.convert(told("forger"), HostReport)
    line = encode({"at": plain.at, "generation": 1, "chain": "0" * 64, "releases": {}}).decode()
    tail = HistoryTail(engine="scan", lines=(line,))
    public = key.public_key().public_bytes_raw().hex()
    named = msgspec.structs.replace(plain, history=(tail,), public_key=public)
    others = Ed25519PrivateKey.generate().sign(signed_text(named)).hex()
    forged = msgspec.structs.replace(named, signature=others)
    assert sends(fleet, "forger", encode(forged)) == 400
    assert line_of(fleet, "forger")["trouble"] == "never reported"
    honest = msgspec.structs.replace(named, signature=key.sign(signed_text(named)).hex())
    assert sends(fleet, "forger", encode(honest)) == 200


def test_a_replayed_report_changes_nothing_and_is_no_other_hosts(fleet: Fleet) -> None:
    for name in ("mx1", "mx2"):
        fleet.host(name)
    old = told("mx1", engines=[{**ENGINE, "proof": "unproven"}])
    new = told("mx1", number=2)
    assert [sends(fleet, "mx1", one) for one in (old, new, old, new, old)] == [200] * 5
    assert line_of(fleet, "mx1")["health"] == "ok"
    assert sends(fleet, "mx2", new) == 400
    assert sends(fleet, "mx2", new, to="mx1") == 403
    assert line_of(fleet, "mx2")["trouble"] == "never reported"
    assert "every signature holds" in fleet.sigmirror("verify-log")


def test_a_report_of_the_future_is_told_and_makes_nothing_fresh(fleet: Fleet) -> None:
    fleet.host("ahead")
    later = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    assert sends(fleet, "ahead", told("ahead", at=later, refreshed={"site": later})) == 200
    line = line_of(fleet, "ahead")
    assert (line["health"], line["trouble"]) == (
        "ok",
        "its clock is ahead of this mirror's by 71 h",
    )
    assert sends(fleet, "ahead", told("ahead", number=2, refreshed={"site": later})) == 200
    assert line_of(fleet, "ahead")["health"] == "stale"


@pytest.mark.slow
def test_a_host_whose_clock_is_wrong_is_updated_and_its_clock_is_told(fleet: Fleet) -> None:
    for name, clock in (("early", "+2h"), ("late", "-2h")):
        host = fleet.host(name)
        words = [str(BIN / "sigupdate"), "run", "--config", str(host.folder / "sigupdate.toml")]
        done = subprocess.run([*moved(clock), *words], check=False, capture_output=True)
        assert done.returncode == 0, done.stderr
    assert "ahead of this mirror's by" in line_of(fleet, "early")["trouble"]
    assert line_of(fleet, "early")["health"] == line_of(fleet, "late")["health"] == "ok"


@pytest.mark.slow
def test_a_host_that_flaps_is_told_once_and_named(fleet: Fleet, tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    rule = f'[[notify]]\nname = "ops"\ncommand = ["tee", "-a", "{heard}"]\n'
    rule += 'on = ["host-unproven"]\n'
    own = fleet.folder / "flapping.toml"
    own.write_text(fleet.config.read_text() + rule)
    host = fleet.host("flapper")
    config = host.folder / "sigupdate.toml"
    good = config.read_text()
    bad = good.replace('probe_command = ["true"]', 'probe_command = ["false"]')
    for number in range(6):
        config.write_text(bad if number % 2 else good)
        host.sigupdate("run", code=6 if number % 2 else 0)
        notify(own)
    config.write_text(good)
    host.sigupdate("run")
    notify(own)
    line = line_of(fleet, "flapper")
    assert line["health"] == "flapping"
    assert "turned between well and not well 7 times in a day" in line["trouble"]
    messages = [json.loads(text) for text in heard.read_text().splitlines()]
    mine = [n["word"] for m in messages for n in m["notices"] if "/flapper/" in n["key"]]
    assert mine == ["new"]


def notify(config: Path) -> None:
    command = [str(BIN / "sigmirror"), "notify", "--config", str(config)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_locked_database_is_waited_for_and_holds_up_no_definition(fleet: Fleet) -> None:
    fleet.host("patient")
    codes: list[int] = []
    other = sqlite3.connect(fleet.folder / "mirror/state/fleet.db", isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        body = told("patient")
        thread = threading.Thread(target=lambda: codes.append(sends(fleet, "patient", body)))
        thread.start()
        assert serves(fleet)
        assert codes == []
        other.execute("ROLLBACK")
        thread.join()
    finally:
        other.close()
    assert codes == [200]


def test_a_database_file_that_is_removed_is_made_anew_while_the_mirror_runs(
    fleet: Fleet,
) -> None:
    fleet.host("lasting")
    assert sends(fleet, "lasting", told("lasting")) == 200
    for path in (fleet.folder / "mirror/state").glob("fleet.db*"):
        path.unlink()
    assert sends(fleet, "lasting", told("lasting", number=2)) == 200
    assert line_of(fleet, "lasting")["health"] == "ok"
    assert serves(fleet)


def delivered(host: Host) -> bool:
    """Report again; a host stays away for as long as its mirror asked it to."""
    host.sigupdate("report", code=None)
    return host.waiting() == 0


@pytest.mark.slow
def test_a_full_database_takes_no_report_and_holds_up_no_definition(
    small_disk: Path, tmp_path: Path
) -> None:
    fleet = Fleet(tmp_path)
    more = f'[fleet]\ndatabase = "sqlite:///{small_disk}/fleet.db"\n'
    with started(fleet, more=more) as process:
        fleet.publish("rule one")
        host = fleet.host("mx1")
        assert sends(fleet, "mx1", told("mx1")) == 200
        filler = small_disk / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        large = [{**ENGINE, "engine": str(number), "detail": "x" * 1900} for number in range(50)]
        assert sends(fleet, "mx1", told("mx1", number=2, engines=large)) == 503
        host.sigupdate("run")
        assert host.waiting() == 1
        assert process.metrics()['sigmirror_reports_total{status="503"}'] >= 1
        assert "fleet.database" in (tmp_path / "log").read_text()
        filler.unlink()
        wait_for(lambda: delivered(host), "what waited")
        assert "every signature holds" in fleet.sigmirror("verify-log")


@pytest.mark.slow
def test_a_database_server_that_is_gone_holds_up_nothing_and_is_used_when_it_is_back(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgres.stoppable())
        more = f'[fleet]\ndatabase = "{server.url}"\n'
        process = stack.enter_context(started(fleet, more=more))
        fleet.publish("rule one")
        host = fleet.host("mx1")
        host.sigupdate("run")
        assert process.metrics()["sigmirror_fleet_database_up"] == 1
        server.stop()
        fleet.publish("rule two")
        host.sigupdate("run")
        assert host.waiting() == 1
        wait_for(lambda: process.metrics()["sigmirror_fleet_database_up"] == 0, "the metric")
        assert not [name for name in process.metrics() if name.startswith("sigmirror_hosts{")]
        assert "problem: fleet.database" in fleet.sigmirror("status")
        server.start()
        wait_for(lambda: delivered(host), "what waited")
        assert line_of(fleet, "mx1")["loads"][0]["sequence"] == 2
        wait_for(lambda: process.metrics()["sigmirror_fleet_database_up"] == 1, "the metric")
