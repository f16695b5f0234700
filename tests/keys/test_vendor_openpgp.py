import io
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keys.errors import FormatError, SignatureError, TrustError, UsageError
from keys.model.release import Assurance
from keys.trust.vendor.openpgp import (
    MAX_SIGNATURE_BYTES,
    MAX_SIGNATURES,
    read_certificates,
    verify_openpgp,
)
from keys.trust.vendor.verdict import Verdict
from tests.keys.pgp import Vendor
from tests.real_data import real_data

RULES = b"rule one { condition: true }\n" * 50
VENDOR = Vendor.new()
STRANGER = Vendor.new("Stranger <s@example.org>")
SIGNATURE = VENDOR.sign(RULES)

OLD_FORMAT = 0x88  # the other way to write that a signature of up to 255 bytes follows (§4.2)

gpg = pytest.mark.skipif(
    shutil.which("gpg") is None, reason="gpg is not installed: apt-get install gnupg"
)


def check(
    content: bytes | Path = RULES,
    signature: bytes = SIGNATURE,
    keys: tuple[bytes, ...] = (VENDOR.public,),
    pins: tuple[str, ...] = (VENDOR.fingerprint,),
    at: datetime | None = None,
) -> Verdict:
    source = content if isinstance(content, Path) else io.BytesIO(content)
    return verify_openpgp(source, signature, keys, pins, "rules.yar", at=at)


@pytest.mark.parametrize("armour", [False, True], ids=["binary", "armoured"])
def test_a_signature_by_a_pinned_key_is_accepted_and_names_its_certificate(
    armour: bool, tmp_path: Path
) -> None:
    (path := tmp_path / "rules.yar").write_bytes(RULES)
    before = datetime.now(UTC).replace(microsecond=0)
    signature = VENDOR.sign(RULES, armour=armour)
    for content in (RULES, path):
        verdict = check(content, signature, (VENDOR.armoured,))
        assert verdict.scheme == "openpgp"
        assert verdict.assurance is Assurance.signed
        assert verdict.signer == VENDOR.fingerprint
        assert verdict.signed_at is not None
        assert before <= verdict.signed_at <= datetime.now(UTC)


def test_a_file_that_is_open_is_read_from_its_start_and_stays_open() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(RULES)
        file.flush()
        for _ in range(2):
            verdict = verify_openpgp(
                file, SIGNATURE, [VENDOR.public], [VENDOR.fingerprint], "rules.yar"
            )
            assert verdict.signer == VENDOR.fingerprint
        assert not file.closed


def test_a_pin_may_be_written_with_spaces_and_in_capitals() -> None:
    text = VENDOR.fingerprint.upper()
    spaced = " ".join(text[i : i + 4] for i in range(0, len(text), 4))
    assert check(pins=(spaced,)).signer == VENDOR.fingerprint


@pytest.mark.parametrize("pin", ["8D3F0B1A", "0123456789abcdef", "", "zz" * 20, "ab" * 21])
def test_a_pin_that_is_no_full_fingerprint_is_refused(pin: str) -> None:
    with pytest.raises(UsageError, match="40 or 64 hex digits"):
        check(pins=(pin,))


def test_changed_content_is_refused() -> None:
    with pytest.raises(SignatureError, match=r"rules\.yar: no good OpenPGP signature"):
        check(RULES + b" ")


def test_a_signature_by_another_key_is_refused_and_both_are_named() -> None:
    with pytest.raises(SignatureError, match=VENDOR.fingerprint):
        check(signature=STRANGER.sign(RULES))


def test_a_key_that_is_in_the_file_but_not_pinned_counts_for_nothing() -> None:
    with pytest.raises(SignatureError):
        check(signature=STRANGER.sign(RULES), keys=(VENDOR.public, STRANGER.public))


@pytest.mark.parametrize(
    ("keys", "pins"),
    [
        ((STRANGER.public,), (VENDOR.fingerprint,)),
        ((VENDOR.public,), ()),
        ((), (VENDOR.fingerprint,)),
    ],
    ids=["another key in the file", "nothing pinned", "no file"],
)
def test_without_a_pinned_key_nothing_is_checked(
    keys: tuple[bytes, ...], pins: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError, match="no pinned OpenPGP key"):
        check(keys=keys, pins=pins)


