import contextlib
import hashlib
import io
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import DigestError, FormatError, StateError, TrustError
from keys.model.release import Assurance
from keys.trust.vendor.digest import (
    DIGEST_SCHEMES,
    MAX_SIDECAR_BYTES,
    MAX_SIDECAR_LINES,
    DigestScheme,
    read_sidecar,
    verify_digest,
    verify_size,
)

RULES = b"rule one { condition: true }\n" * 50
OTHER = "0" * 64
SHA256 = hashlib.sha256(RULES).hexdigest()


def check_beside(sidecar: bytes) -> None:
    stated = read_sidecar(sidecar, "sha256", "rules.yar")
    verify_digest(io.BytesIO(RULES), "sha256", stated, "rules.yar")


schemes = pytest.mark.parametrize("scheme", DIGEST_SCHEMES)


def digest(scheme: DigestScheme) -> str:
    return hashlib.new(scheme, RULES).hexdigest()


@schemes
def test_content_with_the_stated_digest_is_accepted(scheme: DigestScheme, tmp_path: Path) -> None:
    (path := tmp_path / "rules.yar").write_bytes(RULES)
    for content in (path, io.BytesIO(RULES)):
        verdict = verify_digest(content, scheme, digest(scheme).upper(), "rules.yar")
        assert (verdict.scheme, verdict.assurance) == (scheme, Assurance.digest)


def test_content_of_the_stated_length_is_accepted_as_no_more_than_that() -> None:
    verdict = verify_size(io.BytesIO(RULES), len(RULES), "rules.yar")
    assert (verdict.scheme, verdict.assurance) == ("size", Assurance.size)
    with pytest.raises(DigestError, match=r"rules\.yar: 1450 bytes, the vendor states 1451"):
        verify_size(io.BytesIO(RULES), len(RULES) + 1, "rules.yar")


def test_a_file_that_cannot_be_read_is_no_refusal(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="No such file"):
        verify_digest(tmp_path / "missing", "sha256", SHA256, "missing")


@pytest.mark.parametrize("text", ["", "zz", SHA256[:-1], SHA256 + "0", SHA256 + "\n", "é" * 64])
def test_an_expectation_that_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(FormatError, match="not a sha256 digest"):
        verify_digest(io.BytesIO(RULES), "sha256", text, "rules.yar")


FORMS = {
    "bare": "{ours}",
    "bare with blanks": "  {ours}  \r\n",
    "coreutils": "{ours}  rules.yar\n",
    "binary": "{ours} *rules.yar\n",
    "one blank": "{ours} rules.yar\n",
    "with folders": "{ours}  ./dist/rules.yar\n",
    "BSD": "{SCHEME} (rules.yar) = {ours}\n",
    "BSD with blanks in the name of a folder": "{SCHEME} (my rules/rules.yar) = {ours}\n",
    "among others": "{other}  a.yar\n{ours}  rules.yar\n{other}  z.yar\n",
    "twice the same": "{ours}  rules.yar\n{ours}  rules.yar\n",
    "capitals": "{OURS}  rules.yar\n",
    "with a comment": "# made today\n\n{ours}  rules.yar\n",
    "byte order mark": "\ufeff{ours}  rules.yar\n",
}


@schemes
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_a_sidecar_is_read(form: str, scheme: DigestScheme) -> None:
    ours = digest(scheme)
    text = form.format(ours=ours, OURS=ours.upper(), other="0" * len(ours), SCHEME=scheme.upper())
    assert read_sidecar(text.encode(), scheme, "rules.yar") == ours


def test_bsd_sidecars_may_write_the_scheme_with_a_hyphen() -> None:
    assert read_sidecar(f"SHA-256 (rules.yar) = {SHA256}".encode(), "sha256", "rules.yar") == SHA256


def test_a_list_of_a_whole_tree_is_asked_for_a_whole_path() -> None:
    tree = f"{SHA256}  kam/new/KAM.cf\n{OTHER}  kam/old/KAM.cf\n".encode()
    assert read_sidecar(tree, "sha256", "/srv/kam/new/KAM.cf") == SHA256
    assert read_sidecar(tree, "sha256", "old/KAM.cf") == OTHER
    with pytest.raises(FormatError, match="2 different digests"):
        read_sidecar(tree, "sha256", "KAM.cf")
    with pytest.raises(FormatError, match="other files"):
        read_sidecar(tree, "sha256", "kam/newest/KAM.cf")


