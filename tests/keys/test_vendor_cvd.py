"""CVDs: genuine ones hold and expand; whatever else there is is refused and named."""

import gzip
import io
import tarfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keys.errors import DigestError, Error, FormatError, LimitError, SignatureError
from keys.model.release import Assurance
from keys.trust.vendor import container, cvd
from keys.trust.vendor.container import Container
from keys.trust.vendor.cvd import expand_cvd, verify_cvd
from tests.clamav_vendor import VENDOR, Issue, block, clamav_tar, issue
from tests.real_data import real_data

GENUINE = (
    ("bytecode/bytecode-19", ("bytecode", 19, 3, 51, 4)),
    ("bytecode/bytecode-268", ("bytecode", 268, 47, 63, 49)),
    ("bytecode/bytecode-333", ("bytecode", 333, 92, 63, 95)),
    ("testdb/test-1", ("test", 1, 0, 81, 2)),
    ("testdb/test-2", ("test", 2, 0, 81, 2)),
    ("testdb/test-3", ("test", 3, 11, 81, 18)),
)
genuine = pytest.mark.parametrize(("name", "said"), GENUINE, ids=[name for name, _ in GENUINE])

LINE = "44d88612fea8a8f36de82e1278abb02f:68:Eicar-Test-Signature\n"
DAILY = issue(7, hdb=LINE * 20, ndb="Bench:0:*:61626364\n", ldb="# none\n")


def check(data: bytes, name: str = "daily.cvd") -> Container:
    return verify_cvd(io.BytesIO(data), name, keys=VENDOR.keys)


def expand(data: bytes) -> bytes:
    target = io.BytesIO()
    expand_cvd(io.BytesIO(data), target, "daily.cvd", keys=VENDOR.keys)
    return target.getvalue()


def refusal(data: bytes) -> Error:
    """Refuse bytes in both ways, in the same words."""
    with pytest.raises(Error) as verified:
        check(data)
    with pytest.raises(Error) as expanded:
        expand(data)
    assert str(verified.value) == str(expanded.value)
    assert type(verified.value) is type(expanded.value)
    assert str(verified.value).startswith("daily.cvd: ")
    return verified.value


# -- genuine ones -----------------------------------------------------------------------------


@genuine
def test_a_genuine_database_holds(name: str, said: tuple[object, ...]) -> None:
    found = verify_cvd(real_data(f"clamav/{name}.cvd"), name)
    counted = len(found.members)
    assert (found.database, found.version, found.signatures, found.flevel, counted) == said
    verdict = found.verdict
    assert (verdict.scheme, verdict.assurance) == ("cvd", Assurance.signed)
    assert (verdict.version, verdict.signatures) == (str(found.version), found.signatures)
    assert verdict.signer == "ClamAV database key"
    assert verdict.signed_at == found.built


@genuine
def test_a_genuine_database_expands_to_its_members(name: str, said: tuple[object, ...]) -> None:
    path, target = real_data(f"clamav/{name}.cvd"), io.BytesIO()
    expanded = expand_cvd(path, target, name)
    assert expanded == verify_cvd(path, name)
    assert unpacked(target.getvalue()) == unpacked_by_hand(path.read_bytes())
    assert said[0] == expanded.database


def unpacked(cld: bytes) -> list[tuple[str, bytes]]:
    """Read a .cld by a tar reader of its own."""
    with tarfile.open(fileobj=io.BytesIO(cld[512:]), mode="r:") as tar:
        return [(one.name, tar.extractfile(one).read()) for one in tar]  # type: ignore[union-attr] # all are files


def unpacked_by_hand(data: bytes) -> list[tuple[str, bytes]]:
    """Read what ClamAV packed, which no tar reader takes whole: it has no end."""
    return unpacked(data[:512] + gzip.decompress(data[512:]) + bytes(1024))


def test_when_a_database_was_built_is_what_its_header_says() -> None:
    built = verify_cvd(real_data("clamav/testdb/test-3.cvd"), "test-3").built
    assert built == datetime(2021, 6, 23, 0, 40, 9, tzinfo=UTC)


# -- the canonical .cld -----------------------------------------------------------------------


def test_the_same_database_packed_otherwise_expands_to_the_same_bytes() -> None:
    plain = clamav_tar(VENDOR.contents(DAILY))
    assert expand(VENDOR.cvd(DAILY)) == expand(VENDOR.packed(DAILY, ustar(DAILY)))
    slow = VENDOR.sealed(DAILY, gzip.compress(plain, 1, mtime=1))
    assert expand(VENDOR.cvd(DAILY)) == expand(slow)