def test_one_of_several_keys_in_one_file_is_found_by_its_pin() -> None:
    both = STRANGER.armoured + VENDOR.armoured
    assert check(keys=(both,)).signer == VENDOR.fingerprint


def test_a_file_signed_by_the_old_and_the_new_key_passes_with_either_pinned() -> None:
    new = Vendor.new("New <new@vendor.example>")
    binary = VENDOR.sign(RULES) + new.sign(RULES)
    armoured = VENDOR.sign(RULES, armour=True) + b"\n" + new.sign(RULES, armour=True)
    keys = (VENDOR.public, new.public)
    for signature in (binary, armoured):
        assert check(signature=signature, keys=keys).signer == VENDOR.fingerprint
        assert check(signature=signature, keys=keys, pins=(new.fingerprint,)).signer == (
            new.fingerprint
        )


def test_a_revoked_key_is_refused() -> None:
    with pytest.raises(SignatureError, match=r"\(revoked\)"):
        check(keys=(VENDOR.revoked(),))


def test_a_copy_of_the_key_without_its_revocation_does_not_help() -> None:
    for keys in ((VENDOR.public, VENDOR.revoked()), (VENDOR.revoked(), VENDOR.public)):
        with pytest.raises(SignatureError):
            check(keys=keys)


def test_a_signature_made_after_its_key_expired_is_refused() -> None:
    with pytest.raises(SignatureError, match="valid until 20"):
        check(signature=VENDOR.sign(RULES), keys=(VENDOR.expired(),))


def test_a_signature_from_the_future_of_the_reference_time_is_refused() -> None:
    now = datetime.now(UTC)
    assert check(at=now + timedelta(minutes=1)).signer == VENDOR.fingerprint
    with pytest.raises(SignatureError):
        check(at=now - timedelta(days=1))


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        b"<html><title>Just a moment...</title></html>",
        VENDOR.public,
        VENDOR.armoured,
        SIGNATURE[:-1],
        SIGNATURE[:1],
        SIGNATURE + b"x",
        SIGNATURE + VENDOR.public,
        VENDOR.sign(RULES, armour=True)[:-40],
        VENDOR.sign(RULES, armour=True) + b"junk",
        SIGNATURE * (MAX_SIGNATURES + 1),
        b"\0" * (MAX_SIGNATURE_BYTES + 1),
    ],
    ids=[
        "empty", "block page", "key", "armoured key", "cut", "one byte", "junk after it",
        "key after it", "cut armour", "junk after armour", "too many", "too large",
    ],
)  # fmt: skip
def test_what_is_no_detached_signature_is_refused(signature: bytes) -> None:
    with pytest.raises(FormatError, match=r"rules\.yar"):
        check(signature=signature)


def test_a_key_file_that_holds_no_key_is_told_by_what_it_is() -> None:
    for data in (b"<html></html>", b"", SIGNATURE):
        with pytest.raises(UsageError, match="key file"):
            check(keys=(data,))


@given(position=st.integers(0, len(RULES) - 1), flip=st.integers(1, 255))
@settings(max_examples=60)
def test_one_changed_byte_of_the_content_is_refused(position: int, flip: int) -> None:
    changed = bytearray(RULES)
    changed[position] ^= flip
    with pytest.raises(SignatureError):
        check(bytes(changed))


def _hint(signature: bytes) -> range:
    """Where a version 4 signature keeps two bytes of the digest, for a quick look (§5.2.3)."""
    body = 2 if signature[1] < 192 else 3
    hashed = int.from_bytes(signature[body + 4 : body + 6], "big")
    unhashed_at = body + 6 + hashed
    unhashed = int.from_bytes(signature[unhashed_at : unhashed_at + 2], "big")
    return range(unhashed_at + 2 + unhashed, unhashed_at + 4 + unhashed)


