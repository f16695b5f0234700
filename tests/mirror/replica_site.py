"""A site out of one machine: a puller, replicas over a bucket, and hosts with YARA scanners."""

import contextlib
import hashlib
import json
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mirror.storage import s3
from tests import short_folders
from tests.fleet import BIN, run
from tests.loopback import free_port
from tests.mirror.certificates import certificate
from tests.mirror.object_stores import BUCKET, ObjectStore
from tests.mirror.serving import WAIT_SECONDS, Process, wait_for
from tests.mirror.tap import Tap

PADDING = "// never in any sample\n" * 20_000  # a release that is not kept in memory


@dataclass
class Replica:
    """One `sigmirror serve`; started again it has the same address."""

    site: "ReplicaSite"
    name: str
    cache: Path
    more: str = ""  # of its store's settings
    port: int = field(default_factory=free_port)
    process: Process | None = None
    _running: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def config(self) -> Path:
        return self.site.folder / f"{self.name}.toml"

    def start(self, *under: str) -> None:
        folder = self.site.folder / self.name
        folder.mkdir(exist_ok=True)
        more = f'cache = "{self.cache}"\n{self.site.store_settings}{self.more}'
        self.config.write_text(
            self.site.settings(folder, listen=f"127.0.0.1:{self.port}", store=more)
        )
        log = self.site.folder / f"{self.name}-{uuid.uuid4().hex[:8]}.log"
        started = Process.started(self.config, log, command="serve", under=under)
        self.process = self._running.enter_context(started)

    @property
    def running(self) -> Process:
        assert self.process
        return self.process

    def kill(self) -> None:
        self.running.popen.kill()
        self._running.close()

    def stop(self) -> None:
        self._running.close()


