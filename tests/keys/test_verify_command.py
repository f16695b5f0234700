"""`sigkeys verify` on genuine files and on what is passed off as such."""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from minisign import KeyPair

from keys import console
from keys.cli import sigkeys
from keys.trust.vendor.cvd import expand_cvd
from tests.keys.pgp import Vendor
from tests.real_data import real_data

GENUINE = [
    *(f"clamav/testdb/test-{number}.cvd" for number in (1, 2, 3)),
    *(f"clamav/testdb/test-{number}.cdiff" for number in (2, 3)),
    *(f"clamav/bytecode/bytecode-{version}.cvd" for version in (19, 268, 333)),
    "clamav/cdiff/daily-25784.cdiff",
    "clamav/daily-15669-unpacked/daily.info",
]
RULES = b"rule one { condition: true }\n"
AT = "2026-03-01"
VENDOR = Vendor.new()
PAIR = KeyPair.generate()


class Shell:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def types(self, *words: str | Path, code: int = 0) -> str:
        found = console.exit_code(
            sigkeys, program="sigkeys", arguments=["verify", *(str(word) for word in words)]
        )
        output = self._capsys.readouterr()
        assert found == code, output
        return output.out + output.err

    def asks(self, *words: str | Path, code: int = 0) -> Any:
        return json.loads(self.types(*words, "--json", code=code))

    def write(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return path


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, capsys)


@pytest.fixture
def roots(tmp_path: Path) -> Path:
    return certificates(tmp_path / "roots", "clamav-test-root.crt")


def certificates(folder: Path, name: str) -> Path:
    folder.mkdir()
    (folder / name).write_bytes(real_data(f"clamav/certs/{name}").read_bytes())
    return folder


# -- genuine files --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GENUINE, ids=[name.rpartition("/")[2] for name in GENUINE])
def test_every_genuine_file_verifies(name: str, shell: Shell) -> None:
    (row,) = shell.asks(real_data(name))
    assert (row["assurance"], row["refused"]) == ("signed", "")
    check = row["checks"][0]
    assert check["scheme"] == name.rpartition(".")[2]
    assert "ClamAV" in check["signer"]


def test_every_unpacked_member_verifies_by_the_signed_list_beside_it(shell: Shell) -> None:
    folder = real_data("clamav/daily-15669-unpacked")
    members = sorted(path for path in folder.iterdir() if path.suffix != ".info")
    rows = shell.asks(*members)
    assert len(rows) == 17
    assert {check["by"] for row in rows for check in row["checks"]} == {"daily.info"}
    assert {row["assurance"] for row in rows} == {"signed"}


def test_scheme_signer_version_and_counts_are_told(shell: Shell) -> None:
    told = shell.types(real_data("clamav/bytecode/bytecode-333.cvd"))
    for words in ("signed (cvd)", "version 333", "92 signatures", "made 2021-03-08"):
        assert words in told


def test_every_sign_file_verifies_with_the_certificates_named(shell: Shell, roots: Path) -> None:
    files = sorted(real_data("clamav/testdb").iterdir())
    rows = shell.asks(*files, "--certificates", roots, "--require", "both", "--at", AT)
    assert len(rows) == 10
    schemes = {check["scheme"] for row in rows for check in row["checks"]}
    assert schemes == {"cvd", "cdiff", "clamsign"}
    assert all("ClamAV TEST" in row["checks"][-1]["signer"] for row in rows)


@pytest.mark.parametrize("day", ["26", "29"])
def test_sign_files_of_another_folder_verify_when_they_are_named(
    day: str, shell: Shell, tmp_path: Path
) -> None:
    name = {"26": "clamav-test-root-and-intermediate-2025-03-26.crt"}.get(
        day, "clamav-test-root.crt"
    )
    roots = certificates(tmp_path / "roots", name)
    signs = sorted(real_data(f"clamav/testdb-sign-2025-03-{day}").iterdir())
    for sign in signs:
        whole = real_data(f"clamav/testdb/{sign.name.removesuffix('.sign')}")
        words = (whole, "--sign", sign, "--certificates", roots, "--at", AT)
        (row,) = shell.asks(*words, "--require", "both")
        assert row["checks"][1]["by"] == sign.name