@given(position=st.integers(0, len(SIGNATURE) - 1), flip=st.integers(1, 255))
@settings(max_examples=200)
def test_one_changed_byte_of_a_signature_is_refused_or_one_that_nobody_signs(
    position: int, flip: int
) -> None:
    changed = bytearray(SIGNATURE)
    changed[position] ^= flip
    if position in _hint(SIGNATURE) or changed[0] == OLD_FORMAT:
        assert check(signature=bytes(changed)) == check()
        return
    with pytest.raises(TrustError):
        check(signature=bytes(changed))


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_refused_and_nothing_else(data: bytes) -> None:
    for signature in (data, b"\x88" + data, b"\xc2" + data, SIGNATURE[:60] + data):
        with pytest.raises(TrustError):
            check(signature=signature)


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gpg-", dir="/tmp") as folder:
        Path(folder).chmod(0o700)
        yield Path(folder)
        subprocess.run(["gpgconf", "--homedir", folder, "--kill", "all"], check=True)


def _gpg(home: Path, *arguments: str) -> bytes:
    command = ["gpg", "--homedir", str(home), "--batch", "--yes", "--passphrase", "", *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


@gpg
@pytest.mark.parametrize("algorithm", ["rsa2048", "ed25519"])
def test_what_gpg_signs_is_accepted(algorithm: str, home: Path, tmp_path: Path) -> None:
    (path := tmp_path / "rules.yar").write_bytes(RULES)
    _gpg(home, "--quick-gen-key", "Vendor <v@example.org>", algorithm, "sign", "1y")
    listing = _gpg(home, "--with-colons", "--list-keys").decode()
    fingerprint = next(line for line in listing.splitlines() if line.startswith("fpr")).split(":")[
        9
    ]
    keys = (_gpg(home, "--export"), _gpg(home, "--armor", "--export"))
    for options in ([], ["--armor"]):
        signature = _gpg(home, *options, "-o", "-", "--detach-sign", str(path))
        for key in keys:
            assert check(path, signature, (key,), (fingerprint,)).signer == fingerprint.lower()
        with pytest.raises(SignatureError):
            check(RULES + b"x", signature, keys, (fingerprint,))


@gpg
@pytest.mark.parametrize(("option", "words"), [("SHA1", "SHA-1"), ("MD5", "MD5")])
def test_a_signature_that_can_be_forged_is_refused_saying_so(
    option: str, words: str, home: Path, tmp_path: Path
) -> None:
    (path := tmp_path / "rules.yar").write_bytes(RULES)
    _gpg(home, "--quick-gen-key", "Vendor <v@example.org>", "rsa2048", "sign", "1y")
    weak = ("--allow-weak-digest-algos", "--digest-algo", option)
    signature = _gpg(home, *weak, "-o", "-", "--detach-sign", str(path))
    key = _gpg(home, "--export")
    (certificate,) = read_certificates(key)
    with pytest.raises(SignatureError, match=f"with {words}, which can be forged"):
        check(path, signature, (key,), (certificate.fingerprint,))


def test_a_genuine_vendors_key_is_read() -> None:
    text = real_data("spamassassin/kam-2026-08-04/KAM_channel.conf").read_bytes()
    (certificate,) = read_certificates(text[text.index(b"-----BEGIN PGP PUBLIC KEY") :])
    assert certificate.fingerprint.upper().endswith("24C063D8")
    with pytest.raises(SignatureError, match="24c063d8"):
        check(keys=(bytes(certificate),), pins=(certificate.fingerprint,))


@gpg
def test_what_gpg_signs_as_text_is_refused(home: Path, tmp_path: Path) -> None:
    (path := tmp_path / "rules.yar").write_bytes(RULES)
    _gpg(home, "--quick-gen-key", "Vendor <v@example.org>", "ed25519", "sign", "1y")
    signature = _gpg(home, "--textmode", "-o", "-", "--detach-sign", str(path))
    with pytest.raises(FormatError, match="something else than a file's bytes"):
        check(path, signature)


@gpg
def test_gpg_accepts_and_refuses_as_we_do(home: Path, tmp_path: Path) -> None:
    (path := tmp_path / "rules.yar").write_bytes(RULES)
    (key := tmp_path / "key").write_bytes(VENDOR.public)
    _gpg(home, "--import", str(key))
    (signature := tmp_path / "rules.yar.sig").write_bytes(SIGNATURE)
    _gpg(home, "--verify", str(signature), str(path))
    path.write_bytes(RULES + b"x")
    with pytest.raises(subprocess.CalledProcessError):
        _gpg(home, "--verify", str(signature), str(path))