@dataclass
class Host:
    """One scanner host, whose mirrors are the replicas in an order of its own."""

    site: "ReplicaSite"
    name: str
    mirrors: Sequence[str]
    scanner: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> Path:
        return self.site.folder / self.name

    @property
    def config(self) -> Path:
        return self.folder / "sigupdate.toml"

    def write(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.config.write_text(
            f'mirrors = {json.dumps(self.mirrors)}\nstate = "{self.folder}/state"\n'
            f'credential_file = "{self.folder}/cred"\nca_file = "{self.site.folder}/ca.pem"\n'
            f'[[repository]]\nname = "site"\nroot = "{self.site.folder}/root.json"\n'
            f'[[engine]]\nname = "yara"\nkind = "yara"\nsocket = "{self.folder}/s"\n'
            'channels = ["inhouse"]\n'
        )

    def start_engine(self) -> None:
        words = [str(BIN / "sigupdate"), "yara-scanner", "--config", str(self.config)]
        with (self.folder / "scanner.log").open("ab") as log:
            self.scanner = subprocess.Popen(words, stdout=log, stderr=log)
        wait_for((self.folder / "s").exists, "the scanner")

    def run(self) -> dict[str, Any]:
        """Run once; return what it reports, or only how it ended where it reports nothing."""
        done = run("sigupdate", "run", "--json", "--config", self.config)
        found: dict[str, Any] = {"exit_code": done.returncode, "engines": [], "told": done.stderr}
        return json.loads(done.stdout) if done.stdout else found

    def is_admitted(self) -> bool:
        return self.run()["exit_code"] in {0, 6}

    def end(self) -> None:
        if self.scanner:
            self.scanner.kill()
            self.scanner.wait()


@dataclass
class ReplicaSite:
    """A bucket behind a tap, a puller who signs, replicas who serve."""

    folder: Path
    tap: Tap
    database: str
    store_settings: str = ""
    prefix: str = field(default_factory=lambda: uuid.uuid4().hex)
    replicas: list[Replica] = field(default_factory=list)
    hosts: list[Host] = field(default_factory=list)
    releases: int = 0
    blobs: list[str] = field(default_factory=list)  # of the releases, below the repository

    @classmethod
    @contextlib.contextmanager
    def founded(
        cls, store: ObjectStore, database: str, *, store_settings: str = ""
    ) -> Iterator["ReplicaSite"]:
        address = urlsplit(store.endpoint)
        tap = Tap((str(address.hostname), int(address.port or 0)))
        folder = short_folders.make("site-")
        with contextlib.ExitStack() as running:
            running.callback(shutil.rmtree, folder, ignore_errors=True)
            site = cls(folder, running.enter_context(tap.running()), database, store_settings)
            running.callback(site.end)
            site.found()
            yield site

    def end(self) -> None:
        for host in self.hosts:
            host.end()
        for replica in self.replicas:
            replica.stop()

    @property
    def puller(self) -> Path:
        return self.folder / "puller.toml"

    def found(self) -> None:
        passphrase = self.folder / "passphrase"
        passphrase.write_text("correct horse battery")
        self.new_certificate(1)
        (self.folder / "ca.pem").write_bytes(self.new_certificate(2) + self.new_certificate(1))
        self.sigmirror(
            "init", "--folder", self.folder / "puller", "--passphrase-file", passphrase,
            "--listen", "127.0.0.1:0", "--store", f"s3://{BUCKET}/{self.prefix}",
            "--endpoint", self.tap.url, "--region", "us-east-1",
        )  # fmt: skip
        self.puller.write_text(self.settings(self.folder / "puller", listen="127.0.0.1:0"))
        endpoint = s3.Endpoint(self.tap.url, "us-east-1", "path")
        with contextlib.closing(endpoint.client):
            bucket = s3.Bucket(endpoint, BUCKET, part_bytes=1)
            root = bucket.read(f"{self.prefix}/r/site/metadata/1.root.json", 1 << 20)
        (self.folder / "root.json").write_bytes(root)

    def new_certificate(self, number: int) -> bytes:
        """Put one of the site's two certificates in place; return it."""
        kept = self.folder / f"certificate-{number}"
        if not kept.exists():
            kept.mkdir()
            for name, data in zip(
                ("cert", "key"), certificate(number, f"site-{number}"), strict=True
            ):
                (kept / name).write_bytes(data)
        for name in ("cert", "key"):
            new = self.folder / f"{name}.new"
            shutil.copy(kept / name, new)
            new.rename(self.folder / name)
        return (kept / "cert").read_bytes()

    def settings(self, folder: Path, *, listen: str, store: str = "") -> str:
        return (
            f'[store]\nurl = "s3://{BUCKET}/{self.prefix}"\nfolder = "{folder}"\n'
            f'endpoint = "{self.tap.url}"\nregion = "us-east-1"\naddressing = "path"\n{store}'
            f'[signing]\npassphrase_file = "{self.folder}/passphrase"\n'
            f'[serve]\nlisten = "{listen}"\nmetrics_listen = "127.0.0.1:0"\naccess = "hosts"\n'
            f'tls = {{ cert = "{self.folder}/cert", key = "{self.folder}/key" }}\n'
            f'[fleet]\ndatabase = "{self.database}"\n'
        )

    def sigmirror(self, *words: object, code: int = 0) -> str:
        """Give a command where the puller runs."""
        done = run("sigmirror", *words, "--config", self.puller)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def replica(self, name: str, *, cache: Path | None = None, more: str = "") -> Replica:
        made = Replica(self, name, cache or self.folder / f"cache-{name}", more)
        self.replicas.append(made)
        made.start()
        return made

    def host(self, name: str, *mirrors: Replica) -> Host:
        """Admit a host by a command of the puller's machine."""
        made = Host(self, name, [mirror.url for mirror in mirrors])
        made.write()
        self.sigmirror("host", "add", name, "--out", made.folder / "cred")
        self.hosts.append(made)
        return made

    def release(self) -> Path:
        """Write the rules of the next release."""
        self.releases += 1
        folder = self.folder / "release"
        folder.mkdir(exist_ok=True)
        rule = f'rule Release{self.releases} {{ strings: $a = "{uuid.uuid4().hex}" condition: $a }}'
        (folder / "rules.yar").write_text(f"{rule}\n{PADDING}")
        return folder

    def publish(self) -> int:
        """Publish the next release; return its number."""
        folder = self.release()
        self.sigmirror("publish", "inhouse", folder)
        sha256 = hashlib.sha256((folder / "rules.yar").read_bytes()).hexdigest()
        self.blobs.append(f"targets/inhouse/files/{sha256}.rules.yar")
        return self.releases

    def newest(self) -> int:
        """Tell the release that stable points at."""
        site = json.loads(self.sigmirror("status", "--json"))["repositories"][0]
        found = next(one for one in site["channels"] if one["name"] == "inhouse")
        return int(found["tracks"]["stable"])

    def publish_and_die(self, *, after: int) -> None:
        """Publish, and kill the puller when it waits for the answer to one of its requests."""
        words = ["publish", "inhouse", str(self.release()), "--config", str(self.puller)]
        self.tap.freeze(after=after)
        process = subprocess.Popen(
            [str(BIN / "sigmirror"), *words], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        wait_for(lambda: self.tap.is_frozen or process.poll() is not None, "the publish to hang")
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=WAIT_SECONDS)
        self.tap.thaw()
