"""What an operator types for programs and documents, and what the running mirror then serves."""

import hashlib
import json
import urllib.request
from pathlib import Path

import pytest

from tests.mirror.operator import Operator, now
from tests.mirror.serving import Process, wait_for

SERVE = '[serve]\nlisten = "127.0.0.1:0"\nmetrics_listen = ""\n'


@pytest.fixture
def operator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    return Operator(tmp_path, capsys)


def folder(operator: Operator, name: str, data: bytes) -> str:
    path = operator.config.parent / f"folder-{name}"
    path.mkdir(exist_ok=True)
    (path / name).write_bytes(data)
    return str(path)


def test_publish_says_what_the_files_are_and_who_may_be_served_them(operator: Operator) -> None:
    words = ("--content", "programs", "--redistribution", "none", "--engine", "scanner")
    programs = folder(operator, "setup-4.1.deb", b"deb")
    assert operator.types("publish", "scanner", programs, *words)[0] == 0
    manifest = operator.client.offered("scanner", now=now())
    assert (manifest.content, manifest.redistribution) == ("programs", "none")
    assert manifest.engine == "scanner"
    (repository,) = operator.asks("status")["repositories"]
    (channel,) = repository["channels"]
    assert (channel["content"], channel["redistribution"]) == ("programs", "none")
    assert "    programs; redistribution none\n" in operator.types("status")[1]
    code, _, err = operator.types("publish", "scanner", programs, "--content", "music")
    assert code == 2
    assert "'music' is not one of 'definitions', 'programs', 'documents'" in err


def test_a_release_by_hand_is_as_the_channels_upstream_says(operator: Operator) -> None:
    operator.write('redistribution = "licensed-hosts"\n')
    rules = folder(operator, "a.yar", b"rule a {condition: true}")
    assert operator.types("publish", "inhouse", rules)[0] == 0
    manifest = operator.client.offered("inhouse", now=now())
    assert (manifest.engine, manifest.redistribution) == ("yara", "licensed-hosts")


def test_pulled_releases_say_what_the_settings_say(operator: Operator) -> None:
    (operator.drop / "manual.pdf").write_bytes(b"%PDF")
    operator.write('content = "documents"\nredistribution = "none"\n')
    assert operator.types("pull")[0] == 0
    manifest = operator.client.offered("inhouse", now=now())
    assert (manifest.content, manifest.redistribution) == ("documents", "none")


@pytest.mark.slow
def test_a_running_mirror_serves_what_it_signed_and_follows_what_comes(
    operator: Operator, tmp_path: Path
) -> None:
    operator.write(SERVE)
    (operator.drop / "規則.yar").write_bytes(b"rule a {condition: true}")
    with Process.started(operator.config, tmp_path / "log") as process:
        wait_for(lambda: process.told("published"), "the first release")
        top = f"http://{process.address}/files"
        name = "%E8%A6%8F%E5%89%87.yar"
        wait_for(lambda: "inhouse" in names(top), "the channel to be served")
        assert read(f"{top}/inhouse/latest/{name}") == b"rule a {condition: true}"
        digest = hashlib.sha256(b"rule a {condition: true}").hexdigest()
        assert read(f"{top}/inhouse/1/{name}.sha256").decode() == f"{digest}  規則.yar\n"
        key = operator.mirror.folder / "keys/online/minisign.pub"
        assert read(f"{top}/inhouse/minisign.pub") == key.read_bytes()
        assert b"trusted comment" in read(f"{top}/inhouse/latest/{name}.minisig")
        programs = folder(operator, "setup-4.1.deb", b"deb")
        assert operator.types("publish", "scanner", programs, "--content", "programs")[0] == 0
        wait_for(lambda: "scanner" in names(top), "the programs")
        assert "setup-4.1.deb" in read(f"{top}/").decode()


def names(top: str) -> list[str]:
    page = json.loads(read(f"{top}/index.json"))
    return [channel["channel"] for channel in page["channels"]]


def read(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - loopback
        data: bytes = answer.read()
    return data