def ustar(one: Issue) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in VENDOR.contents(one):
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode, member.uname = len(content), 9, 0o600, "me"
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def test_a_cld_begins_with_the_first_line_of_the_info_and_says_nothing_else_of_its_making() -> None:
    data = expand(VENDOR.cvd(DAILY))
    first = VENDOR.info(DAILY).partition(b"\n")[0]
    assert data[:512] == first.ljust(512)
    with tarfile.open(fileobj=io.BytesIO(data[512:]), mode="r:") as tar:
        for one in tar:
            assert (one.mode, one.uid, one.gid, one.mtime) == (0o644, 0, 0, 0)
            assert (one.uname, one.gname, one.type) == ("", "", b"0")
    assert data.endswith(bytes(1024))
    assert [name for name, _ in unpacked(data)] == [name for name, _ in VENDOR.contents(DAILY)]


def test_a_database_without_copying_is_taken() -> None:
    tar = clamav_tar(VENDOR.contents(DAILY)[1:])
    assert check(VENDOR.packed(DAILY, tar)).version == 7


# -- not a database ---------------------------------------------------------------------------

NOT_DATABASES = {
    "empty": (b"", "not a CVD but empty (0 bytes)"),
    "json": (b'{"error": "not found"}', "not a CVD but JSON: "),
    "gzip": (gzip.compress(b"x", mtime=0), "not a CVD but gzip data"),
    "cdiff": (VENDOR.cdiff(2, b"OPEN a.hdb\nCLOSE\n"), "not a CVD but a ClamAV cdiff"),
    "a header only begun": (b"ClamAV-VDB:", "cut off within its header, after 11 bytes"),
    "zeros": (bytes(9000), "not a CVD but nothing but zero bytes"),
    "a header of words": (b"ClamAV-VDB:no".ljust(512), "its header is malformed"),
    "an unsigned container": (
        DAILY.header("0" * 32, "X").encode().ljust(512) + b"\x1f\x8b",
        "a ClamAV database without a signature, not a CVD",
    ),
}


@pytest.mark.parametrize(("data", "words"), NOT_DATABASES.values(), ids=NOT_DATABASES.keys())
def test_what_is_no_database_is_named(data: bytes, words: str) -> None:
    error = refusal(data)
    assert isinstance(error, FormatError)
    assert words in str(error)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("daily.cvd", "daily.cvd: not a CVD but an HTML page titled 'Attention Required!"),
        ("main.cvd", "main.cvd: not a CVD but a git LFS pointer instead of the file"),
    ],
)
def test_what_a_user_saved_as_a_database_is_named(name: str, words: str) -> None:
    with pytest.raises(FormatError) as refused:
        verify_cvd(real_data(f"clamav/not-a-database/{name}"), name)
    assert str(refused.value).startswith(words)


def test_a_cld_is_no_cvd() -> None:
    assert "without a signature" in str(refusal(expand(VENDOR.cvd(DAILY))))


# -- attacks ----------------------------------------------------------------------------------


def test_a_header_with_another_version_is_refused_though_md5_and_signature_hold() -> None:
    data = real_data("clamav/bytecode/bytecode-333.cvd").read_bytes()
    forged = data.replace(b"-0500:333:92", b"-0500:999:92", 1)
    with pytest.raises(SignatureError, match=r"forged header: its version says 999, .* says 333"):
        verify_cvd(io.BytesIO(forged), "bytecode.cvd")


@pytest.mark.parametrize(
    ("forged", "words"),
    [
        (replace(DAILY, version=999), "version says 999, the signed .info says 7"),
        (replace(DAILY, signatures=5), "signatures says 5, the signed .info says 22"),
        (replace(DAILY, flevel=1), "flevel says 1, the signed .info says 63"),
        (replace(DAILY, built=datetime(2026, 4, 1, tzinfo=UTC)), "built says 2026-04-01"),
    ],
    ids=["version", "count", "flevel", "date"],
)
def test_a_header_that_says_something_else_than_the_info_is_refused(
    forged: Issue, words: str
) -> None:
    error = refusal(VENDOR.packed(forged, clamav_tar(VENDOR.contents(DAILY))))
    assert isinstance(error, SignatureError)
    assert words in str(error)


