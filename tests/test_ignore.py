"""A false positive is ignored on every host that allows it, from one command until its end."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clocks import faketime, moved
from tests.fleet import BIN, Fleet
from tests.updater.clamd_process import Clamd, need_clamd, other_user, short_folder
from tests.updater.clamd_process import wait_for as wait_until
from updater.engines import instream
from updater.engines.instream import Address

pytestmark = pytest.mark.slow

BAD, LETTER, OTHER = "bad-pattern-0001", "an-honest-letter", "bad-pattern-0002"
IN_MAIL = 'rule InMail { strings: $a = "found-in-mail" condition: $a }\n'
DATABASE = "".join(
    f"Test.{name}:0:*:{text.encode().hex()}\n"
    for name, text in (("Bad-1", BAD), ("Letter-1", LETTER), ("Bad-2", OTHER))
)
RULES = f"""rule Letter {{ strings: $a = "{LETTER}" condition: $a }}
rule OnTopOfIt {{ strings: $b = "{OTHER}" condition: Letter and $b }}
rule Bad {{ strings: $a = "{BAD}" condition: $a }}
"""
LATER = "+2h"


class Scanners:
    """One host with a clamd and a YARA scanner that runs; both read the site's two channels."""

    def __init__(self, fleet: Fleet, folder: Path, *, may_ignore: bool) -> None:
        self.fleet, self.folder = fleet, folder
        self.state = folder / "state"
        self.config = folder / "sigupdate.toml"
        user = other_user(folder)
        self.clamd = Clamd(folder, self.state / "engines/clamd/current", *user)
        self.yara = Address.parse(str(folder / "y"))
        fleet.sigmirror("host", "add", folder.name, "--out", folder / "cred")
        self.write(may_ignore=may_ignore)
        self.scanner: subprocess.Popen[bytes] | None = None

    def write(self, *, may_ignore: bool) -> None:
        allowed = "may_ignore = true\n" if may_ignore else ""
        root = self.fleet.folder / "mirror/r/site/metadata/1.root.json"
        self.config.write_text(
            f'mirrors = ["{self.fleet.url}"]\nstate = "{self.state}"\n'
            f'credential_file = "{self.folder}/cred"\n[limits]\nmax_attempts = 1\n'
            f'[[repository]]\nname = "site"\nroot = "{root}"\n'
            f'[[engine]]\nname = "clamd"\nkind = "clamd"\nsocket = "{self.clamd.socket}"\n'
            f'channels = ["mail"]\nmemory_per_definition_byte = 0\n{allowed}'
            f'[[engine]]\nname = "yara"\nkind = "yara"\nsocket = "{self.yara}"\n'
            f'channels = ["mail", "hunting"]\n{allowed}'
        )

    def start(self) -> None:
        self.clamd.start()
        words = [str(BIN / "sigupdate"), "yara-scanner", "--config", str(self.config)]
        with (self.folder / "scanner.log").open("wb") as log:
            self.scanner = subprocess.Popen([*words, "--engine", "yara"], stderr=log, stdout=log)
        wait_until((self.folder / "y").exists)

    def stop(self) -> None:
        self.clamd.stop()
        if self.scanner:
            self.scanner.kill()
            self.scanner.wait()

    def sigupdate(self, *words: str, code: int = 0, later: str = "") -> str:
        faked = moved(later) if later else []
        command = [*faked, str(BIN / "sigupdate"), *words, "--config", str(self.config)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def runs(self, *, code: int = 0, later: str = "") -> dict[str, Any]:
        """Let it run once; return what it says of each engine."""
        told = json.loads(self.sigupdate("run", "--json", code=code, later=later))
        engines = {engine["engine"]: engine for engine in told["engines"]}
        assert {engine["proof"] for engine in engines.values()} == {"proven"}, told
        return {**engines, "requests": told["requests"]}

    def found(self, text: str) -> tuple[str, str]:
        """Scan with both; name what they find."""
        data = text.encode()
        rules = instream.scan(self.yara, data, timeout_seconds=30)[1]
        return self.clamd.found(data), rules


def standings(engine: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["standing"] for one in engine["ignored"]}


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    need_clamd()
    faketime()
    fleet = Fleet(tmp_path)
    fleet.found()
    for channel, name, text in (("mail", "rules.ndb", DATABASE), ("hunting", "h.yar", RULES)):
        folder = tmp_path / channel
        folder.mkdir()
        (folder / name).write_text(text)
    (tmp_path / "mail" / "mail.yar").write_text(IN_MAIL)
    for channel in ("mail", "hunting"):
        fleet.sigmirror("publish", channel, tmp_path / channel)
    with fleet.running():
        yield fleet


@pytest.fixture
def host(fleet: Fleet) -> Iterator[Scanners]:
    with short_folder() as folder:
        host = Scanners(fleet, folder, may_ignore=True)
        try:
            host.sigupdate("run", "--install-only")
            host.start()
            host.runs()
            yield host
        finally:
            host.stop()


def test_a_false_positive_is_ignored_until_its_end_and_nothing_else_is(
    fleet: Fleet, host: Scanners
) -> None:
    assert host.found(LETTER) == ("Test.Letter-1.UNOFFICIAL", "Letter")
    assert host.found("found-in-mail") == ("YARA.InMail.UNOFFICIAL", "InMail")
    assert host.runs()["requests"] == 2

    ignore(fleet, "Test.Letter-1.UNOFFICIAL", "mail")
    ignore(fleet, "YARA.InMail.UNOFFICIAL", "mail")
    ignore(fleet, "Letter", "hunting")
    ignore(fleet, "Test.Never-1", "mail")
    told = host.runs()
    assert standings(told["clamd"]) == dict.fromkeys(
        ("InMail", "Test.Letter-1", "Test.Never-1"), "in force"
    )
    assert [one["name"] for one in told["clamd"]["ignored"] if not one.get("found", True)] == [
        "Test.Never-1"
    ]
    assert host.found(LETTER) == ("", "")
    assert host.found("found-in-mail") == ("", "")
    assert host.found(BAD) == ("Test.Bad-1.UNOFFICIAL", "Bad")
    assert host.found(f"{LETTER} {OTHER}") == ("Test.Bad-2.UNOFFICIAL", "OnTopOfIt")
    host.clamd.stop()  # killed, and started from what lies there
    host.clamd.start()
    assert host.found(LETTER) == ("", "")
    generations = [told[name]["generation"] for name in ("clamd", "yara")]
    assert host.runs()["requests"] == 2
    assert "all files are as installed" in host.sigupdate("verify")
    assert "ignore Test.Letter-1 of mail until" in host.sigupdate("status")
    assert "; to be ignored: 3 in force, 1 without a definition" in host.sigupdate("run")
    listed = json.loads(fleet.sigmirror("ignore", "list", "--json"))
    assert {row["name"]: row["hosts"] for row in listed} == {
        "Letter": {"in force": 1},
        "InMail": {"in force": 2},
        "Test.Letter-1": {"in force": 1, "in force, no such name": 1},
        "Test.Never-1": {"in force, no such name": 2},
    }
    assert "ok  ignores 3" in fleet.sigmirror("hosts")
    name = host.folder.name
    assert "ignore Letter of hunting" in fleet.sigmirror("explain", name, "hunting")

    fleet.sigmirror("ignore", "remove", "InMail", "--channel", "mail", "--reason", "was right")
    host.runs()
    assert host.found("found-in-mail") == ("YARA.InMail.UNOFFICIAL", "InMail")
    assert host.found(LETTER) == ("", "")

    told = host.runs(later=LATER)
    assert host.found(LETTER) == ("Test.Letter-1.UNOFFICIAL", "Letter")
    assert told["clamd"]["ignored"] == told["yara"]["ignored"] == []
    assert all(
        told[n]["generation"] > g for n, g in zip(("clamd", "yara"), generations, strict=True)
    )
    log = (fleet.folder / "mirror/state/publish.jsonl").read_text()
    for said in ('"what":"ignore"', '"what":"unignore"', '"name":"InMail"', "hits letters"):
        assert said in log


def ignore(fleet: Fleet, name: str, channel: str) -> None:
    words = ("--channel", channel, "--expires", "1h", "--reason", "hits letters")
    fleet.sigmirror("ignore", "add", name, *words)