def test_the_canonical_cld_of_a_genuine_cvd_verifies(shell: Shell) -> None:
    (row,) = shell.asks(shell.write("test.cld", canonical("clamav/testdb/test-3.cvd")))
    assert (row["checks"][0]["scheme"], row["checks"][0]["signatures"]) == ("cld", 11)


def test_a_database_under_another_name_is_known_by_how_it_begins(shell: Shell) -> None:
    cvd = real_data("clamav/testdb/test-3.cvd").read_bytes()
    files = {
        "one.bin": cvd,
        "two.bin": canonical("clamav/testdb/test-3.cvd"),
        "three.bin": real_data("clamav/testdb/test-3.cdiff").read_bytes(),
    }
    rows = shell.asks(*(shell.write(name, data) for name, data in files.items()))
    assert [row["checks"][0]["scheme"] for row in rows] == ["cvd", "cld", "cdiff"]


def test_a_versioned_sign_file_beside_a_database_is_found(shell: Shell, roots: Path) -> None:
    database = shell.write("test.cvd", real_data("clamav/testdb/test-3.cvd").read_bytes())
    sign = real_data("clamav/testdb/test-3.cvd.sign").read_bytes()
    beside = shell.write("test-3.cvd.sign", sign)
    words = ("--certificates", roots, "--require", "sign", "--at", AT)
    rows = shell.asks(database, beside, *words)
    assert [row["checks"][-1]["by"] for row in rows] == ["test-3.cvd.sign"] * 2


# -- what is passed off as genuine ----------------------------------------------------------------


def canonical(name: str) -> bytes:
    target = io.BytesIO()
    expand_cvd(io.BytesIO(real_data(name).read_bytes()), target, name)
    return target.getvalue()


def blocks(data: bytes) -> list[bytes]:
    """Cut a .cld behind each of its members."""
    with tarfile.open(fileobj=io.BytesIO(data[512:])) as tar:
        ends = [m.offset_data + -(-m.size // 512) * 512 for m in tar.getmembers()]
    starts = [0, *ends[:-1]]
    return [data[512 + start : 512 + end] for start, end in zip(starts, ends, strict=True)]


def cld(data: bytes, members: Iterable[bytes]) -> bytes:
    return data[:512] + b"".join(members) + bytes(1024)


def forged() -> dict[str, tuple[str, bytes, str]]:
    cvd = real_data("clamav/bytecode/bytecode-333.cvd").read_bytes()
    whole = canonical("clamav/testdb/test-3.cvd")
    parts = blocks(whole)
    flipped = bytes([*parts[-1][:512], parts[-1][512] ^ 1, *parts[-1][513:]])
    extra = blocks(canonical("clamav/bytecode/bytecode-19.cvd"))[-1]
    cdiff = real_data("clamav/cdiff/daily-25784.cdiff").read_bytes()
    page = b"<!DOCTYPE html><title>Attention Required! | Cloudflare</title>"
    return {
        "page": ("daily.cvd", page, "an HTML page titled 'Attention Required! | Cloudflare'"),
        "pointer": (
            "main.cvd",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "a git LFS pointer",
        ),
        "empty": ("daily.cld", b"", "empty (0 bytes)"),
        "version": ("bytecode.cvd", cvd.replace(b":333:", b":999:", 1), "forged header"),
        "cut cvd": ("bytecode.cvd", cvd[:-4000], "bytecode.cvd: "),
        "cut at a member": ("test.cld", cld(whole, parts[:-1]), "lacks"),
        "dropped member": ("test.cld", cld(whole, [*parts[:2], *parts[3:]]), "lacks"),
        "added member": ("test.cld", cld(whole, [*parts, extra]), "was added"),
        "flipped": ("test.cld", cld(whole, [*parts[:-1], flipped]), "the signed .info says"),
        "cut cdiff": ("daily-25784.cdiff", cdiff[:-20], "daily-25784.cdiff: "),
        "json": ("daily.cvd", b'{"error": "rate limited"}', "JSON"),
    }


@pytest.mark.parametrize(
    "case",
    [
        "page", "pointer", "empty", "version", "cut cvd", "cut at a member", "dropped member",
        "added member", "flipped", "cut cdiff", "json",
    ],
)  # fmt: skip
def test_what_is_passed_off_is_refused_by_what_it_is(case: str, shell: Shell) -> None:
    name, data, words = forged()[case]
    told = shell.types(shell.write(name, data), code=3)
    assert "REFUSED" in told
    assert words in told


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("clamav/not-a-database/daily.cvd", "an HTML page titled 'Attention Required!"),
        ("clamav/not-a-database/main.cvd", "a git LFS pointer instead of the file"),
        ("clamav/cdiff/daily-25784-signature-fail.cdiff", "signature"),
    ],
)
def test_every_bad_file_of_the_set_is_refused(name: str, words: str, shell: Shell) -> None:
    assert words in shell.types(real_data(name), code=3)