@pytest.mark.parametrize(
    ("old", "new"),
    [(b":tester:", b":hunter:"), (b"19-00 +", b"19-01 +"), (b"19-00 +", b"19-00 -")],
    ids=["builder", "time", "zone"],
)
def test_the_words_of_a_header_are_covered_too(old: bytes, new: bytes) -> None:
    data = VENDOR.cvd(DAILY)
    assert old in data
    assert "its line says" in str(refusal(data.replace(old, new, 1)))


def test_a_dropped_member_is_refused_although_clamav_does_not_notice() -> None:
    contents = VENDOR.contents(DAILY)
    data = VENDOR.packed(DAILY, clamav_tar([*contents[:3], *contents[4:]]))
    assert "lacks daily.ndb, which its signed .info lists" in str(refusal(data))


def test_a_database_cut_at_a_members_end_is_refused_and_what_is_missing_is_named() -> None:
    data = VENDOR.packed(DAILY, clamav_tar(VENDOR.contents(DAILY)[:3]))
    error = refusal(data)
    assert isinstance(error, DigestError)
    assert "lacks daily.ndb, daily.ldb" in str(error)


CONTENTS = VENDOR.contents(DAILY)
INFO = CONTENTS[1]
ODD_TARS = {
    "added member": ([*CONTENTS, ("daily.ign2", b"Eicar\n")], "daily.ign2 was added"),
    "member twice": ([*CONTENTS, CONTENTS[2]], "daily.hdb is in it twice"),
    "another length": (
        [*CONTENTS[:2], ("daily.hdb", b"x"), *CONTENTS[3:]],
        "daily.hdb is 1 bytes; the signed .info says",
    ),
    "another content": (
        [*CONTENTS[:2], ("daily.hdb", CONTENTS[2][1].swapcase()), *CONTENTS[3:]],
        "the signed .info says 1140 bytes, sha256",
    ),
    "info of another version": (
        [CONTENTS[0], ("daily.info", VENDOR.info(issue(8))), *CONTENTS[2:]],
        "forged header",
    ),
    "no info": ([CONTENTS[0], *CONTENTS[2:]], "daily.hdb stands where its signed .info must be"),
    "info at the end": (
        [CONTENTS[0], *CONTENTS[2:], INFO],
        "daily.hdb stands where its signed .info must be",
    ),
    "nothing": ([], "it ends where its signed .info must be"),
    "info unsigned": (
        [("daily.info", INFO[1].partition(b"DSIG")[0]), *CONTENTS[2:]],
        "daily.info has no signature",
    ),
    "info changed": (
        [("daily.info", INFO[1].replace(b":7:22:", b":7:23:")), *CONTENTS[2:]],
        "daily.info: not signed by the test .info key",
    ),
    "path": ([*CONTENTS, ("../../etc/passwd", b"x")], "is not a plain file name"),
    "hidden": ([*CONTENTS, (".bashrc", b"x")], "is not a plain file name"),
}


@pytest.mark.parametrize(("contents", "words"), ODD_TARS.values(), ids=ODD_TARS.keys())
def test_a_database_that_is_not_what_its_info_lists_is_refused(
    contents: list[tuple[str, bytes]], words: str
) -> None:
    assert words in str(refusal(VENDOR.packed(DAILY, clamav_tar(contents))))


ODD_BLOCKS = {
    "link": (block("daily.link", b"", kind=b"2"), "not a regular file but of type b'2'"),
    "folder": (block("daily", b"", kind=b"5"), "not a regular file but of type b'5'"),
    "pax": (block("daily.pax", b"", kind=b"x"), "not a regular file but of type b'x'"),
    "size": (block("daily.x", b"", size=b"12x"), "a size that is no octal number: '12x'"),
    "binary size": (block("daily.x", b"", size=b"\x80" + bytes(10) + b"\x01"), "no octal number"),
    "half a block": (block("daily.x", b"")[:100], "cut off within the header of a member"),
    "cut content": (block("daily.hdb", CONTENTS[2][1])[:600], "cut off within daily.hdb"),
    "dirt behind": (bytes(512) + b"x" * 512, "something stands behind its last member"),
    "a long end": (bytes(container.MAX_END_BYTES + 1024), "something stands behind"),
}


@pytest.mark.parametrize(("odd", "words"), ODD_BLOCKS.values(), ids=ODD_BLOCKS.keys())
def test_what_a_tar_may_hold_and_a_database_may_not_is_refused(odd: bytes, words: str) -> None:
    assert words in str(refusal(VENDOR.packed(DAILY, clamav_tar(CONTENTS[:2]) + odd)))


