"""Each feed's recipe of docs/feeds.md, against a stand-in with its auth, sidecars and block page.

A first pull publishes what the vendor has; then he blocks us, in his way and with a page for
people; each is refused and the last good release goes on being offered.
"""

import io
import json
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from minisign import KeyPair

from keys.model.release import Assurance, Redistribution
from keys.settings import parse_raw
from keys.trust.vendor.cvd import expand_cvd
from mirror.presets import PRESETS, filled
from tests.keys.issuing import LICENCE, Issuer, but
from tests.keys.pgp import Vendor as Signer
from tests.mirror.operator import Operator, now
from tests.mirror.serving import Process
from tests.mirror.stand_in import (
    BLOCK_PAGE,
    MODIFIED,
    Answer,
    Door,
    StandIn,
    block_page,
    by_form,
    by_header,
    by_path,
    by_query,
    everybody,
    server_tls,
    status,
)
from tests.real_data import real_data
from tests.recipes import RECIPES

SECTION = "Feeds into a mirror"
TOKEN = "t0ken+of=the~operator"  # noqa: S105 - of nobody
OTHER_TESTS = {"A folder that something else fills", "From another sigmirror"}

RULES = {"rules/a.rules": b"alert tcp any any\n", "rules/LICENSE": b"BSD", "rules/a.txt": b"no"}
NEWER = {**RULES, "rules/b.rules": b"alert udp any any\n"}
YARA = {"packages/core/yara-rules-core.yar": b"rule one { condition: false }\n"}
NEWER_YARA = {"packages/core/yara-rules-core.yar": b"rule two { condition: false }\n"}
JAPANESE = {"pack/規則.yar": b"rule jp { condition: false }\n", "pack/README": b"not taken"}


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
        self.vendor.put(f"/sum/{name}", data, "sha256")
        digest = self.vendor.files[f"/sum/{name}.sha256"].split()[0].decode()
        asset = {"name": name, "size": len(data), "digest": f"sha256:{digest}"}
        told = {"tag_name": tag, "assets": [asset], "draft": False}
        at = "/repos/YARAHQ/yara-forge/releases/latest"
        self.offer(at, json.dumps(told).encode())


Stock = Callable[[Shop, int], dict[str, bytes]]
"""Have the first or a second version of the feed for sale; return what a release then holds."""


def named(folder: str, names: tuple[str, ...]) -> Stock:
    """Offer ClamAV definitions with checksums beside them."""

    def stock(shop: Shop, version: int) -> dict[str, bytes]:
        files = {name: f"{name} {version}\n".encode() for name in names}
        for name, data in files.items():
            shop.offer(f"{folder}/{name}", data, "sha256")
        return files

    return stock


def signed(folder: str, names: tuple[str, ...]) -> Stock:
    def stock(shop: Shop, version: int) -> dict[str, bytes]:
        files = {name: f"{name} {version}\n".encode() for name in names}
        for name, data in files.items():
            shop.sign_openpgp(f"{folder}/{name}", data)
        return files

    return stock