def test_a_stripped_sign_file_is_missed_where_it_is_demanded(shell: Shell, roots: Path) -> None:
    data = real_data("clamav/testdb/test-3.cvd").read_bytes()
    path = shell.write("test-3.cvd", data)
    shell.types(path, "--certificates", roots)
    told = shell.types(path, "--certificates", roots, "--require", "sign", code=3)
    assert "there is no .sign file" in told


def test_a_sign_file_that_does_not_hold_refuses_what_the_older_signature_passes(
    shell: Shell, roots: Path
) -> None:
    path = shell.write("test-3.cvd", real_data("clamav/testdb/test-3.cvd").read_bytes())
    shell.write("test-3.cvd.sign", real_data("clamav/testdb/test-2.cvd.sign").read_bytes())
    told = shell.types(path, "--certificates", roots, "--at", AT, code=3)
    assert "of another content" in told
    shell.types(path)


def test_certificates_are_judged_at_the_time_named(shell: Shell, roots: Path) -> None:
    path = real_data("clamav/testdb/test-3.cvd")
    shell.types(path, "--certificates", roots, "--at", "2027-03-01T12:00:00Z")
    told = shell.types(path, "--certificates", roots, "--at", "2027-04-01", code=3)
    assert "not valid on 2027-04-01" in told


def test_a_member_changed_since_it_was_unpacked_is_refused(shell: Shell) -> None:
    folder = real_data("clamav/daily-15669-unpacked")
    shell.write("daily.info", (folder / "daily.info").read_bytes())
    path = shell.write("daily.db", (folder / "daily.db").read_bytes() + b"\n")
    assert "daily.db is 25088 bytes" in shell.types(path, code=3)


# -- other vendors' sidecars ----------------------------------------------------------------------


def test_a_signature_beside_a_file_is_checked_with_the_key_named(shell: Shell) -> None:
    path = shell.write("rules.yar", RULES)
    shell.write("rules.yar.asc", VENDOR.sign(RULES, armour=True))
    key = shell.write("vendor.asc", VENDOR.armoured)
    (row,) = shell.asks(path, "--key", key, "--fingerprint", VENDOR.fingerprint)
    (check,) = row["checks"]
    assert (check["scheme"], check["signer"]) == ("openpgp", VENDOR.fingerprint)
    told = shell.types(path, "--key", key, code=2)
    assert f"in the key files {VENDOR.fingerprint}" in told


@pytest.mark.parametrize("by", ["file", "line"])
def test_a_minisign_key_is_a_file_or_a_line(by: str, shell: Shell) -> None:
    path = shell.write("rules.yar", RULES)
    signature = PAIR.secret_key.sign(RULES, trusted_comment="timestamp:1700000000\tfile:rules.yar")
    shell.write("rules.yar.minisig", bytes(signature) + b"\n")
    key = shell.write("vendor.pub", bytes(PAIR.public_key))
    word = key if by == "file" else str(PAIR.public_key.to_base64(), "ascii")
    told = shell.types(path, "--key", word)
    assert "signed (minisign)" in told
    assert "made 2023-11-14" in told
    assert "file:rules.yar" in told


