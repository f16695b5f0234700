"""A vendor, a site mirror and three hosts, made with the installed commands."""

import contextlib
import json
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from tests.demo.scanning import found
from tests.demo.stage import BIN, Stage, check, wait_for
from tests.loopback import free_port
from tests.samples import CLEAN, Sample, write_ndb, write_yara

CUSTOMER = "EAV-0123456"
PASSWORD = "kept-at-renewal"  # noqa: S105 - the demo's own
HAS_CLAMD = bool(shutil.which("clamd") and shutil.which("clamscan"))
RULE_FILES = 5
LICENCE_ZONE = "Asia/Tokyo"


@dataclass
class Mirror:
    """One `sigmirror run` and its folder; the vendor and the site are both one."""

    stage: Stage
    name: str
    settings: str
    access: str
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> Path:
        """Its folder."""
        return self.stage.folder / self.name

    @property
    def config(self) -> Path:
        """Its settings file."""
        return self.folder / "sigmirror.toml"

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def root(self) -> Path:
        """The first root of its repository."""
        return self.folder / "r/site/metadata/1.root.json"

    def make(self) -> None:
        """Found its repository and write its settings."""
        passphrase = self.stage.folder / f"{self.name}-passphrase"
        self.stage.run(
            "sigmirror", "init", "--folder", self.folder, "--config", self.config,
            "--passphrase-file", passphrase, "--access", self.access,
        )  # fmt: skip
        self.config.write_text(f"""\
[store]
url = "file://{self.folder}"
[signing]
passphrase_file = "{passphrase}"
[serve]
listen = "127.0.0.1:{self.port}"
metrics_listen = "127.0.0.1:{free_port()}"
access = "{self.access}"
{self.settings}""")

    def start(self) -> None:
        """Run it until the stage ends."""
        command = ("sigmirror", "run", "--config", self.config)
        self.process = self.stage.start(f"{self.name}.log", *command)
        wait_for(self.ready, f"{self.name} to serve")

    def ready(self) -> bool:
        """Tell whether it serves a valid repository."""
        return get(f"{self.url}/readyz")[0] == 200

    def status(self) -> Any:
        """Return `sigmirror status --json`, without echoing it."""
        done = subprocess.run(
            [str(BIN / "sigmirror"), "status", "--json", "--config", str(self.config)],
            capture_output=True,
            check=False,
        )
        return json.loads(done.stdout)

    def check_running(self) -> None:
        """End the row at once where its process has ended."""
        ended = self.process is None or self.process.poll() is not None
        check(not ended, f"the {self.name}'s mirror ended")

    def stamps(self) -> list[bytes]:
        """Read the timestamps in its folder: whatever it comes to offer changes one of them."""
        stamps = sorted(self.folder.glob("r/*/metadata/timestamp.json"))
        return [stamp.read_bytes() for stamp in stamps]

    def serves(self, repository: str, credential: str) -> bool:
        """Tell whether the timestamp it serves is the newest in its folder."""
        self.check_running()
        name = f"r/{repository}/metadata/timestamp.json"
        return get(f"{self.url}/{name}", credential)[1] == (self.folder / name).read_bytes()

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests in its log."""
        lines = (self.stage.folder / f"{self.name}.log").read_text().splitlines()
        events = [json.loads(line) for line in lines if line.startswith("{")]
        return [event for event in events if event.get("event") == "request"]


def get(url: str, credential: str = "") -> tuple[int, bytes]:
    """Return status code and body of a GET; code 0 when nobody answers."""
    request = urllib.request.Request(url)  # noqa: S310 - loopback
    if credential:
        request.add_header("Authorization", "Basic " + b64encode(credential.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310 - loopback
            return response.status, response.read()
    except urllib.error.HTTPError as exc:
        return exc.code, b""
    except OSError:
        return 0, b""


@dataclass
class Host:
    """One scanner host: its settings, its updater, its running engines."""

    stage: Stage
    site: Mirror
    name: str
    engines: tuple[str, ...] = ("yara",)

    @property
    def folder(self) -> Path:
        """Its folder."""
        return self.stage.folder / self.name

    @property
    def config(self) -> Path:
        """Its settings file."""
        return self.folder / "sigupdate.toml"

    @property
    def credential(self) -> Path:
        """Its credential file."""
        return self.folder / "host.cred"

    def socket(self, engine: str) -> Path:
        """Where an engine listens."""
        return self.folder / f"{engine}.sock"

    def current(self, engine: str = "yara") -> Path:
        """The folder an engine reads."""
        return self.folder / "state/engines" / engine / "current"

    def make(self, vendor: Mirror) -> None:
        """Enrol it at the site and write its settings."""
        self.folder.mkdir()
        self.stage.run(
            "sigmirror", "host", "add", self.name, "--out", self.credential,
            "--config", self.site.config,
        )  # fmt: skip
        self.config.write_text(
            f"""\