def test_a_name_with_blanks_and_signs_is_found() -> None:
    name = "règles (2) = x.yar"
    for text in (f"{SHA256}  {name}\n", f"SHA256 ({name}) = {SHA256}\n"):
        assert read_sidecar(text.encode(), "sha256", name) == SHA256


REFUSED = {
    "empty": ("", "sha256 sidecar of rules.yar: not one but"),
    "a block page": ("<html><title>Attention Required</title></html>", "web page|HTML|block page"),
    "a pointer of git LFS": (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{SHA256}\nsize 3\n",
        "LFS",
    ),
    "another file's": (f"{OTHER}  other.yar\n", r"speaks of other files, not of rules\.yar"),
    "one whose name only ends like ours": (f"{OTHER}  more-rules.yar\n", "other files"),
    "two different digests": (f"{SHA256}  rules.yar\n{OTHER}  rules.yar\n", "2 different digests"),
    "several bare digests": (f"{SHA256}\n{OTHER}\n", "not each has a name"),
    "another scheme's": ("d41d8cd98f00b204e9800998ecf8427e  rules.yar\n", "not one but"),
    "another scheme's by its word": (f"SHA512 (rules.yar) = {SHA256}\n", "not one but"),
    "a line among others that is none": (f"{SHA256}  rules.yar\nhello\n", "not one but"),
    "too many lines": (f"{OTHER}  x\n" * (MAX_SIDECAR_LINES + 1), "MAX_SIDECAR_LINES"),
    "too large": (" " * (MAX_SIDECAR_BYTES + 1), "MAX_SIDECAR_BYTES"),
}


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED)
def test_what_states_no_digest_of_ours_is_refused_by_what_it_is(text: str, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        read_sidecar(text.encode(), "sha256", "rules.yar")


def test_a_sidecar_that_is_no_text_is_refused() -> None:
    with pytest.raises(FormatError, match="not one but"):
        read_sidecar(b"\xff\xfe\x00\x80", "sha256", "rules.yar")


@schemes
@given(position=st.integers(0, len(RULES) - 1), flip=st.integers(1, 255))
def test_one_changed_byte_of_the_content_is_refused(
    scheme: DigestScheme, position: int, flip: int
) -> None:
    changed = bytearray(RULES)
    changed[position] ^= flip
    with pytest.raises(DigestError, match=r"rules\.yar"):
        verify_digest(io.BytesIO(bytes(changed)), scheme, digest(scheme), "rules.yar")


@given(position=st.integers(0, 63), flip=st.integers(1, 255))
def test_one_changed_byte_of_a_stated_digest_is_refused(position: int, flip: int) -> None:
    line = bytearray(f"{SHA256}  rules.yar\n".encode())
    line[position] ^= flip
    if bytes(line).lower() == f"{SHA256}  rules.yar\n".encode():  # the same digit in capitals
        return
    with pytest.raises(TrustError):
        check_beside(bytes(line))


@given(st.binary(max_size=300))
def test_arbitrary_bytes_give_a_digest_or_are_refused(data: bytes) -> None:
    with contextlib.suppress(FormatError):
        assert len(read_sidecar(data, "md5", "rules.yar")) == 32


coreutils = pytest.mark.skipif(
    shutil.which("sha256sum") is None,
    reason="sha256sum is not installed: apt-get install coreutils",
)


@coreutils
@pytest.mark.parametrize("options", [[], ["--binary"], ["--tag"]], ids=["plain", "binary", "tag"])
@schemes
def test_what_the_sum_programs_write_is_read(
    scheme: DigestScheme, options: list[str], tmp_path: Path
) -> None:
    names = ["a.yar", "rules.yar", "with blank.yar"]
    for name in names:
        (tmp_path / name).write_bytes(name.encode() if name != "rules.yar" else RULES)
    done = subprocess.run(
        [f"{scheme}sum", *options, *names], cwd=tmp_path, check=True, capture_output=True
    )
    for name in names:
        stated = read_sidecar(done.stdout, scheme, name)
        verify_digest(tmp_path / name, scheme, stated, name)
