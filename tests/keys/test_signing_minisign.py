import io
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from keys import console
from keys.cli import sigkeys
from keys.credentials import Secret
from keys.errors import UsageError
from keys.signing.keyring import open_ring
from keys.signing.layout import Layout
from keys.signing.minisign import (
    KEY_FILE,
    PUBLIC_FILE,
    SidecarSigner,
    make_sidecar_signer,
    open_sidecar_signer,
)
from keys.trust.vendor.minisign import verify_minisign
from tests.keys.signing_site import PASSPHRASE, Site

RULES = b"rule one { condition: true }\n" * 50
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SIGNER = SidecarSigner(Ed25519PrivateKey.generate())

program = pytest.mark.skipif(
    shutil.which("minisign") is None, reason="minisign is not installed: apt-get install minisign"
)


@pytest.fixture
def signer(tmp_path: Path) -> SidecarSigner:
    return make_sidecar_signer(tmp_path, PASSPHRASE)


def type_minisign(folder: Path, secret: Secret = PASSPHRASE) -> int:
    (file := folder / "passphrase").write_text(secret.reveal())
    words = ["minisign", str(folder / "mirror"), "--passphrase-file", str(file)]
    return console.exit_code(sigkeys, program="sigkeys", arguments=words)


def test_what_the_site_signs_is_verified_by_its_public_key(signer: SidecarSigner) -> None:
    sidecar = signer.sign(io.BytesIO(RULES), "rules/one.yar", at=NOW)
    for key in (signer.public_line, signer.public_text):
        verdict = verify_minisign(io.BytesIO(RULES), sidecar, [key], "one.yar")
        assert verdict.signer == signer.key_id
        assert verdict.signed_at == NOW
        assert verdict.comment.split("\t")[1:] == ["file:rules/one.yar", "hashed"]


@given(st.binary(max_size=200))
def test_without_a_time_the_same_file_gives_the_same_sidecar(data: bytes) -> None:
    first, second = (SIGNER.sign(io.BytesIO(data), "x.yar") for _ in range(2))
    assert first == second
    verify_minisign(io.BytesIO(data), first, [SIGNER.public_line], "x.yar")


def test_a_name_that_is_not_ascii_stands_in_the_comment_as_it_is_published(
    signer: SidecarSigner,
) -> None:
    sidecar = signer.sign(io.BytesIO(RULES), "ルール.yar")
    verdict = verify_minisign(io.BytesIO(RULES), sidecar, [signer.public_line], "x")
    assert verdict.comment == "file:@E3@83@AB@E3@83@BC@E3@83@AB.yar\thashed"


def test_a_new_site_has_a_key_that_its_ring_knows_nothing_of(tmp_path: Path) -> None:
    online = Site.found(tmp_path / "mirror").layout.online
    assert set(open_ring(online, PASSPHRASE)) == {"online"}
    signer = open_sidecar_signer(online, PASSPHRASE)
    assert signer is not None
    assert (online / PUBLIC_FILE).read_bytes() == signer.public_text
    assert b"ENCRYPTED PRIVATE KEY" in (online / KEY_FILE).read_bytes()
    assert (online / KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_init_shows_the_key_that_minisign_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (file := tmp_path / "passphrase").write_text(PASSPHRASE.reveal())
    words = ["init", str(tmp_path / "mirror"), "--passphrase-file", str(file)]
    assert console.exit_code(sigkeys, program="sigkeys", arguments=words) == 0
    shown = next(line for line in capsys.readouterr().out.splitlines() if "minisign" in line)
    assert type_minisign(tmp_path) == 0
    assert shown.split()[-1] in capsys.readouterr().out


def test_an_older_site_gets_a_key_once_and_is_shown_it_ever_after(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    online = Site.found(tmp_path / "mirror").layout.online
    for name in (KEY_FILE, PUBLIC_FILE):
        (online / name).unlink()
    assert open_sidecar_signer(online, PASSPHRASE) is None
    said = []
    for _ in range(2):
        assert type_minisign(tmp_path) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    signer = open_sidecar_signer(online, PASSPHRASE)
    assert signer is not None
    assert signer.public_line in said[0]
    assert str(online / PUBLIC_FILE) in said[0]


def test_a_public_file_that_was_lost_is_written_again(tmp_path: Path) -> None:
    online = Site.found(tmp_path / "mirror").layout.online
    before = (online / PUBLIC_FILE).read_bytes()
    (online / PUBLIC_FILE).unlink()
    assert type_minisign(tmp_path) == 0
    assert (online / PUBLIC_FILE).read_bytes() == before


def test_a_mirror_that_was_never_founded_gets_no_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert type_minisign(tmp_path) == 2
    assert "keys/online" in capsys.readouterr().err


def test_the_wrong_passphrase_is_told_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = Site.found(tmp_path / "mirror").layout
    before = (layout.online / KEY_FILE).read_bytes()
    assert type_minisign(tmp_path, Secret("another long passphrase")) == 2
    assert "wrong passphrase" in capsys.readouterr().err
    assert (layout.online / KEY_FILE).read_bytes() == before


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_bytes(b"-----BEGIN NOTHING-----\n")
    with pytest.raises(UsageError, match="not a PKCS#8 PEM key file"):
        open_sidecar_signer(tmp_path, PASSPHRASE)


@program
def test_minisign_itself_verifies_what_the_site_signs(tmp_path: Path) -> None:
    online = Layout(tmp_path / "mirror").online
    online.mkdir(parents=True)
    signer = make_sidecar_signer(online, PASSPHRASE)
    (path := tmp_path / "rules.yar").write_bytes(RULES)
    (tmp_path / "rules.yar.minisig").write_bytes(signer.sign(io.BytesIO(RULES), "rules.yar"))
    by_line = ["minisign", "-V", "-P", signer.public_line, "-m", str(path)]
    by_file = ["minisign", "-V", "-p", str(online / PUBLIC_FILE), "-m", str(path)]
    for command in (by_line, by_file):
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        assert "file:rules.yar" in done.stdout
    path.write_bytes(RULES + b"x")
    assert subprocess.run(by_line, check=False, capture_output=True).returncode != 0


@program
def test_minisign_shows_the_same_key_id(signer: SidecarSigner, tmp_path: Path) -> None:
    (path := tmp_path / "rules.yar").write_bytes(RULES)
    (tmp_path / "rules.yar.minisig").write_bytes(signer.sign(io.BytesIO(RULES), "rules.yar"))
    nobody = "RWQ" + "A" * 53
    command = ["minisign", "-V", "-P", nobody, "-m", str(path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert signer.key_id in done.stderr