def test_every_sidecar_has_to_hold(shell: Shell) -> None:
    path = shell.write("rules.yar", RULES)
    shell.write("rules.yar.sha256", f"{hashlib.sha256(RULES).hexdigest()}  rules.yar\n".encode())
    (row,) = shell.asks(path)
    assert row["assurance"] == "digest"
    shell.write("rules.yar.md5", b"0" * 32)
    assert "md5 is" in shell.types(path, code=3)


def test_a_sidecar_given_as_a_file_is_checked_with_the_file_it_is_of(shell: Shell) -> None:
    shell.write("rules.yar", RULES)
    sidecar = shell.write("rules.yar.sha512", hashlib.sha512(RULES).hexdigest().encode())
    assert "digest (sha512), in rules.yar.sha512" in shell.types(sidecar)
    lonely = shell.write("gone.yar.sha512", sidecar.read_bytes())
    assert "gone.yar, is not there" in shell.types(lonely, code=3)


def test_the_list_of_a_whole_tree_vouches_for_files_in_it(shell: Shell) -> None:
    """The genuine data set brings such a list."""
    listed = real_data("SHA256SUMS")
    files = [real_data(f"spamassassin/kam-2026-08-0{day}/KAM.cf") for day in (1, 4)]
    rows = shell.asks(*files, "--sign", listed)
    assert [row["assurance"] for row in rows] == ["digest", "digest"]


def test_a_file_nothing_vouches_for_is_told_as_such(shell: Shell) -> None:
    path = shell.write("rules.yar", RULES)
    told = shell.types(path, code=3)
    assert "nothing vouches for it (it is text beginning 'rule one" in told
    (row,) = shell.asks(path, "--allow-unsigned")
    assert (row["assurance"], row["refused"]) == ("none", "")


def test_a_signature_without_a_key_for_it_is_told_and_counts_for_nothing(shell: Shell) -> None:
    path = shell.write("rules.yar", RULES)
    shell.write("rules.yar.asc", VENDOR.sign(RULES, armour=True))
    assert "rules.yar.asc could not be checked" in shell.types(path, code=3)
    shell.write("rules.yar.md5", hashlib.md5(RULES, usedforsecurity=False).hexdigest().encode())
    told = shell.types(path)
    assert "digest (md5)" in told
    assert "rules.yar.asc was not checked" in told


def test_a_named_file_that_is_no_sidecar_is_refused_by_what_it_is(shell: Shell) -> None:
    path, page = shell.write("rules.yar", RULES), shell.write("answer", b"<html></html>")
    told = shell.types(path, "--sign", page, code=3)
    assert "not a signature or checksum but an HTML page" in told


def test_all_files_are_reported_though_one_is_refused(shell: Shell) -> None:
    good, bad = real_data("clamav/testdb/test-3.cvd"), shell.write("daily.cvd", b"no")
    rows = shell.asks(bad, good, shell.folder / "missing.cvd", code=3)
    assert [bool(row["refused"]) for row in rows] == [True, False, True]
    assert [row["exit_code"] for row in rows] == [3, 0, 1]


def test_a_file_that_cannot_be_read_is_no_refusal(shell: Shell) -> None:
    assert "No such file" in shell.types(shell.folder / "missing.cvd", code=1)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--require", "sign"), "--require sign needs --certificates"),
        (("--fingerprint", "1A2B3C4D"), "not 40 or 64 hex digits"),
        (("--key", "missing.asc"), "No such file"),
        (("--at", "yesterday"), "yesterday"),
    ],
)
def test_what_cannot_be_followed_is_said_before_anything_is_verified(
    words: tuple[str, ...], told: str, shell: Shell
) -> None:
    assert told in shell.types(shell.write("rules.yar", RULES), *words, code=2)


def test_a_key_file_that_holds_no_key_is_refused_by_what_it_is(shell: Shell) -> None:
    key = shell.write("vendor.asc", b"<html><title>Not found</title></html>")
    told = shell.types(shell.write("rules.yar", RULES), "--key", key, code=2)
    assert "an HTML page titled 'Not found'" in told
