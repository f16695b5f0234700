"""The feeds of docs/feeds.md as stand-ins: doors, addresses, sidecars and blocks of each vendor."""

import hashlib
import io
import json
import re
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from minisign import KeyPair

from keys.model.release import Assurance, Manifest, Redistribution
from keys.settings import parse_raw
from keys.trust.vendor.cvd import expand_cvd
from mirror.presets import PRESETS, filled
from tests.keys.pgp import Vendor as Signer
from tests.mirror.operator import Operator, now
from tests.mirror.stand_in import (
    BLOCK_PAGE,
    MODIFIED,
    Answer,
    Asked,
    Door,
    StandIn,
    by_form,
    by_header,
    by_path,
    by_query,
    everybody,
    status,
)
from tests.real_data import real_data
from tests.recipes import RECIPES

TOKEN = "t0ken+of=the~operator"  # noqa: S105 - of nobody

RULES = {
    "rules/a.rules": b'alert tcp any any -> any any (msg:"a"; content:"a"; sid:2000001; rev:1;)\n',
    "rules/LICENSE": b"BSD",
    "rules/a.txt": b"not taken",
}
NEWER = {
    **RULES,
    "rules/b.rules": b'alert udp any any -> any any (msg:"b"; content:"b"; sid:2000002; rev:1;)\n',
}
JAPANESE = {"pack/規則.yar": b"rule jp { condition: false }\n", "pack/README": b"not taken"}


def sample(name: str, version: int) -> bytes:
    """Return the bytes that a file's definition of this version finds."""
    return f"what {name} finds in version {version}".encode()


def definition(name: str, version: int) -> bytes:
    """Write a file of definitions in the format of its name."""
    wanted, stem = sample(name, version), Path(name).stem.replace("-", "_")
    match Path(name).suffix:
        case ".hdb":
            digest = hashlib.md5(wanted, usedforsecurity=False).hexdigest()
            return f"{digest}:{len(wanted)}:{stem}.{version}\n".encode()
        case ".ndb":
            return f"{stem}.{version}:0:*:{wanted.hex()}\n".encode()
        case ".db":
            return f"{stem}.{version}={wanted.hex()}\n".encode()
        case ".yar":
            text = wanted.decode()
            return f'rule {stem} {{ strings: $a = "{text}" condition: $a }}\n'.encode()
        case other:
            raise AssertionError(other)


