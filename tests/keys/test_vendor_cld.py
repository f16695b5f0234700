"""A .cld, as a host checks it: no signature but that of the .info inside, and yet no free byte."""

import gzip
import io
import tarfile

import pytest

from keys.errors import DigestError, FormatError, SignatureError
from keys.model.release import Assurance
from keys.trust.vendor import blocks
from keys.trust.vendor.cld import verify_cld
from keys.trust.vendor.container import Container
from keys.trust.vendor.cvd import expand_cvd
from tests.clamav_vendor import VENDOR, clamav_tar, issue
from tests.real_data import real_data

DAILY = issue(7, hdb="44d88612fea8a8f36de82e1278abb02f:68:X\n" * 20, ldb="# none\n")
CONTENTS = VENDOR.contents(DAILY)
HEADER = DAILY.header().encode().ljust(512)
FRESHCLAMS = HEADER + clamav_tar(CONTENTS)


def check(data: bytes) -> Container:
    return verify_cld(io.BytesIO(data), "daily.cld", keys=VENDOR.keys)


def expanded(data: bytes) -> bytes:
    target = io.BytesIO()
    expand_cvd(io.BytesIO(data), target, "daily.cvd", keys=VENDOR.keys)
    return target.getvalue()


OURS = expanded(VENDOR.cvd(DAILY))
forms = pytest.mark.parametrize("data", [OURS, FRESHCLAMS], ids=["ours", "freshclam's"])


@pytest.mark.parametrize(
    "name",
    ["bytecode/bytecode-19", "bytecode/bytecode-268", "bytecode/bytecode-333", "testdb/test-1"],
)
def test_what_a_genuine_database_expands_to_holds(name: str) -> None:
    target = io.BytesIO()
    cvd = expand_cvd(real_data(f"clamav/{name}.cvd"), target, name)
    cld = verify_cld(target, name)
    assert (cld.database, cld.version, cld.members) == (cvd.database, cvd.version, cvd.members)
    assert (cld.verdict.scheme, cld.verdict.signer) == ("cld", "ClamAV .info key")
    assert cld.verdict.assurance is Assurance.signed


@forms
def test_a_cld_of_either_form_holds(data: bytes) -> None:
    found = check(data)
    assert (found.database, found.version, found.signatures, found.flevel) == ("daily", 7, 21, 63)
    assert [member.name for member in found.members] == ["daily.hdb", "daily.ldb"]


@forms
def test_a_cld_cut_anywhere_is_refused(data: bytes) -> None:
    for length in (*range(0, len(data), 512), len(data) - 1):
        with pytest.raises((FormatError, DigestError), match=r"^daily\.cld: "):
            check(data[:length])


def test_a_cld_cut_at_a_members_end_names_what_is_missing() -> None:
    for data in (HEADER + clamav_tar(CONTENTS[:3]), OURS[:-2048] + bytes(1024)):
        with pytest.raises(DigestError, match=r"lacks daily\.ldb, which its signed \.info lists"):
            check(data)


@forms
def test_something_behind_a_cld_is_refused(data: bytes) -> None:
    for tail in (b"\0", bytes(512), b"x", OURS[512:1024]):
        with pytest.raises((FormatError, DigestError)):
            check(data + tail)


def test_a_cld_with_an_added_member_is_refused() -> None:
    with pytest.raises(DigestError, match=r"daily\.ign2 was added"):
        check(FRESHCLAMS + clamav_tar([("daily.ign2", b"X\n")]))


def test_a_forged_version_is_refused() -> None:
    with pytest.raises(SignatureError, match=r"its version says 999, the signed \.info says 7"):
        check(OURS.replace(b"+0000:7:", b"+0000:999:", 1)[:512].rstrip().ljust(512) + OURS[512:])


def test_a_tar_written_by_anyone_else_is_refused() -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in CONTENTS:
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), 1
            tar.addfile(member, io.BytesIO(content))
    with pytest.raises(FormatError, match="the header before COPYING is damaged"):
        check(HEADER + packed.getvalue())


def test_the_licence_text_is_guarded_against_damage_in_our_form() -> None:
    with pytest.raises(FormatError, match="COPYING is damaged"):
        check(OURS.replace(b"Free for every use.", b"Free for every abuse"[:19], 1))


def test_a_note_stands_before_the_licence_text_alone() -> None:
    noted = OURS.replace(
        blocks.OURS.block("daily.hdb", len(CONTENTS[2][1]), ""),
        blocks.OURS.block("daily.hdb", len(CONTENTS[2][1]), "f00"),
    )
    with pytest.raises(FormatError, match=r"the header before daily\.hdb is damaged"):
        check(noted)


def test_a_cvd_is_no_cld() -> None:
    with pytest.raises(FormatError, match=r"the header is that of a CVD, not of a \.cld"):
        check(VENDOR.cvd(DAILY))


def test_a_compressed_cld_is_named() -> None:
    with pytest.raises(FormatError, match=r"a compressed \.cld"):
        check(HEADER + gzip.compress(clamav_tar(CONTENTS)))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a .cld but empty"),
        (b"<html><title>Blocked</title>", "not a .cld but an HTML page titled 'Blocked'"),
        (HEADER, "it ends where its signed .info must be"),
        (HEADER + b"{}", "cut off within the header of a member"),
    ],
)
def test_what_is_no_cld_is_named(data: bytes, words: str) -> None:
    with pytest.raises(FormatError) as refused:
        check(data)
    assert words in str(refused.value)
