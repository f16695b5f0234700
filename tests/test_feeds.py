"""Each feed's recipe of docs/feeds.md, against a stand-in with its auth, sidecars and block page.

A first pull publishes what the vendor has; then he blocks us, in his way and with a page for
people; each is refused and the last good release goes on being offered.
"""

import os
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.presets import PRESETS
from tests.feed_cases import CASES, TOKEN, Shop, Site
from tests.keys.issuing import LICENCE, Issuer, but
from tests.mirror.operator import Operator, now
from tests.mirror.serving import Process
from tests.mirror.stand_in import StandIn, block_page, server_tls
from tests.recipes import RECIPES

README = Path(__file__).parent.parent / "README.md"
SECTION = "Feeds into a mirror"
OTHER_TESTS = {"A folder that something else fills", "From another sigmirror"}


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


def test_the_readmes_smallest_configuration_is_a_real_feed_without_a_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = Operator(tmp_path, capsys)
    (tmp_path / "cvd").touch(mode=0o755)  # as if cvdupdate were installed
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    blocks = re.findall(r"^```toml\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    (text,) = (block for block in blocks if "[[upstream]]" in block)
    assert re.findall(r'preset = "(.*)"', text) == ["official"]
    _, chain = server_tls(tmp_path)
    places = {
        "/etc/sigmirror/tls.pem": chain,
        "/etc/sigmirror/tls.key": chain.with_suffix(".key"),
        "/etc/sigmirror": tmp_path,
        "/var/lib/sigmirror": operator.mirror.folder,
        "/srv/rules": operator.drop,
    }
    for name, place in places.items():
        text = text.replace(name, str(place))
    operator.config.write_text(text)
    code, out, err = operator.types("check-config")
    assert code == 0, out + err
    assert 'upstream[0].driver = "cvdupdate"  (preset)' in out


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


@pytest.mark.slow
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