mirrors = ["{self.site.url}"]
credential_file = "{self.credential}"
state = "{self.folder}/state"
[[repository]]
name = "site"
root = "{self.site.root}"
[[repository]]
name = "acme"
root = "{vendor.root}"
policy = "site"
"""
            + "".join(self._engine(engine) for engine in self.engines)
        )

    def _engine(self, engine: str) -> str:
        channel = "acme/rules" if engine == "yara" else "acme/hashes"
        return f"""\
[[engine]]
name = "{engine}"
kind = "{engine}"
channels = ["{channel}"]
socket = "{self.socket(engine)}"
scan_timeout_seconds = 1.0
reload_timeout_seconds = 5
"""

    def start_engines(self) -> None:
        """Start every engine on what is installed."""
        for engine in self.engines:
            self.start_yara() if engine == "yara" else self.start_clamd()

    def start_yara(self) -> subprocess.Popen[bytes]:
        """Start a YARA-X scanner."""
        process = self.stage.start(
            f"{self.name}-yara.log", "sigupdate", "yara-scanner", "--engine", "yara",
            "--config", self.config,
        )  # fmt: skip
        self._answers("yara", process)
        return process

    def start_clamd(self) -> subprocess.Popen[bytes]:
        """Start a private clamd."""
        config = self.folder / "clamd.conf"
        config.write_text(f"""\