def test_dirt_between_members_is_refused() -> None:
    tar = clamav_tar(CONTENTS[:3])[:-1] + b"!" + clamav_tar(CONTENTS[3:])
    assert "cut off or damaged after daily.hdb" in str(refusal(VENDOR.packed(DAILY, tar)))


def test_a_file_cut_while_it_came_is_refused() -> None:
    data = VENDOR.cvd(DAILY)
    for length in (513, 600, len(data) - 9, len(data) - 1):
        error = refusal(data[:length])
        assert isinstance(error, FormatError)
        assert f"cut off after {length} bytes" in str(error) or "followed by" in str(error)
    assert "its header is followed by empty" in str(refusal(data[:512]))


@pytest.mark.parametrize("tail", [b"\0", b"x", gzip.compress(b"more", mtime=0)])
def test_something_behind_the_gzip_stream_is_refused_even_when_signed(tail: bytes) -> None:
    packed = gzip.compress(clamav_tar(CONTENTS), mtime=0)
    for data in (VENDOR.cvd(DAILY) + tail, VENDOR.sealed(DAILY, packed + tail)):
        assert "something stands behind its gzip stream" in str(refusal(data))


def test_another_body_under_a_genuine_header_is_refused() -> None:
    packed = gzip.compress(clamav_tar(CONTENTS), 1, mtime=5)
    error = refusal(VENDOR.cvd(DAILY)[:512] + packed)
    assert isinstance(error, SignatureError)
    assert "damaged: its MD5 is" in str(error)


def test_a_header_signed_for_another_body_is_refused_before_the_body_is_read() -> None:
    other = VENDOR.cvd(issue(7, hdb=LINE))
    header = DAILY.header(other[:512].split(b":")[5].decode(), "a" * 171)
    error = refusal(header.encode().ljust(512) + b"not even gzip")
    assert "header: not signed by the test database key" in str(error)


def test_a_database_signed_by_someone_else_is_refused() -> None:
    with pytest.raises(SignatureError, match="not signed by the ClamAV database key"):
        verify_cvd(io.BytesIO(VENDOR.cvd(DAILY)), "daily.cvd")


def test_a_header_padded_with_anything_but_spaces_is_refused() -> None:
    data = VENDOR.cvd(DAILY)
    for pad in (b"\0", b"\n", b"x"):
        assert "malformed" in str(refusal(data[:511] + pad + data[512:]))


# -- limits -----------------------------------------------------------------------------------


def test_a_gzip_bomb_is_stopped_early() -> None:
    huge = replace(DAILY, members=(("daily.hdb", b"\0" * (40 << 20)),))
    error = refusal(VENDOR.cvd(huge))
    assert isinstance(error, LimitError)
    assert f"MAX_RATIO={cvd.MAX_RATIO}" in str(error)


LIMITS = {
    "copying": (replace(DAILY, copying=bytes(range(256)) * 4097), "MAX_COPYING_BYTES"),
    "members": (
        replace(DAILY, members=tuple((f"daily.{n:07}", b"") for n in range(10_001))),
        "MAX_MEMBERS",
    ),
    "info": (
        replace(DAILY, members=tuple((f"daily.{n:090}", b"") for n in range(8_000))),
        "MAX_INFO_BYTES",
    ),
}


@pytest.mark.parametrize(("huge", "limit"), LIMITS.values(), ids=LIMITS.keys())
def test_a_limit_that_is_reached_is_named(huge: Issue, limit: str) -> None:
    error = refusal(VENDOR.cvd(huge))
    assert isinstance(error, LimitError)
    assert limit in str(error)


def test_a_member_said_to_be_larger_than_any_is_refused_unread() -> None:
    announced = block("daily.hdb", b"", size=b"77777777777")
    error = refusal(VENDOR.packed(DAILY, clamav_tar(CONTENTS[:2]) + announced))
    assert isinstance(error, LimitError)
    assert "MAX_MEMBER_BYTES" in str(error)


def test_a_path_and_an_open_file_are_read_alike(tmp_path: Path) -> None:
    (path := tmp_path / "daily.cvd").write_bytes(VENDOR.cvd(DAILY))
    with path.open("rb") as file:
        file.seek(99)
        assert verify_cvd(file, "daily.cvd", keys=VENDOR.keys) == check(path.read_bytes())
