"""Signers by URI: encrypted key files, and a key service spoken to over loopback."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from keys import console
from keys.cli import sigkeys
from keys.credentials import Secret
from keys.errors import Error, FetchError, UsageError
from keys.signing.ceremony import Plan
from keys.signing.keyring import RING_FILE, RingKey, encode_ring, open_ring, read_ring
from keys.signing.layout import Layout
from keys.signing.licence import new_issuer, public_half
from keys.signing.publisher import sign
from keys.signing.signers import ENCRYPTED_FILE, generate, open_signer
from keys.signing.state import State
from keys.trust.tuf_api import Key, Signer, SSlibKey, Targets
from tests.keys.signing_site import NOW, PASSPHRASE, Site
from tests.loopback import Quiet, Server, running

RELEASE = {"clamav": {"clamav/releases/1.json": b"one"}}


@pytest.fixture
def key_file(tmp_path: Path) -> tuple[Path, Key]:
    pem, signer = generate(PASSPHRASE)
    (tmp_path / "key.pem").write_bytes(pem)
    return tmp_path / "key.pem", signer.public_key


def opened(path: Path, key: Key, passphrase: Secret | None = PASSPHRASE) -> Signer:
    return open_signer(f"{ENCRYPTED_FILE}:{path}", key, passphrase)


def test_a_key_in_an_encrypted_file_signs(key_file: tuple[Path, Key]) -> None:
    path, key = key_file
    key.verify_signature(opened(path, key).sign(b"data"), b"data")
    assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")


def unencrypted() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    ("content", "passphrase", "reason"),
    [
        (None, Secret("another passphrase"), "wrong passphrase"),
        (None, None, "needs a passphrase"),
        (unencrypted(), PASSPHRASE, "not encrypted"),
        (b"no key", PASSPHRASE, "not a PKCS#8 PEM key file"),
        (generate(PASSPHRASE)[0], PASSPHRASE, "not the key the metadata names"),
    ],
    ids=["wrong-passphrase", "no-passphrase", "unencrypted", "no-key", "another-key"],
)
def test_a_key_file_that_cannot_be_used_is_named(
    key_file: tuple[Path, Key], content: bytes | None, passphrase: Secret | None, reason: str
) -> None:
    path, key = key_file
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=f"key.pem: {reason}") as caught:
        opened(path, key, passphrase)
    assert PASSPHRASE.reveal() not in str(caught.value)


def test_no_wrong_passphrase_is_taken_for_a_damaged_file(key_file: tuple[Path, Key]) -> None:
    """About one in 256 seems to decrypt: the padding fits, what is inside is no key."""
    path, key = key_file
    for number in range(2000):
        with pytest.raises(UsageError, match=r"key\.pem: wrong passphrase"):
            opened(path, key, Secret(f"another passphrase {number}"))


def test_a_missing_key_file_is_named(key_file: tuple[Path, Key]) -> None:
    path, key = key_file
    path.unlink()
    with pytest.raises(UsageError, match=r"key\.pem: No such file"):
        opened(path, key)


def test_an_unencrypted_key_signs_when_it_is_named_as_one(tmp_path: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "plain.pem").write_bytes(pem)
    key = SSlibKey.from_crypto(private.public_key())
    ring = [RingKey.of("online", "file2:plain.pem", key)]
    (tmp_path / RING_FILE).write_bytes(encode_ring(ring))
    signer = open_ring(tmp_path, None)["online"]
    key.verify_signature(signer.sign(b"data"), b"data")


@pytest.mark.parametrize("uri", ["file:/key.pem", "nonsense", "envvar:KEY"])
def test_an_unknown_kind_of_key_is_refused(key_file: tuple[Path, Key], uri: str) -> None:
    with pytest.raises(UsageError, match="unknown kind of key") as caught:
        open_signer(uri, key_file[1], PASSPHRASE)
    assert "awskms" in caught.value.hint


@pytest.mark.parametrize("content", [b"{}", b"\xff", b'[{"name":"x"}]', b'[{"secret":1}]'])
def test_a_malformed_key_ring_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / RING_FILE).write_bytes(content)
    with pytest.raises(UsageError, match=r"signers\.json: "):
        read_ring(tmp_path)


def test_a_key_folder_may_be_moved(tmp_path: Path) -> None:
    site = Site.found(tmp_path / "mirror")
    moved = site.layout.online.rename(tmp_path / "elsewhere")
    assert set(open_ring(moved, PASSPHRASE)) == {"online"}


def test_no_cloud_library_is_loaded_for_a_key_in_a_file(key_file: tuple[Path, Key]) -> None:
    path, key = key_file
    program = (
        "import sys\n"
        "from keys.credentials import Secret\n"
        "from keys.signing.signers import open_signer\n"
        "from keys.trust.tuf_api import Key\n"
        f"key = Key.from_dict({key.keyid!r}, {key.to_dict()!r})\n"
        f"open_signer('encrypted-file:{path}', key, Secret({PASSPHRASE.reveal()!r})).sign(b'')\n"
        "print(sorted({'boto3', 'botocore'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


class KeyService:
    """AWS KMS as far as signing goes: it holds a key and signs digests sent to it."""

    def __init__(self) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.key = SSlibKey.from_crypto(self.private.public_key())
        self.failing = False
        self.asked: list[dict[str, Any]] = []

    def answer(self, target: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.asked.append({"target": target, **body})
        if self.failing:
            return 400, {"__type": "DisabledException", "message": "the key is disabled"}
        digest = base64.b64decode(body["Message"])
        signature = self.private.sign(digest, ec.ECDSA(Prehashed(SHA256())))
        return 200, {"KeyId": body["KeyId"], "Signature": base64.b64encode(signature).decode()}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyService]:
    kms = KeyService()

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, reply = kms.answer(self.headers["X-Amz-Target"], body)
            data = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    with running(Server(Handler)) as url:
        for name, value in {
            "AWS_ENDPOINT_URL_KMS": url,
            "AWS_DEFAULT_REGION": "eu-test-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "NO_PROXY": "127.0.0.1",
        }.items():
            monkeypatch.setenv(name, value)
        yield kms


def test_a_key_service_signs_every_online_role(service: KeyService, tmp_path: Path) -> None:
    online = RingKey.of("online", "awskms:alias/sigmirror", service.key)
    site = Site.found(tmp_path / "mirror", Plan(root_threshold=1, root_keys=1, online=online))
    assert [path.name for path in site.layout.online.iterdir()] == [RING_FILE]
    assert len(site.publish(RELEASE, now=NOW)) == 6
    site.publisher()  # verifies every role
    assert {one["KeyId"] for one in service.asked} == {"alias/sigmirror"}
    assert {one["target"] for one in service.asked} == {"TrentService.Sign"}


def init(folder: Path, *words: str | Path) -> int:
    (folder / "passphrase").write_text(PASSPHRASE.reveal())
    words = ("init", folder / "mirror", "--passphrase-file", folder / "passphrase", *words)
    return console.exit_code(sigkeys, program="sigkeys", arguments=[str(word) for word in words])


def test_init_takes_a_key_service_for_the_online_roles(service: KeyService, tmp_path: Path) -> None:
    public = tmp_path / "online.pub"
    public.write_text(service.key.keyval["public"])
    words = ("--online-key", "awskms:alias/sigmirror", "--online-public", public)
    assert init(tmp_path, *words) == 0
    layout = Layout(tmp_path / "mirror")
    assert [path.name for path in layout.online.iterdir()] == [RING_FILE]
    root = State.verified(layout.read()).root
    assert root.roles["timestamp"].keyids == [service.key.keyid]
    assert len(root.roles["root"].keyids) == 3


def test_init_takes_a_key_file_that_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    issuer = tmp_path / "online"
    new_issuer(issuer, PASSPHRASE)
    monkeypatch.chdir(tmp_path)
    words = ("--online-key", "encrypted-file:online", "--online-public", public_half(issuer))
    assert init(tmp_path, *words) == 0
    monkeypatch.chdir("/")
    assert set(open_ring(Layout(tmp_path / "mirror").online, PASSPHRASE)) == {"online"}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--online-key", "awskms:x"), "needs both"),
        (("--online-public", "key.pub"), "needs both"),
        (("--online-key", "awskms:x", "--online-public", "absent.pub"), "absent.pub: No such"),
        (("--online-key", "awskms:x", "--online-public", "key.pub"), "key.pub: not a PEM public"),
        (("--online-key", "x:y", "--online-public", "good.pub"), "x:y: unknown kind of key"),
        (
            ("--online-key", "awskms:x", "--online-public", "good.pub", "--separate-online-keys"),
            "not both",
        ),
    ],
    ids=["no-public", "no-uri", "absent", "malformed", "unknown-kind", "separate-too"],
)
def test_an_online_key_that_cannot_be_taken_changes_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("key.pub").write_text("no key")
    Path("good.pub").write_text(KeyService().key.keyval["public"])
    assert init(tmp_path, *words) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "mirror").exists()


def test_a_key_service_that_refuses_is_named(service: KeyService) -> None:
    signer = open_signer("awskms:alias/sigmirror", service.key, None)
    service.failing = True
    with pytest.raises(FetchError, match=service.key.keyid):
        sign(Targets(), [signer])


def test_a_key_service_whose_key_is_of_the_wrong_kind_is_refused(service: KeyService) -> None:
    with pytest.raises(Error, match="awskms:alias/sigmirror"):
        open_signer("awskms:alias/sigmirror", generate(PASSPHRASE)[1].public_key, None)
    assert service.asked == []