def single(path: str, name: str) -> Stock:
    def stock(shop: Shop, version: int) -> dict[str, bytes]:
        data = f"{name} {version}\n".encode()
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
    files = (YARA, NEWER_YARA)[version - 1]
    shop.release_on_github(f"2024110{version}", "yara-forge-rules-core.zip", zipped(files))
    return {"yara-rules-core.yar": files["packages/core/yara-rules-core.yar"]}


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
        door=by_query("receipt", TOKEN),
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
        single("/api/v1/get", "valhalla.yar"), Assurance.none, door=by_form("apikey", TOKEN)
    ),
    "Any file or archive over HTTP": Case(
        generic, Assurance.signed, door=by_header("X-Api-Key", "a-plain-token")
    ),
}


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

    def configure(self) -> None:
        """Write the recipe, its addresses on loopback, everything else as it stands there."""
        places = {
            "/etc/sigmirror": str(self.shop.etc),
            "0123456789ABCDEF" * 2 + "01234567": self.pinned,
        }
        text = RECIPES[self.recipe].written(places)
        written = filled(parse_raw(text.encode(), "recipe"), "recipe")["upstream"][0]
        moved = {"ca_file": str(self.shop.etc / "server.pem")}
        for key in ("url", "version_at"):
            if address := written.get(key, "" if key != "url" else "https://vendor.example"):
                assert address.startswith("http://") is self.case.http
                moved[key] = self.vendor.url + self.path_of(address)
                text = re.sub(rf"^{key} = .*\n", "", text, flags=re.MULTILINE)
        lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in moved.items())
        self.operator.write(text + lines + self.case.more)

    @property
    def pinned(self) -> str:
        return self.shop.pgp.fingerprint

    @staticmethod
    def path_of(address: str) -> str:
        parts = urlsplit(address)
        return parts.path + (f"?{parts.query}" if parts.query else "")

    @property
    def name(self) -> str:
        found: str = parse_raw(RECIPES[self.recipe].block("toml").encode(), "r")["upstream"][0][
            "name"
        ]
        return found

    @property
    def channel(self) -> str:
        found: str = parse_raw(RECIPES[self.recipe].block("toml").encode(), "r")["upstream"][0][
            "channel"
        ]
        return found

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

    def manifest(self) -> Any:
        return self.operator.client.offered(self.channel, now=now())


@pytest.fixture(params=sorted(CASES))
def site(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Site]:
    case = CASES[request.param]
    etc = tmp_path / "etc"
    etc.mkdir()
    for name in re.findall(
        r'token_file = "/etc/sigmirror/(.*)"', RECIPES[request.param].block("toml")
    ):
        (etc / name).write_text("a-plain-token" if name == "vendor.token" else TOKEN)
    context, _ = server_tls(etc)
    with StandIn(door=case.door, tls=None if case.http else context) as vendor:
        found = Site(case, request.param, Shop(vendor, etc), Operator(tmp_path, capsys))
        yield found


def test_each_feed_of_the_page_is_tried() -> None:
    told = {title for title, recipe in RECIPES.items() if recipe.section == SECTION}
    assert told == {*CASES, *OTHER_TESTS}


def test_each_preset_has_a_recipe() -> None:
    written = [text for one in RECIPES.values() for kind, text in one.blocks if kind == "toml"]
    told = {
        name for text in written for name in re.findall(r'^preset = "(.*)"', text, re.MULTILINE)
    }
    assert told == set(PRESETS)


def test_a_recipe_begins_with_what_it_was_tried_with() -> None:
    for recipe in RECIPES.values():
        assert re.fullmatch(r"stand-in|real client [a-z][a-z0-9-]*", recipe.tried), recipe.title


@pytest.mark.parametrize("block", ["a page for people", "a refusal"])
def test_a_feed_is_pulled_and_a_block_leaves_the_last_good_release(site: Site, block: str) -> None:
    first = site.case.stock(site.shop, 1)
    site.configure()
    code, out, err = site.operator.types("check-config")
    assert code == 0, out + err
    code, told = site.pull()
    assert code == 0, told
    good, manifest = site.offered(), site.manifest()
    assert good == first
    assert (manifest.assurance, manifest.redistribution) == (site.case.assurance, site.case.shared)
    assert TOKEN not in str(manifest)

    site.case.stock(site.shop, 2)
    answer, expected = site.case.refused if block == "a refusal" else (block_page(), 3)
    site.vendor.always = dict.fromkeys(site.vendor.files, answer)
    code, told = site.pull()
    assert code == expected, told
    assert TOKEN not in told
    assert site.offered() == good


