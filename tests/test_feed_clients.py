"""Each client's recipe of docs/feeds.md: the real client against a real mirror, on loopback.

The mirror has pulled its feeds by their own recipes. TLS is real: only hosts, folders and the
credential of a recipe are replaced; what else a test adds, the recipe says.
"""

import contextlib
import os
import pwd
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cvdupdate import cvdupdate
from tests.feed_cases import (
    CASES,
    NEWER,
    TOKEN,
    Shop,
    definition,
    on_loopback,
    sample,
    settings_of,
)
from tests.mirror.clamav_vendor import genuine
from tests.mirror.freshclam import need_freshclam
from tests.mirror.operator import Operator
from tests.mirror.serving import Process
from tests.mirror.stand_in import StandIn, names, server_tls
from tests.recipes import PAGE, RECIPES
from tests.suricata_update import SURICATA, suricata_update
from tests.updater.clamd_process import Clamd, need_clamd, other_user, short_folder, wait_for
from updater.engines import instream
from updater.engines.instream import Address

pytestmark = pytest.mark.slow

SECTION = "Clients of a mirror"
CLIENT_SECONDS = 300
OFFICIAL = "ClamAV official databases"


@dataclass
class Host:
    """A machine on which every folder a recipe names lies below ``root``."""

    root: Path
    address: str
    password: str

    def place(self, name: str) -> Path:
        """Return where on this machine a path of a recipe is, its folder made."""
        path = self.root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def written(self, recipe: str, language: str = "", **more: object) -> str:
        """Return a block of a recipe with hosts, folders and the password replaced."""
        places = {_path(name): str(place) for name, place in more.items()}
        places |= {f"{name}/": f"{self.root}{name}/" for name in ("/etc", "/var", "/run")}
        places |= {"mirror.example:8480": self.address, "PASSWORD": self.password}
        return RECIPES[recipe].written(places, language)

    def runs(self, script: str) -> str:
        """Run a recipe's commands as a shell does, until one fails."""
        trusted = str(self.place("/etc/sigmirror/server.pem"))
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env={
                **os.environ,
                "HOME": str(self.root),
                "PATH": f"{self.root}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}",
                "SIGUPDATE_CONFIG": f"{self.root}/etc/sigmirror/sigupdate.toml",
                **dict.fromkeys(("CURL_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), trusted),
            },
            capture_output=True, text=True, check=False, timeout=CLIENT_SECONDS,
        )  # fmt: skip
        told = done.stdout + done.stderr
        assert done.returncode == 0, told
        return told

    def settings(self, recipe: str, **more: object) -> None:
        """Write the settings of `sigupdate`; the mirror's certificate is of a CA of its own."""
        trusted = f'ca_file = "{self.root}/etc/sigmirror/server.pem"\n'
        path = self.place("/etc/sigmirror/sigupdate.toml")
        path.write_text(trusted + self.written(recipe, "toml", **more))

    @contextmanager
    def scanner(self, socket: Path) -> Iterator[None]:
        """Run `sigupdate yara-scanner` for the length of the block."""
        config = str(self.place("/etc/sigmirror/sigupdate.toml"))
        program = str(Path(sys.executable).with_name("sigupdate"))
        process = subprocess.Popen([program, "yara-scanner", "--config", config])
        try:
            wait_for(socket.exists)
            yield
        finally:
            process.terminate()
            process.wait(timeout=CLIENT_SECONDS)

    def program(self, name: str, text: str) -> None:
        """Put a program where a shell finds it first."""
        path = self.place(f"/bin/{name}")
        path.write_text(text)
        path.chmod(0o755)


def _path(word: str) -> str:
    """Write a path that stands as a keyword: ``__run__clamav__clamd_ctl``."""
    folder, _, name = word.replace("__", "/").rpartition("/")
    return f"{folder}/{name.replace('_', '.')}"


Serving = Callable[..., AbstractContextManager[Host]]


@pytest.fixture
def serving(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Serving:
    """Serve, to a host with a credential, what some feeds' recipes brought."""

    @contextmanager
    def serve(*feeds: str) -> Iterator[Host]:
        with contextlib.ExitStack() as held:
            root = held.enter_context(short_folder())
            etc = root / "etc/sigmirror"
            etc.mkdir(parents=True)
            operator = Operator(tmp_path, capsys)
            brought(operator, feeds, etc, held)
            ordered(operator, "host", "add", "mx1", "--out", f"{etc}/host.cred")
            shown(operator, etc)
            started = Process.started(operator.config, tmp_path / "log", command="serve")
            address = held.enter_context(started).address
            yield Host(root, address, (etc / "host.cred").read_text().strip().partition(":")[2])

    return serve


def ordered(operator: Operator, *words: str) -> None:
    code, out, err = operator.types(*words)
    assert code == 0, out + err


def brought(
    operator: Operator, feeds: tuple[str, ...], etc: Path, held: contextlib.ExitStack
) -> None:
    """Pull feeds by their recipes, into a mirror that serves hosts over TLS."""
    context, chain = server_tls(etc)
    text = "".join(upstream(feed, etc, held, context) for feed in feeds)
    operator.write(
        f'{text}[serve]\nlisten = "127.0.0.1:0"\nmetrics_listen = ""\naccess = "hosts"\n'
        f'tls = {{ cert = "{chain}", key = "{chain.with_suffix(".key")}" }}\n'
    )
    for feed in feeds:
        ordered(operator, "pull", settings_of(feed)["name"])


def upstream(feed: str, etc: Path, held: contextlib.ExitStack, context: ssl.SSLContext) -> str:
    """Open a vendor with something for sale; return the settings that lead to him."""
    case = CASES[feed]
    shop = Shop(held.enter_context(StandIn(door=case.door, tls=context)), etc)
    case.stock(shop, 1)
    case.stock(shop, 2)
    if name := settings_of(feed).get("token_file"):
        (etc / Path(name).name).write_text(TOKEN)
    return on_loopback(feed, shop) + case.more


def shown(operator: Operator, etc: Path) -> None:
    """Bring to the host what its operator brings by hand."""
    mirror = operator.mirror.folder
    shutil.copy(mirror / "r/site/metadata/1.root.json", etc / "site-root.json")
    shutil.copy(mirror / "keys/online/minisign.pub", etc / "mirror.pub")


def test_each_client_of_the_page_is_tried() -> None:
    told = {title for title, recipe in RECIPES.items() if recipe.section == SECTION}
    tried = {
        "freshclam with patches", "freshclam, whole databases", "freshclam, other definitions",
        "cvdupdate", "sigupdate with clamd", "sigupdate with YARA", "suricata-update",
        "wget, sha256sum and minisign",
    }  # fmt: skip
    assert told == tried


def finds(databases: Path, wanted: bytes) -> bool:
    """Tell whether clamscan finds a sample with what a client has fetched."""
    (databases.parent / "sample").write_bytes(wanted)
    done = subprocess.run(
        ["clamscan", f"--database={databases}", "--no-summary", databases.parent / "sample"],
        capture_output=True, check=False, timeout=CLIENT_SECONDS,
    )  # fmt: skip
    return done.returncode == 1


class TestFreshclam:
    """The genuine database ``test`` stands for main, daily and bytecode."""

    @pytest.fixture(autouse=True)
    def installed(self) -> None:
        need_freshclam()

    def update(self, host: Host, recipe: str) -> Path:
        databases = host.place("/var/lib/clamav")
        databases.mkdir(exist_ok=True)
        owner = pwd.getpwuid(os.getuid()).pw_name
        instead = "".join(f"ExcludeDatabase {name}\n" for name in ("main", "daily", "bytecode"))
        added = f"DatabaseOwner {owner}\nExtraDatabase test\n{instead}"
        config = host.place("/etc/clamav/freshclam.conf")
        config.write_text(host.written(recipe, "conf") + added)
        told = host.runs(host.written(recipe))
        assert "updated" in told, told
        return databases

    @pytest.mark.parametrize("recipe", ["freshclam with patches", "freshclam, whole databases"])
    def test_official_databases_are_read(self, serving: Serving, recipe: str) -> None:
        with serving(OFFICIAL) as host:
            databases = self.update(host, recipe)
            assert (databases / "test.cvd").read_bytes() == genuine("test-2.cvd")

    def test_patches_are_used_where_the_page_says_so(self, serving: Serving) -> None:
        with serving(OFFICIAL) as host:
            host.place("/var/lib/clamav/test.cvd").write_bytes(genuine("test-1.cvd"))
            databases = self.update(host, "freshclam with patches")
            assert (databases / "test.cld").exists()

    def test_other_definitions_are_read(self, serving: Serving) -> None:
        with serving(OFFICIAL, "SecuriteInfo") as host:
            databases = self.update(host, "freshclam, other definitions")
            assert finds(databases, sample("securiteinfo.hdb", 2))


def test_cvdupdate_follows_the_mirror(serving: Serving) -> None:
    """The genuine database ``test`` stands for main, daily and bytecode; the record is ours."""
    record = "0.103.12:0:0:1772366400:0:90:49192:0"
    with serving(OFFICIAL) as host, names({"current.cvd.clamav.net": record}) as resolver:
        port = int(resolver.rpartition(":")[2])
        program = cvdupdate(host.root, dns_port=port)
        script = host.written("cvdupdate", __opt__cvdupdate__bin__cvd=program)
        script = script.replace("main daily bytecode; do\n", "test; do\n")
        address = (
            f"$CVD config set --config {host.root}/etc/cvdupdate.json --nameserver 127.0.0.1\n"
        )
        host.runs(script.replace("$CVD update", f"{address}$CVD update"))
        databases = host.place("/var/lib/cvdupdate")
        assert (databases / "test.cvd").read_bytes() == genuine("test-2.cvd")
        assert (databases / "test-2.cdiff").read_bytes() == genuine("test-2.cdiff")


def test_sigupdate_brings_and_proves_definitions_in_clamd(serving: Serving) -> None:
    need_clamd()
    recipe = "sigupdate with clamd"
    with serving(OFFICIAL, "SecuriteInfo") as host:
        folder = host.place("/var/lib/clamav/sigmirror")
        folder.mkdir()
        clamd = Clamd(host.root, folder / "current", *other_user(host.root))
        host.settings(
            recipe,
            __run__clamav__clamd_ctl=clamd.socket,
            __etc__clamav__clamd_conf=clamd.config,
        )
        first, second = host.written(recipe).splitlines()
        host.runs(first)
        clamd.start()
        try:
            told = host.runs(second)
            assert "proven" in told
            assert clamd.finds(sample("securiteinfo.hdb", 2))
            assert not clamd.finds(b"a clean message")
        finally:
            clamd.stop()


def test_sigupdate_brings_and_proves_rules_in_a_yara_scanner(serving: Serving) -> None:
    recipe = "sigupdate with YARA"
    with serving("YARA Forge") as host:
        socket = host.place("/run/sigupdate/yara.sock")
        host.settings(recipe)
        first, second = host.written(recipe).splitlines()
        host.runs(first)
        with host.scanner(socket):
            told = host.runs(second)
            assert "proven" in told
            wanted = sample("yara-rules-core.yar", 2)
            found = instream.scan(Address.parse(str(socket)), wanted, timeout_seconds=30)
            assert "yara_rules_core" in found[1]


def test_suricata_update_reads_the_vendors_own_archive(serving: Serving) -> None:
    program = suricata_update()
    with serving("Emerging Threats Open") as host:
        host.program("suricata", SURICATA)
        host.program("suricata-update", f'#!/bin/sh\nexec {program} "$@"\n')
        told = host.runs(host.written("suricata-update"))
        rules = host.place("/var/lib/suricata/rules/suricata.rules").read_bytes()
        assert NEWER["rules/b.rules"].strip() in rules, told


def test_wget_fetches_what_sha256sum_and_minisign_accept(serving: Serving) -> None:
    recipe = "wget, sha256sum and minisign"
    for program in ("wget", "minisign"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: apt-get install {program}")
    with serving("YARA Forge") as host:
        host.place("/var/lib/rules").mkdir()
        (machine,) = re.findall(r"`(machine .*)`", PAGE.read_text())
        login = machine.replace("mirror.example", "127.0.0.1").replace("PASSWORD", host.password)
        host.place(".netrc").write_text(login)
        host.place(".wgetrc").write_text(f"ca_certificate = {host.root}/etc/sigmirror/server.pem\n")
        told = host.runs(host.written(recipe))
        assert "yara-rules-core.yar: OK" in told
        assert "Signature and comment signature verified" in told
        fetched = host.place("/var/lib/rules/yara-rules-core.yar").read_bytes()
        assert fetched == definition("yara-rules-core.yar", 2)
