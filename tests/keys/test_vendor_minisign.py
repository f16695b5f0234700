import base64
import io
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from minisign import KeyPair

from keys.errors import FormatError, SignatureError, TrustError, UsageError
from keys.model.release import Assurance
from keys.trust.vendor import minisign
from keys.trust.vendor.minisign import verify_minisign
from keys.trust.vendor.verdict import Verdict

RULES = b"rule one { condition: true }\n" * 50
PAIR, STRANGER = KeyPair.generate(), KeyPair.generate()
COMMENT = "timestamp:1700000000\tfile:rules.yar\thashed"


def sign(pair: KeyPair = PAIR, *, prehash: bool = True, content: bytes = RULES) -> bytes:
    signature = pair.secret_key.sign(content, prehash=prehash, trusted_comment=COMMENT)
    return bytes(signature) + b"\n"


def public(pair: KeyPair = PAIR) -> str:
    return str(pair.public_key.to_base64(), "ascii")


def check(
    content: bytes = RULES, signature: bytes | None = None, keys: tuple[bytes | str, ...] = ()
) -> Verdict:
    signature = sign() if signature is None else signature
    return verify_minisign(io.BytesIO(content), signature, keys or (public(),), "rules.yar")


program = pytest.mark.skipif(
    shutil.which("minisign") is None, reason="minisign is not installed: apt-get install minisign"
)


@pytest.mark.parametrize("prehash", [True, False], ids=["prehashed", "legacy"])
def test_a_signature_is_accepted_and_its_trusted_comment_returned(
    prehash: bool, tmp_path: Path
) -> None:
    (path := tmp_path / "rules.yar").write_bytes(RULES)
    verdict = verify_minisign(path, sign(prehash=prehash), [public()], "rules.yar")
    assert verdict.scheme == "minisign"
    assert verdict.assurance is Assurance.signed
    assert verdict.comment == COMMENT
    assert verdict.signed_at == datetime.fromtimestamp(1700000000, UTC)


@pytest.mark.parametrize(
    "key",
    [public(), public().encode() + b"\n", bytes(PAIR.public_key), bytes(PAIR.public_key) + b"\r\n"],
    ids=["line", "line of a file", "pub file", "pub file with CRLF"],
)
def test_a_key_is_the_line_or_the_pub_file(key: bytes | str) -> None:
    assert check(keys=(public(STRANGER), key)).assurance is Assurance.signed


@pytest.mark.parametrize(
    "key",
    ["", "RWabc", b"<html></html>", public()[:-4], "a\nb\nc"],
    ids=["empty", "short", "page", "cut", "three lines"],
)
def test_what_is_no_key_is_refused(key: bytes | str) -> None:
    with pytest.raises(UsageError, match="not a minisign public key"):
        check(keys=(key,))


def test_without_a_key_nothing_is_checked() -> None:
    with pytest.raises(UsageError, match=r"rules\.yar: no minisign public key"):
        verify_minisign(io.BytesIO(RULES), sign(), [], "rules.yar")


def test_a_signature_by_another_key_is_refused_and_both_are_named() -> None:
    ids = {minisign.key_id(pair.public_key) for pair in (PAIR, STRANGER)}
    with pytest.raises(SignatureError) as refused:
        check(signature=sign(STRANGER))
    assert all(one in str(refused.value) for one in ids)


def test_another_key_that_claims_the_id_is_refused() -> None:
    forged = base64.b64decode(public())[:10] + base64.b64decode(public(STRANGER))[10:]
    with pytest.raises(SignatureError, match="does not fit"):
        check(keys=(base64.b64encode(forged),))


def test_a_trusted_comment_of_another_signature_is_refused() -> None:
    other = PAIR.secret_key.sign(RULES, trusted_comment="file:other").trusted_comment
    changed = sign().replace(COMMENT.encode(), other.encode())
    with pytest.raises(SignatureError, match="does not fit"):
        check(signature=changed)


def test_a_legacy_signature_of_a_huge_file_is_refused_by_its_limit(tmp_path: Path) -> None:
    with (path := tmp_path / "huge").open("wb") as file:
        file.truncate(minisign.MAX_LEGACY_BYTES + 1)
    with pytest.raises(SignatureError, match="MAX_LEGACY_BYTES"):
        verify_minisign(path, sign(prehash=False), [public()], "huge")


@pytest.mark.parametrize(
    "data",
    [b"", b"<html>blocked</html>", bytes(PAIR.public_key), sign()[:-9], sign() * 2, b"\0" * 20_000],
    ids=["empty", "block page", "key", "cut", "two", "too large"],
)
def test_what_is_no_signature_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match=r"rules\.yar"):
        check(signature=data)


@given(position=st.integers(0, len(RULES) - 1), flip=st.integers(1, 255))
def test_one_changed_byte_of_the_content_is_refused(position: int, flip: int) -> None:
    changed = bytearray(RULES)
    changed[position] ^= flip
    for signature in (sign(), sign(prehash=False)):
        with pytest.raises(SignatureError):
            check(bytes(changed), signature)


@given(data=st.data(), flip=st.integers(1, 255))
@settings(max_examples=300)
def test_one_changed_byte_of_a_signature_is_refused_beyond_its_untrusted_comment(
    data: st.DataObject, flip: int
) -> None:
    whole = sign()
    first = whole.index(b"\n")
    changed = bytearray(whole)
    changed[data.draw(st.integers(first, len(whole) - 1))] ^= flip
    with pytest.raises(TrustError):
        check(signature=bytes(changed))


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_and_nothing_else(data: bytes) -> None:
    first = sign().splitlines(keepends=True)[0]
    for signature in (data, first + data):
        with pytest.raises(TrustError):
            check(signature=signature)


@program
@pytest.mark.parametrize("mode", [["-H"], ["-l"]], ids=["prehashed", "legacy"])
def test_what_minisign_signs_is_accepted_under_the_id_it_shows(
    mode: list[str], tmp_path: Path
) -> None:
    (path := tmp_path / "rules.yar").write_bytes(RULES)
    secret, pub = tmp_path / "key", tmp_path / "key.pub"
    subprocess.run(
        ["minisign", "-G", "-W", "-p", pub, "-s", secret], check=True, capture_output=True
    )
    subprocess.run(
        ["minisign", "-S", *mode, "-s", secret, "-m", path, "-t", "from the vendor"],
        check=True,
        capture_output=True,
    )
    signature = path.with_name("rules.yar.minisig").read_bytes()
    verdict = verify_minisign(path, signature, [pub.read_bytes()], "rules.yar")
    assert verdict.comment == "from the vendor"
    assert verdict.signer in pub.read_text().splitlines()[0]
    path.write_bytes(RULES + b"x")
    with pytest.raises(SignatureError):
        verify_minisign(path, signature, [pub.read_bytes()], "rules.yar")