def test_a_newer_version_of_a_feed_is_pulled(site: Site) -> None:
    site.case.stock(site.shop, 1)
    site.configure()
    assert site.pull()[0] == 0
    newer = site.case.stock(site.shop, 2)
    code, told = site.pull()
    assert code == 0, told
    assert site.offered() == newer
    requests = len(site.vendor.asked)
    assert site.pull()[0] == 0
    assert site.offered() == newer
    assert not site.brought_again(requests)


def test_a_folder_is_taken_when_its_marker_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    operator = Operator(tmp_path, capsys)
    folder = tmp_path / "rules"
    folder.mkdir()
    recipe = RECIPES["A folder that something else fills"].written({"/srv/rules": str(folder)})
    text = operator.config.read_text()
    operator.config.write_text(text[: text.index("[[upstream]]")] + recipe)
    (folder / "half.yar").write_bytes(b"rule half {")
    code, out, _ = operator.types("pull", "inhouse")
    assert (code, "waiting for the file complete" in out) == (0, True), out
    (folder / "half.yar").write_bytes(b"rule half { condition: false }")
    (folder / "complete").touch()
    assert operator.types("pull", "inhouse")[0] == 0
    good = {"half.yar": b"rule half { condition: false }"}
    assert operator.client.contents("inhouse", now=now()) == good
    (folder / "half.yar").unlink()
    assert operator.types("pull", "inhouse")[0] == 1
    assert operator.client.contents("inhouse", now=now()) == good


def test_another_sigmirror_is_passed_through(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    etc, below = tmp_path / "etc", tmp_path / "site"
    etc.mkdir()
    below.mkdir()
    parent = licensed_parent(tmp_path / "parent", etc, capsys)
    site = Operator(below, capsys)
    with Process.started(parent.config, tmp_path / "log", command="serve") as process:
        address = f"http://{process.address}"
        places = {"/etc/sigmirror": str(etc), "https://parent.example:8480": address}
        site.write(RECIPES["From another sigmirror"].written(places))
        code, out, err = site.types("pull", "parent")
        assert code == 0, out + err
    good = passed(site)
    assert good == {"a.yar": b"rule a { condition: false }"}
    with StandIn() as vendor:
        places["https://parent.example:8480"] = vendor.url
        site.write(RECIPES["From another sigmirror"].written(places))
        vendor.always = {"/r/site/metadata/timestamp.json": block_page()}
        code, out, err = site.types("pull", "parent")
        assert code == 3, out + err
    assert passed(site) == good


def licensed_parent(folder: Path, etc: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    """Make a mirror that serves one customer; what the recipe names is put into ``etc``."""
    folder.mkdir()
    parent, issuer = Operator(folder, capsys), Issuer.make(folder)
    today = now().date()
    dates = {"starts_on": today - timedelta(days=9), "ends_on": today + timedelta(days=99)}
    issuer.write(etc / "parent.lic", but(LICENCE, **dates))
    (etc / "parent-issuer.pub").write_bytes(issuer.public.read_bytes())
    (etc / "parent-password").write_text("correct horse")
    root = parent.mirror.folder / "r/site/metadata/1.root.json"
    (etc / "parent-root.json").write_bytes(root.read_bytes())
    parent.write(
        '[serve]\nlisten = "127.0.0.1:0"\nmetrics_listen = ""\naccess = "licences"\n'
        f'licence_issuer = "{issuer.public}"\n'
    )
    (parent.drop / "a.yar").write_bytes(b"rule a { condition: false }")
    words = ("--licence", f"{etc}/parent.lic", "--password-file", f"{etc}/parent-password")
    for order in (("pull", "inhouse"), ("customer", "add", "EAV-0123456", *words)):
        code, out, err = parent.types(*order)
        assert code == 0, out + err
    return parent


def passed(site: Operator) -> dict[str, bytes]:
    """Read what a host of the site believes, by the parent's own keys."""
    return site.mirror.client(
        site.config.parent / "client-of-parent", repository="parent"
    ).contents("inhouse", now=now())
