"""A fleet on loopback: a real `sigmirror run`, and hosts that are real `sigupdate` processes."""

import contextlib
import json
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mirror.serving import Process, wait_for, wait_until_served

BIN = Path(sys.executable).parent


def run(program: str, *words: object) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / program), *map(str, words)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@dataclass
class Fleet:
    """One mirror with access "hosts", and hosts whose engine is a program that loads anything."""

    folder: Path
    url: str = ""
    process: Process | None = None

    @property
    def config(self) -> Path:
        return self.folder / "sigmirror.toml"

    def sigmirror(self, *words: object, code: int | None = 0, errors: bool = False) -> str:
        done = run("sigmirror", *words, "--config", self.config)
        assert code is None or done.returncode == code, done.stdout + done.stderr
        self.wait_until_served()
        return done.stderr if errors else done.stdout

    def sigmirror_at(self, config: Path, *words: object) -> str:
        """Type a command for another mirror."""
        done = run("sigmirror", *words, "--config", config)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextlib.contextmanager
    def running(self) -> Iterator["Fleet"]:
        """Run the mirror for a while."""
        with Process.started(self.config, self.folder / "log") as self.process:
            self.url = f"http://{self.process.address}"
            yield self

    def wait_until_served(self) -> None:
        """Wait until the mirror, where it runs, has noticed what a command published."""
        if self.url:
            wait_until_served(self.url, self.folder / "mirror/r/site")

    def hosts(self, *words: object, code: int | None = 0) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(
            self.sigmirror("hosts", "--json", *words, code=code)
        )["hosts"]
        return found

    def found(self) -> None:
        passphrase = self.folder / "passphrase"
        passphrase.write_text("correct horse battery")
        self.sigmirror(
            "init", "--folder", self.folder / "mirror", "--passphrase-file", passphrase,
            "--access", "hosts",
        )  # fmt: skip
        self.config.write_text(
            f'[store]\nurl = "file://{self.folder}/mirror"\n'
            f'[signing]\npassphrase_file = "{passphrase}"\n'
            '[serve]\nlisten = "127.0.0.1:0"\nmetrics_listen = ""\naccess = "hosts"\n'
        )

    def publish(self, text: str) -> None:
        release = self.folder / "release"
        release.mkdir(exist_ok=True)
        (release / "rules.txt").write_text(text)
        self.sigmirror("publish", "inhouse", release)

    def host(self, name: str, more: str = "", engine: str = "") -> "Host":
        host = Host(self, name)
        host.folder.mkdir()
        self.sigmirror("host", "add", name, "--out", host.folder / "cred")
        host.write(more, engine)
        if self.url:
            wait_for(lambda: self.post("v1/hosts/x", self.credential(name), b"") == 403, name)
        return host

    def credential(self, name: str) -> str:
        return (self.folder / name / "cred").read_text().strip()

    def post(self, path: str, credential: str, body: bytes) -> int:
        request = urllib.request.Request(f"{self.url}/{path}", data=body)  # noqa: S310 - loopback
        request.add_header("Authorization", "Basic " + b64encode(credential.encode()).decode())
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
                return int(answer.status)
        except urllib.error.HTTPError as exc:
            return exc.code


@dataclass
class Host:
    """One scanner host."""

    fleet: Fleet
    name: str

    @property
    def folder(self) -> Path:
        return self.fleet.folder / self.name

    def write(self, more: str = "", engine: str = "") -> None:
        root = self.fleet.folder / "mirror/r/site/metadata/1.root.json"
        (self.folder / "sigupdate.toml").write_text(
            f'mirrors = ["{self.fleet.url}"]\nstate = "{self.folder}/state"\n'
            f'credential_file = "{self.folder}/cred"\n'
            f'[[repository]]\nname = "site"\nroot = "{root}"\n'
            f'[[engine]]\nname = "scan"\nkind = "command"\nchannels = ["inhouse"]\n'
            f'test_command = ["true"]\nreload_command = ["true"]\nprobe_command = ["true"]\n'
            f"{engine}{more}"
        )

    def sigupdate(self, *words: object, code: int | None = 0) -> str:
        done = run("sigupdate", *words, "--config", self.folder / "sigupdate.toml")
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def waiting(self) -> int:
        return len(list((self.folder / "state/outbox").glob("0*.json")))
