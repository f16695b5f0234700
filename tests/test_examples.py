"""The examples in packaging/ as an operator takes them: what they name in place, no problem."""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from keys import settings as toml
from tests.keys.issuing import LICENCE, Issuer, but
from tests.mirror.certificates import certificate
from updater.channels import check_names
from updater.settings import Settings as UpdaterSettings

PACKAGING = Path(__file__).parents[1] / "packaging"
SIGMIRROR = Path(sys.executable).with_name("sigmirror")
PLACES = re.compile(r"(?<=[ \"/])/(?=(?:etc/sigmirror|var/lib/sigmirror|var/cache|srv)\b)")
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "example", "AWS_SECRET_ACCESS_KEY": "example"}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay out what the examples name, as their comments and docs/operations.md say."""
    root = tmp_path_factory.mktemp("machine")
    etc = root / "etc/sigmirror"
    subprocess.run(
        [
            SIGMIRROR, "init", "--config", etc / "founded.toml",
            "--folder", root / "var/lib/sigmirror",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    chain, key = certificate(1)
    issuer = Issuer.make(root)
    issuer.write(etc / "av-2026.lic", but(LICENCE, username="EAV-0123456"))
    (root / "srv/rules").mkdir(parents=True)
    contents: Mapping[str, bytes] = {
        "tls.pem": chain,
        "tls.key": key,
        "vendor-issuer.pub": issuer.public.read_bytes(),
        "av-2026.password": b"secret\n",
        "fleet-password": b"secret\n",
        "vendor-root.json": (root / "var/lib/sigmirror/r/site/metadata/1.root.json").read_bytes(),
    }
    for name, data in contents.items():
        (etc / name).write_bytes(data)
    (root / "bin").mkdir()
    (root / "bin/cvd").symlink_to("/bin/true")  # cvdupdate, which the mirror would run
    return root


@pytest.mark.parametrize("example", ["sigmirror.toml", "sigmirror-replica.toml"])
def test_check_config_finds_no_problem_in_a_mirrors_example(machine: Path, example: str) -> None:
    config = machine / example
    config.write_text(PLACES.sub(f"{machine}/", (PACKAGING / example).read_text()))
    checked = subprocess.run(
        [SIGMIRROR, "check-config", "--config", config],
        env={"PATH": f"{machine}/bin", **CREDENTIALS}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.stdout.splitlines()[-1] == "no problems", checked.stdout
    assert (checked.returncode, checked.stderr) == (0, "")


def test_every_example_of_settings_is_held_to_something() -> None:
    held = {"sigmirror.toml", "sigmirror-replica.toml", "sigupdate.toml"}
    assert {path.name for path in PACKAGING.glob("*.toml")} == held
    check_names(toml.load(PACKAGING / "sigupdate.toml", UpdaterSettings))