LocalSocket {self.socket("clamd")}
DatabaseDirectory {self.current("clamd")}
Foreground yes
SelfCheck 3600
""")
        process = self.stage.start(f"{self.name}-clamd.log", "clamd", "-c", str(config))
        self._answers("clamd", process)
        return process

    def _answers(self, engine: str, process: subprocess.Popen[bytes]) -> None:
        def answers() -> bool:
            check(process.poll() is None, f"{self.name}'s {engine} ended")
            with contextlib.suppress(OSError):
                return not found(self.socket(engine), CLEAN)
            return False

        wait_for(answers, f"{self.name}'s {engine}")

    def update(self, *, expect: int | None = 0, env: dict[str, str] | None = None) -> str:
        """Run the updater once; return all it said."""
        done = self.stage.run("sigupdate", "run", "--config", self.config, expect=expect, env=env)
        return done.stdout + done.stderr

    def prove(self, *, expect: int | None = 0) -> str:
        """Prove what runs."""
        return self.stage.run("sigupdate", "prove", "--config", self.config, expect=expect).stdout

    def generation(self, engine: str = "yara") -> int:
        """Return the number of the generation in force."""
        return int(self.current(engine).readlink().name.partition("-")[0])


@dataclass
class World:
    """Everything the rows act on."""

    stage: Stage
    vendor: Mirror
    site: Mirror
    hosts: list[Host]
    samples: list[Sample] = field(default_factory=list)
    sequence: int = 0
    licences: int = 0
    looked_at: dict[str, list[bytes]] = field(default_factory=dict)  # timestamps, by mirror

    @classmethod
    def make(cls, stage: Stage) -> "World":
        """Found the vendor, the site and three hosts; nothing is released yet."""
        vendor = Mirror(stage, "vendor", _vendor_settings(stage.folder), "licences")
        site = Mirror(stage, "site", _site_settings(stage.folder, vendor), "hosts")
        first = ("yara", "clamd") if HAS_CLAMD else ("yara",)
        hosts = [
            Host(stage, site, "mx1", first),
            Host(stage, site, "mx2"),
            Host(stage, site, "mx3"),
        ]
        world = cls(stage, vendor, site, hosts)
        world._found()
        return world

    def _found(self) -> None:
        for drop in ("rules", "hashes"):
            (self.stage.folder / "drop" / drop).mkdir(parents=True)
        self.vendor.make()
        self.passphrase.write_text("the vendor's licence desk\n")
        self.stage.run(
            "sigkeys", "licence", "issuer", self.issuer, "--passphrase-file", self.passphrase
        )
        self.issue(self.today() + timedelta(days=200))
        password = self.stage.folder / "password"
        password.write_text(PASSWORD + "\n")
        self.stage.run(
            "sigmirror", "customer", "add", CUSTOMER, "--licence", self.licence,
            "--password-file", password, "--config", self.vendor.config,
        )  # fmt: skip
        self.vendor.start()
        (self.stage.folder / "site-password").write_text("wrong password\n")
        self.site.make()
        for host in self.hosts:
            host.make(self.vendor)

    @property
    def issuer(self) -> Path:
        """The vendor's licence key."""
        return self.stage.folder / "issuer"

    @property
    def passphrase(self) -> Path:
        """The passphrase of that key."""
        return self.stage.folder / "issuer-passphrase"

    @property
    def licence(self) -> Path:
        """The site's licence file."""
        return self.stage.folder / "acme.lic"

    @staticmethod
    def today() -> date:
        """Return today's date where the licence counts its days."""
        return datetime.now(ZoneInfo(LICENCE_ZONE)).date()

    def issue(self, ends_on: date) -> None:
        """Have the vendor write the site's licence file, each newer than the one before."""
        self.licences += 1
        issued = self.stage.folder / f"acme-{self.licences}.lic"
        self.stage.run(
            "sigkeys", "licence", "issue", "--key", self.issuer, "--out", issued,
            "--passphrase-file", self.passphrase, "--serial", "AC-2026-0001", "--kind", "feed",
            "--organisation", "株式会社デモ", "--product", "Acme rules", "--username", CUSTOMER,
            "--seats", "120", "--feed", "rules", "--feed", "hashes",
            "--starts-on", (ends_on - timedelta(days=365)).isoformat(),
            "--ends-on", ends_on.isoformat(), "--tz", LICENCE_ZONE,
            "--sequence", str(self.licences),
        )  # fmt: skip
        shutil.copy(issued, self.stage.folder / "next.lic")
        (self.stage.folder / "next.lic").rename(self.licence)

    def renew_customer(self) -> None:
        """Have the vendor admit the customer under the newest licence."""
        self.stage.run(
            "sigmirror", "customer", "renew", CUSTOMER, "--licence", self.licence,
            "--config", self.vendor.config,
        )  # fmt: skip

    def release(self, samples: list[Sample], *, broken: int = 0) -> int:
        """Have the vendor release rules that find the samples; wait until the vendor serves it."""
        self.sequence += 1
        drop = self.stage.folder / "drop"
        write_yara(drop / "rules", samples, files=RULE_FILES, tag=f"release {self.sequence}")
        write_ndb(drop / "hashes", [*samples, Sample.fresh(f"filler-{self.sequence}")])
        if broken:
            (drop / f"rules/rules-{broken}.yar").write_text("rule broken { condition: nowhere }\n")
        for channel in ("rules", "hashes"):
            (drop / channel / "READY").touch()
        self.samples = samples
        wait_for(lambda: self.offered(self.vendor, "site", "tracks"), "the vendor's release")
        return self.sequence

    def pulled(self) -> None:
        """Wait until the site offers the vendor's newest release to its hosts."""
        wait_for(lambda: self.offered(self.site, "acme", "chosen"), "the site's pull")
        credential = self.hosts[0].credential.read_text().strip()
        for repository in ("acme", "site"):
            wait_for(lambda: self.site.serves(repository, credential), "the site to serve it")  # noqa: B023 - called at once

    def offered(self, mirror: Mirror, repository: str, by: str) -> bool:
        """Tell whether stable offers the newest release of both channels, once there is another."""
        mirror.check_running()
        stamps = mirror.stamps()
        if stamps == self.looked_at.get(mirror.name):
            return False
        self.looked_at[mirror.name] = stamps
        for one in mirror.status()["repositories"]:
            if one["name"] == repository:
                offers = [channel[by].get("stable") for channel in one["channels"]]
                return offers == [self.sequence] * 2
        return False


def _vendor_settings(folder: Path) -> str:
    return f'licence_issuer = "{folder}/issuer.pub"\n' + "".join(
        f"""\
[[upstream]]
name = "{channel}"
kind = "drop"
channel = "{channel}"
folder = "{folder}/drop/{channel}"
marker = "READY"
interval_seconds = 1
engine = "{engine}"
"""
        for channel, engine in (("rules", "yara"), ("hashes", "clamd"))
    )


def _site_settings(folder: Path, vendor: Mirror) -> str:
    return f"""\
[[licence]]
name = "acme-2026"
file = "{folder}/acme.lic"
issuer = "{folder}/issuer.pub"
username = "{CUSTOMER}"
password_file = "{folder}/site-password"
[[upstream]]
name = "acme"
kind = "tuf"
url = "{vendor.url}/r/site"
root = "{vendor.root}"
licence = "acme-2026"
interval_seconds = 1
"""


def thaw(process: subprocess.Popen[bytes]) -> None:
    """Let a process that was stopped go on."""
    process.send_signal(signal.SIGCONT)
