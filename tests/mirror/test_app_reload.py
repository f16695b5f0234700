"""Files that change under a running mirror: in force within seconds, same process, no failure.

Four ways to change files times four things that files mean, each under load.
"""

import http.client
import json
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from keys.credentials import Credential, Secret
from keys.signing.ceremony import Plan, compose, write
from keys.signing.layout import Layout
from keys.signing.licence import issue, new_issuer, open_issuer, public_half
from mirror.fleet.hosts import Hosts
from mirror.fleet.ledger import hosts_file
from tests.keys.signing_site import PASSPHRASE
from tests.mirror.certificates import certificate
from tests.mirror.serving import SIGMIRROR, Load, Process, unverified, wait_for
from tests.mirror.web_site import licence

pytestmark = pytest.mark.slow

ISSUER_PASSPHRASE = Secret("an issuer's passphrase")
WITHOUT_EVENTS = (
    "strace", "-D", "-f", "-qq", "--seccomp-bpf", "-e", "trace=inotify_init,inotify_init1",
    "-e", "inject=inotify_init,inotify_init1:error=EMFILE", "-o", "/dev/null",
)  # fmt: skip


def overwrite(folder: Path, contents: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)


def rename_over(folder: Path, contents: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        staged = folder.parent / f"{name}.new"
        staged.write_bytes(data)
        staged.rename(folder / name)


def swap_link(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Project files as Kubernetes does: names lead through ``..data``, which is swapped."""
    folder.mkdir(parents=True, exist_ok=True)
    version = folder / f"..{len(list(folder.iterdir()))}"
    version.mkdir()
    for name, data in contents.items():
        (version / name).write_bytes(data)
    staged = folder / "..data_tmp"
    staged.symlink_to(version.name)
    staged.rename(folder / "..data")
    for name in contents:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data") / name)


WAYS = {
    "overwrite": (overwrite, ()),
    "rename-over": (rename_over, ()),
    "symlink-swap": (swap_link, ()),
    "polling": (overwrite, WITHOUT_EVENTS),
}


@dataclass
class Mounted:
    """A running site mirror; each thing that is watched lies in a folder of its own."""

    folder: Path
    put: Callable[[Path, Mapping[str, bytes]], None]
    under: tuple[str, ...]
    process: Process = field(init=False)
    load: Load = field(init=False)

    def found(self) -> None:
        founding = compose(
            Plan(root_threshold=1, root_keys=1),
            offline_passphrase=PASSPHRASE,
            online_passphrase=PASSPHRASE,
            now=datetime.now(UTC),
        )
        write(founding, Layout(self.folder / "m"))
        self.online = dict(founding.online)
        self.put_keys(self.online, PASSPHRASE)
        self.put_certificate(certificate(1))
        new_issuer(self.folder / "issuer", ISSUER_PASSPHRASE)
        self.put_licence(days=100, sequence=1)
        (self.folder / "drop").mkdir()
        self.put_settings("hosts")
        hosts, self.token = Hosts().add("mx1", now=datetime.now(UTC))
        record = hosts_file(self.folder / "m")
        with record.changing():
            record.write(hosts)

    def put_keys(self, online: Mapping[str, bytes], passphrase: Secret) -> None:
        self.put(self.folder / "keys" / "online", online)
        self.put(self.folder / "secret", {"passphrase": passphrase.reveal().encode()})

    def put_certificate(self, pair: tuple[bytes, bytes]) -> None:
        self.put(self.folder / "tls", {"tls.crt": pair[0], "tls.key": pair[1]})

    def put_licence(self, *, days: int, sequence: int) -> None:
        ends_on = datetime.now(UTC).date() + timedelta(days=days)
        one = licence("EAV-1", ends_on, starts_on=date(2026, 1, 1), sequence=sequence)
        signer = open_issuer(str(self.folder / "issuer"), None, ISSUER_PASSPHRASE)
        self.put(self.folder / "licence", {"av.lic": issue(one, signer)})

    def put_settings(self, access: str) -> None:
        text = f"""
            reload_poll_seconds = 1.0
            [store]
            url = "file://{self.folder}/m"
            [signing]
            keys = "{self.folder}/keys"
            passphrase_file = "{self.folder}/secret/passphrase"
            [serve]
            listen = "127.0.0.1:0"
            metrics_listen = "127.0.0.1:0"
            access = "{access}"
            tls = {{ cert = "{self.folder}/tls/tls.crt", key = "{self.folder}/tls/tls.key" }}
            [[licence]]
            name = "av"
            file = "{self.folder}/licence/av.lic"
            issuer = "{public_half(self.folder / "issuer")}"
            [[upstream]]
            name = "inhouse"
            kind = "drop"
            channel = "inhouse"
            folder = "{self.folder}/drop"
            quiet_seconds = 0.2
        """
        self.put(self.folder / "settings", {"sigmirror.toml": text.encode()})

    @property
    def config(self) -> Path:
        return self.folder / "settings" / "sigmirror.toml"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": Credential("mx1", self.token).basic()}

    def status(self) -> list[str]:
        """Return the open problems; settings that cannot be read are the one of them."""
        words = [str(SIGMIRROR), "status", "--json", "--config", str(self.config)]
        done = subprocess.run(words, capture_output=True, check=False)
        if done.returncode == 2:
            return [f"settings: a change was refused: {done.stderr.decode()}"]
        assert done.returncode == 0, done.stderr.decode()
        problems: list[str] = json.loads(done.stdout)["problems"]
        return problems

    def reloads(self, what: str, outcome: str) -> float:
        name = f'sigmirror_reloads_total{{outcome="{outcome}",what="{what}"}}'
        return self.process.metrics().get(name, 0.0)

    def refused(self, what: str) -> None:
        """Wait until a replacement was refused: named in the log, a metric and the status."""
        wait_for(lambda: self.reloads(what, "refused") > 0, f"{what} to be refused")
        assert self.process.told("reload-refused", what=what)
        assert self.process.metrics()[f'sigmirror_reload_refused{{what="{what}"}}'] == 1
        wait_for(
            lambda: any(line.startswith(f"{what}: a change was refused") for line in self.status()),
            "the status",
        )

    def accepted(self, what: str, *, before: float = 0.0) -> None:
        wait_for(lambda: self.reloads(what, "accepted") > before, f"{what} to be in force")
        assert self.process.metrics()[f'sigmirror_reload_refused{{what="{what}"}}'] == 0

    def whole(self) -> None:
        """No request failed, and it is the same process."""
        count = self.load.answered
        wait_for(lambda: self.load.answered > count or bool(self.load.failures), "an answer")
        assert self.load.failures == []
        assert not self.process.ended


@pytest.fixture(
    scope="module", params=[pytest.param(way, marks=pytest.mark.xdist_group(way)) for way in WAYS]
)
def mounted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mounted]:
    put, under = WAYS[request.param]
    if under and shutil.which("strace") is None:
        pytest.skip("strace is not installed: apt-get install strace")
    folder = tmp_path_factory.mktemp("mounted")
    found = Mounted(folder, put, under)
    found.found()
    with Process.started(found.config, folder / "log", under=under) as process:
        found.process = process
        path = "/r/site/metadata/timestamp.json"
        found.load = Load(process.address, path, found.headers)
        with found.load.running():
            yield found


def test_polling_does_where_there_are_no_events(mounted: Mounted) -> None:
    mounted.put(mounted.folder / "secret", {"passphrase": PASSPHRASE.reveal().encode() + b"\n"})
    mounted.accepted("keys")
    assert mounted.process.told("no-events") == bool(mounted.under)
    mounted.whole()


def test_a_changed_licence_counts(mounted: Mounted) -> None:
    days = 'sigmirror_licence_days_left{licence="av",organisation="株式会社例"}'
    before = mounted.process.metrics()[days]
    mounted.put(mounted.folder / "licence", {"av.lic": b"forged"})
    mounted.refused("licences")
    assert mounted.process.metrics()[days] == before
    mounted.put_licence(days=300, sequence=2)
    wait_for(lambda: mounted.process.metrics()[days] >= 299, "the renewed licence")
    mounted.accepted("licences")
    mounted.put_licence(days=900, sequence=1)
    wait_for(lambda: mounted.reloads("licences", "refused") > 1, "the replayed licence")
    assert mounted.process.metrics()[days] < 400
    mounted.whole()


def test_changed_keys_sign_and_broken_ones_leave_the_old(mounted: Mounted) -> None:
    keys = {name: data for name, data in mounted.online.items() if name.endswith(".pem")}
    mounted.put(mounted.folder / "keys" / "online", {**mounted.online, "online.pem": b"no key"})
    mounted.refused("keys")
    (mounted.folder / "drop" / "a.yar").write_text("rule a { condition: false }\n")
    wait_for(lambda: mounted.process.told("published"), "a release signed with the old keys")
    other = Secret("quite another passphrase")
    before = mounted.reloads("keys", "accepted")
    changed = {name: encrypted(pem, other) for name, pem in keys.items()}
    mounted.put_keys({**mounted.online, **changed}, other)
    mounted.accepted("keys", before=before)
    mounted.whole()


def encrypted(pem: bytes, passphrase: Secret) -> bytes:
    key = load_pem_private_key(pem, PASSPHRASE.reveal().encode())
    kept = BestAvailableEncryption(passphrase.reveal().encode())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, kept)


def test_a_changed_certificate_is_shown_to_new_connections(mounted: Mounted) -> None:
    open_one = http.client.HTTPSConnection(mounted.process.address, context=unverified())
    open_one.connect()
    mounted.put_certificate((certificate(2)[0], certificate(3)[1]))
    mounted.refused("certificate")
    assert serial(mounted) == 1
    mounted.put_certificate(certificate(4))
    wait_for(lambda: serial(mounted) == 4, "the new certificate")
    open_one.request("GET", "/healthz")
    answer = open_one.getresponse()
    assert (answer.status, answer.read()) == (200, b'{"status": "ok"}')
    open_one.close()
    mounted.whole()


def serial(mounted: Mounted) -> int:
    connection = http.client.HTTPSConnection(mounted.process.address, context=unverified())
    connection.connect()
    assert isinstance(connection.sock, ssl.SSLSocket)
    shown = connection.sock.getpeercert(binary_form=True)
    connection.close()
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number


def test_changed_settings_are_followed(mounted: Mounted) -> None:
    assert status_of(mounted) == 401
    mounted.put(mounted.folder / "settings", {"sigmirror.toml": b"[serve]\nacess = 'open'\n"})
    mounted.refused("settings")
    assert status_of(mounted) == 401
    mounted.put_settings("open")
    wait_for(lambda: status_of(mounted) == 200, "the new settings")
    mounted.accepted("settings")
    mounted.put_settings("hosts")
    wait_for(lambda: status_of(mounted) == 401, "the old settings")
    mounted.whole()


def status_of(mounted: Mounted) -> int:
    connection = http.client.HTTPSConnection(mounted.process.address, context=unverified())
    try:
        connection.request("GET", "/r/site/metadata/timestamp.json")
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()