def tar_gz(files: Mapping[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


def zipped(files: Mapping[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return made.getvalue()


@dataclass
class Shop:
    """A stand-in vendor, and the folder where the operator's files of the recipe lie."""

    vendor: StandIn
    etc: Path
    pgp: Signer = field(default_factory=Signer.new)
    minisign: KeyPair = field(default_factory=KeyPair.generate)

    def offer(self, path: str, data: bytes, *sidecars: str) -> None:
        """Have a file for sale, made later than what was on sale before."""
        changed = path in self.vendor.files and self.vendor.files[path] != data
        at = self.vendor.modified.get(path, MODIFIED) + timedelta(days=changed)
        self.vendor.put(path, data, *sidecars, modified=at)

    def sign_openpgp(self, path: str, data: bytes) -> None:
        self.offer(path, data)
        self.offer(f"{path}.sig", self.pgp.sign(data))
        (self.etc / "sanesecurity.asc").write_bytes(self.pgp.armoured)

    def sign_minisign(self, path: str, data: bytes) -> None:
        self.offer(path, data, "sha256")
        self.offer(f"{path}.minisig", bytes(self.minisign.secret_key.sign(data)))
        (self.etc / "vendor.pub").write_bytes(bytes(self.minisign.public_key))

    def release_on_github(self, tag: str, name: str, data: bytes) -> None:
        """Tell of a release as GitHub's API does, and offer its file."""
        self.offer(f"/YARAHQ/yara-forge/releases/latest/download/{name}", data)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        asset = {"name": name, "size": len(data), "digest": digest}
        told = {"tag_name": tag, "assets": [asset], "draft": False}
        at = "/repos/YARAHQ/yara-forge/releases/latest"
        self.offer(at, json.dumps(told).encode())


Stock = Callable[[Shop, int], dict[str, bytes]]
"""Have the first or a second version of the feed for sale; return what a release then holds."""


def named(folder: str, names: tuple[str, ...]) -> Stock:
    """Offer ClamAV definitions with checksums beside them."""

    def stock(shop: Shop, version: int) -> dict[str, bytes]:
        files = {name: definition(name, version) for name in names}
        for name, data in files.items():
            shop.offer(f"{folder}/{name}", data, "sha256")
        return files

    return stock


def signed(folder: str, names: tuple[str, ...]) -> Stock:
    def stock(shop: Shop, version: int) -> dict[str, bytes]:
        files = {name: definition(name, version) for name in names}
        for name, data in files.items():
            shop.sign_openpgp(f"{folder}/{name}", data)
        return files

    return stock


def single(path: str, name: str) -> Stock:
    def stock(shop: Shop, version: int) -> dict[str, bytes]:
        data = definition(name, version)
        shop.offer(path, data)
        return {name: data}

    return stock


def rules(path: str, *sidecars: str, strip: int = 1) -> Stock:
    def stock(shop: Shop, version: int) -> dict[str, bytes]:
        files = (RULES, NEWER)[version - 1]
        shop.offer(path, tar_gz(files), *sidecars)
        taken = {name: data for name, data in files.items() if not name.endswith(".txt")}
        return {"/".join(name.split("/")[strip:]): data for name, data in taken.items()}

    return stock


def forge(shop: Shop, version: int) -> dict[str, bytes]:
    name = "yara-rules-core.yar"
    files = {name: definition(name, version)}
    packed = zipped({f"packages/core/{name}": files[name]})
    shop.release_on_github(f"2024110{version}", "yara-forge-rules-core.zip", packed)
    return files


def generic(shop: Shop, version: int) -> dict[str, bytes]:
    files = {**JAPANESE, "pack/version.yar": f"// {version}\n".encode()}
    shop.sign_minisign("/feed/rules.zip", zipped(files))
    return {"規則.yar": files["pack/規則.yar"], "version.yar": files["pack/version.yar"]}


def clamav(shop: Shop, version: int) -> dict[str, bytes]:
    genuine = real_data("clamav/testdb")
    shop.offer("/test.cvd", (genuine / f"test-{version}.cvd").read_bytes())
    if version > 1:
        shop.offer(f"/test-{version}.cdiff", (genuine / f"test-{version}.cdiff").read_bytes())
    whole, expanded = io.BytesIO(shop.vendor.files["/test.cvd"]), io.BytesIO()
    expand_cvd(whole, expanded, "test.cvd")
    return {"test.cld": expanded.getvalue()}


def asking_for(door: Door, wanted: Mapping[str, str]) -> Door:
    """Admit through a door who also asks, in query or form, for what the feed wants said."""

    def admit(asked: Asked) -> str | int:
        said = {**asked.query, **asked.form}
        return door(asked) if wanted.items() <= said.items() else 400

    return admit


@dataclass(frozen=True)
class Case:
    """One feed: its door, what it sells, how it refuses and with which exit code we end."""

    stock: Stock
    assurance: Assurance
    shared: Redistribution = "licensed-hosts"
    door: Door = everybody
    refused: tuple[Answer, int] = (status(403, BLOCK_PAGE), 4)  # 4: stopped, 1: tried again later
    more: str = ""  # further settings, which the recipe tells of
    http: bool = False


ANONYMOUS = (status(403, BLOCK_PAGE), 1)

CASES: dict[str, Case] = {
    "ClamAV official databases": Case(
        clamav,
        Assurance.signed,
        "public",
        refused=ANONYMOUS,
        more='driver = "native"\ndatabases = ["test"]\n',
    ),
    "SecuriteInfo": Case(
        named("/get/signatures", tuple(PRESETS["securiteinfo"].settings["names"])),
        Assurance.digest,
        door=by_path(TOKEN),
    ),
    "Sanesecurity": Case(
        signed("/sanesecurity", ("phish.ndb", "rogue.hdb")),
        Assurance.signed,
        refused=ANONYMOUS,
        http=True,
    ),
    "MalwarePatrol": Case(
        single("/cgi/getfile", "malwarepatrol.db"),
        Assurance.none,
        door=asking_for(by_query("receipt", TOKEN), {"product": "8", "list": "clamav_basic"}),
    ),
    "URLhaus": Case(
        named("/v2/files/exports", ("urlhaus_clamav.ndb",)), Assurance.digest, door=by_path(TOKEN)
    ),
    "Emerging Threats Open": Case(
        rules("/open/suricata-7.0.3/emerging.rules.tar.gz", "md5"),
        Assurance.digest,
        "public",
        refused=ANONYMOUS,
    ),
    "Emerging Threats Pro": Case(
        rules("/suricata-7.0.3/etpro.rules.tar.gz"), Assurance.none, door=by_path(TOKEN)
    ),
    "Snort": Case(
        rules("/rules/snortrules-snapshot-31470.tar.gz", strip=0),
        Assurance.none,
        door=by_query("oinkcode", TOKEN),
        refused=(status(404, b"Your oinkcode has been blocked.\n"), 1),
    ),
    "YARA Forge": Case(forge, Assurance.digest, refused=ANONYMOUS),
    "Valhalla": Case(
        single("/api/v1/get", "valhalla.yar"),
        Assurance.none,
        door=asking_for(by_form("apikey", TOKEN), {"format": "text"}),
    ),
    "Any file or archive over HTTP": Case(
        generic, Assurance.signed, door=by_header("X-Api-Key", "a-plain-token")
    ),
}


def settings_of(recipe: str) -> dict[str, str]:
    """Return the upstream a recipe writes, what its preset says included."""
    text = RECIPES[recipe].block("toml")
    found: dict[str, str] = filled(parse_raw(text.encode(), recipe), recipe)["upstream"][0]
    return found


def on_loopback(recipe: str, shop: Shop, *, http: bool = False) -> str:
    """Write a recipe with its folders and the hosts of its addresses replaced."""
    fingerprint = "0123456789ABCDEF0123456789ABCDEF01234567"
    places = {"/etc/sigmirror": str(shop.etc), fingerprint: shop.pgp.fingerprint}
    text = RECIPES[recipe].written(places)
    moved = {"ca_file": str(shop.etc / "server.pem")}
    written = {"url": "https://official.example", **settings_of(recipe)}
    for key in ("url", "version_at"):
        if address := written.get(key):
            assert address.startswith("http://") is http
            parts = urlsplit(address)
            moved[key] = shop.vendor.url + parts._replace(scheme="", netloc="").geturl()
            text = re.sub(rf"^{key} = .*\n", "", text, flags=re.MULTILINE)
    return text + "".join(f"{key} = {json.dumps(value)}\n" for key, value in moved.items())


@dataclass
class Site:
    """A mirror with one recipe's upstream, and the vendor it leads to."""

    case: Case
    recipe: str
    shop: Shop
    operator: Operator

    @property
    def vendor(self) -> StandIn:
        return self.shop.vendor

    @property
    def name(self) -> str:
        return settings_of(self.recipe)["name"]

    @property
    def channel(self) -> str:
        return settings_of(self.recipe)["channel"]

    def configure(self) -> None:
        """Write the recipe; everything but places and hosts as it stands there."""
        text = on_loopback(self.recipe, self.shop, http=self.case.http)
        self.operator.write(text + self.case.more)

    def pull(self) -> tuple[int, str]:
        code, out, err = self.operator.types("pull", self.name)
        return code, out + err

    def offered(self) -> dict[str, bytes]:
        return self.operator.client.contents(self.channel, now=now())

    def brought_again(self, since: int) -> list[str]:
        """List the definitions that were fetched whole since this request."""
        small = (".md5", ".sha256", ".sig", ".minisig", "/latest")
        return [
            asked.path
            for asked in self.vendor.asked[since:]
            if asked.method == "GET"
            and "Range" not in asked.headers
            and not asked.path.endswith(small)
        ]

    def manifest(self) -> Manifest:
        return self.operator.client.offered(self.channel, now=now())
