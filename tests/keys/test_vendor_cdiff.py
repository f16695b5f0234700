"""cdiffs: signatures, scripts, and what following them makes of an unpacked database."""

import gzip
import io
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from keys.errors import DigestError, Error, FormatError, LimitError, SignatureError
from keys.trust.vendor import cdiff, patch
from keys.trust.vendor.cdiff import Cdiff, verify_cdiff
from keys.trust.vendor.info import verify_info
from keys.trust.vendor.patch import apply_cdiff
from keys.trust.vendor.unpacked import verify_unpacked
from tests.clamav_vendor import VENDOR, Issue, issue
from tests.real_data import real_data

LINES = "".join(f"{n:032x}:68:Bench-{n}\n" for n in range(50))


def check(data: bytes) -> Cdiff:
    return verify_cdiff(data, "daily-2.cdiff", keys=VENDOR.keys)


def follow(script: bytes, folder: Path) -> None:
    apply_cdiff(check(VENDOR.cdiff(2, script)), folder, "daily-2.cdiff")


def unpack(one: Issue, folder: Path) -> Path:
    folder.mkdir()
    for name, content in VENDOR.contents(one):
        (folder / name).write_bytes(content)
    return folder


def unpack_genuine(version: int, folder: Path) -> Path:
    """Unpack a genuine test database with tools of others."""
    folder.mkdir()
    data = real_data(f"clamav/testdb/test-{version}.cvd").read_bytes()
    tar = io.BytesIO(gzip.decompress(data[512:]))
    while len(block := tar.read(512)) == 512:
        length = int(block[124:136].rstrip(b"\0"), 8)
        (folder / block[:100].rstrip(b"\0").decode()).write_bytes(tar.read(length))
        tar.seek(-length % 512, io.SEEK_CUR)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# -- signatures -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "version", "database", "steps"),
    [
        ("cdiff/daily-25784", 25784, "daily", 4),
        ("testdb/test-2", 2, "test", 1),
        ("testdb/test-3", 3, "test", 17),
    ],
)
def test_a_genuine_cdiff_holds(name: str, version: int, database: str, steps: int) -> None:
    found = verify_cdiff(real_data(f"clamav/{name}.cdiff").read_bytes(), name)
    assert (found.version, found.database, len(found.steps)) == (version, database, steps)
    verdict = found.verdict
    assert (verdict.scheme, verdict.signer) == ("cdiff", "ClamAV cdiff key")
    assert verdict.version == str(version)


def test_the_broken_genuine_cdiff_is_refused() -> None:
    data = real_data("clamav/cdiff/daily-25784-signature-fail.cdiff").read_bytes()
    for broken in (data, data[:-1]):  # one byte changed and one appended; only changed
        with pytest.raises(SignatureError, match=r"^daily-25784\.cdiff: "):
            verify_cdiff(broken, "daily-25784.cdiff")


def test_a_cdiff_relabelled_to_another_version_is_refused() -> None:
    data = VENDOR.cdiff(2, b"OPEN a.hdb\nCLOSE\n").replace(b"Diff:2:", b"Diff:3:")
    with pytest.raises(SignatureError, match="not signed by the test cdiff key"):
        check(data)


NOT_CDIFFS = {
    "empty": (b"", "not a cdiff but empty (0 bytes)"),
    "page": (b"<!DOCTYPE html><title>404</title>", "not a cdiff but an HTML page titled '404'"),
    "database": (VENDOR.cvd(issue()), "not a cdiff but a ClamAV database"),
    "cut": (b"ClamAV-Diff:2", "malformed at its beginning"),
    "version 0": (b"ClamAV-Diff:0:1:", "malformed at its beginning"),
}


@pytest.mark.parametrize(("data", "words"), NOT_CDIFFS.values(), ids=NOT_CDIFFS.keys())
def test_what_is_no_cdiff_is_named(data: bytes, words: str) -> None:
    with pytest.raises(FormatError) as refused:
        check(data)
    assert words in str(refused.value)


SCRIPT = b"OPEN a.hdb\nADD x\nCLOSE\n"
PACKED = gzip.compress(SCRIPT, mtime=0)
DISHONEST = {
    "shorter": (b"ClamAV-Diff:2:9:" + PACKED, "not the 9 bytes its header says"),
    "longer": (b"ClamAV-Diff:2:99:" + PACKED, "not the 99 bytes its header says"),
    "not gzip": (b"ClamAV-Diff:2:23:" + SCRIPT, "damaged: "),
    "cut": (b"ClamAV-Diff:2:23:" + PACKED[:-1], "not the 23 bytes"),
    "dirt behind": (b"ClamAV-Diff:2:23:" + PACKED + b"x", "not the 23 bytes"),
}


@pytest.mark.parametrize(("covered", "words"), DISHONEST.values(), ids=DISHONEST.keys())
def test_a_signed_cdiff_that_is_not_as_it_says_is_refused(covered: bytes, words: str) -> None:
    with pytest.raises(FormatError) as refused:
        check(VENDOR.sealed_cdiff(covered))
    assert words in str(refused.value)


def test_a_script_said_to_be_huge_is_not_unpacked() -> None:
    size = cdiff.MAX_SCRIPT_BYTES + 1
    with pytest.raises(LimitError, match="MAX_SCRIPT_BYTES"):
        check(VENDOR.sealed_cdiff(b"ClamAV-Diff:2:%d:" % size + PACKED))


def test_a_huge_cdiff_is_not_read() -> None:
    with pytest.raises(LimitError, match="MAX_CDIFF_BYTES"):
        check(b"ClamAV-Diff:2:23:" + bytes(cdiff.MAX_CDIFF_BYTES))


# -- scripts ----------------------------------------------------------------------------------


MALFORMED = {
    "no command": (b"HELLO x\n", "line 1 of its script: not a command: b'HELLO x'"),
    "empty line": (b"# so far\n\n", "line 2 of its script: not a command"),
    "no end": (b"OPEN a.hdb\nCLOSE", "ends within a line"),
    "left open": (b"OPEN a.hdb\nADD x\n", "leaves a.hdb open"),
    "nothing open": (b"ADD x\n", "no member is open"),
    "close nothing": (b"CLOSE\n", "no member is open"),
    "open twice": (b"OPEN a.hdb\nOPEN b.hdb\n", "line 2 of its script: a.hdb is open"),
    "move within": (b"OPEN a.hdb\nMOVE a b 1 x 2 y\n", "a.hdb is open"),
    "unlink within": (b"OPEN a.hdb\nUNLINK a.hdb\n", "a.hdb is open"),
    "path": (b"OPEN ../a.hdb\n", "not a plain file name: b'../a.hdb'"),
    "hidden": (b"UNLINK .bashrc\n", "not a plain file name"),
    "absolute move": (b"MOVE /etc/passwd a.hdb 1 x 2 y\n", "not a plain file name"),
    "bare": (b"OPEN\n", "not a command: b'OPEN'"),
    "del without prefix": (b"OPEN a.hdb\nDEL 1\n", "2 fields are needed"),
    "xchg without line": (b"OPEN a.hdb\nXCHG 1 x\n", "3 fields are needed"),
    "line 0": (b"OPEN a.hdb\nDEL 0 x\n", "not a line number: b'0'"),
    "line -1": (b"OPEN a.hdb\nDEL -1 x\n", "not a line number"),
    "line twice": (b"OPEN a.hdb\nDEL 1 x\nXCHG 1 x y\n", "line 1 of a.hdb is changed twice"),
    "move of nothing": (b"MOVE a b 2 x 2 x\n", "a move onto itself, or of no lines"),
    "move onto itself": (b"MOVE a a 1 x 2 x\n", "a move onto itself, or of no lines"),
}


@pytest.mark.parametrize(("script", "words"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_script_is_refused_before_anything_is_changed(
    script: bytes, words: str
) -> None:
    with pytest.raises(FormatError) as refused:
        check(VENDOR.cdiff(2, script))
    assert words in str(refused.value)


BEFORE = {"a.hdb": b"one 1\ntwo 2\nthree 3\nfour 4\n", "b.hdb": b"five\n"}
MISFITS = {
    "other line": (b"OPEN a.hdb\nDEL 2 three\nCLOSE\n", "a.hdb: line 2 is b'two 2\\n'"),
    "behind the end": (b"OPEN a.hdb\nDEL 5 x\nCLOSE\n", "a.hdb: has no line 5"),
    "no such member": (b"OPEN c.hdb\nDEL 1 x\nCLOSE\n", "there is no c.hdb to change"),
    "unlink nothing": (b"UNLINK c.hdb\n", "there is no c.hdb to change"),
    "move from nothing": (b"MOVE c.hdb b.hdb 1 x 2 y\n", "there is no c.hdb to change"),
    "move to nothing": (b"MOVE a.hdb c.hdb 1 one 2 two\n", "there is no c.hdb to change"),
    "move past the end": (b"MOVE a.hdb b.hdb 1 one 9 x\n", "a.hdb: has no line 5"),
    "move of another end": (b"MOVE a.hdb b.hdb 1 one 3 two\n", "a.hdb: line 3 is"),
}


@pytest.mark.parametrize(("script", "words"), MISFITS.values(), ids=MISFITS.keys())
def test_a_script_for_another_database_is_refused(
    script: bytes, words: str, tmp_path: Path
) -> None:
    write(BEFORE, tmp_path)
    with pytest.raises(DigestError) as refused:
        follow(script, tmp_path)
    assert words in str(refused.value)


def write(members: dict[str, bytes], folder: Path) -> None:
    for name, content in members.items():
        (folder / name).write_bytes(content)


def test_a_member_whose_last_line_has_no_end_is_refused(tmp_path: Path) -> None:
    for script in (b"DEL 1 one", b"XCHG 2 two x"):
        write({"a.hdb": b"one\ntwo"}, tmp_path)
        with pytest.raises(FormatError, match="its last line has no end"):
            follow(b"OPEN a.hdb\n" + script + b"\nCLOSE\n", tmp_path)


def test_a_line_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    write({"a.hdb": b"x" * (patch.MAX_LINE_BYTES + 1)}, tmp_path)
    with pytest.raises(LimitError, match="MAX_LINE_BYTES"):
        follow(b"OPEN a.hdb\nDEL 1 x\nCLOSE\n", tmp_path)


def test_every_command_does_what_it_says(tmp_path: Path) -> None:
    write({**BEFORE, "d.hdb": b"gone\n"}, tmp_path)
    follow(
        b"# a comment\n"
        b"OPEN a.hdb\nADD five 5\nDEL 3 th ree\nXCHG 1 on uno  1 \nCLOSE\n"
        b"OPEN c.hdb\nADD new\nADD \nCLOSE\n"
        b"MOVE a.hdb b.hdb 2 tw 3 fo\n"
        b"UNLINK d.hdb\n",
        tmp_path,
    )
    assert contents(tmp_path) == {
        "a.hdb": b"uno  1 \nfive 5\n",
        "b.hdb": b"five\ntwo 2\nfour 4\n",
        "c.hdb": b"new\n\n",
    }


# -- whole databases --------------------------------------------------------------------------


def test_genuine_cdiffs_lead_from_one_genuine_database_to_the_next(tmp_path: Path) -> None:
    folder = unpack_genuine(1, tmp_path / "test")
    for version in (2, 3):
        name = f"test-{version}.cdiff"
        data = real_data(f"clamav/testdb/{name}").read_bytes()
        apply_cdiff(verify_cdiff(data, name), folder, name)
        assert contents(folder) == contents(unpack_genuine(version, tmp_path / str(version)))
        assert verify_unpacked(folder, "test").version == version


def test_a_genuine_cdiff_does_not_apply_to_another_version(tmp_path: Path) -> None:
    folder = unpack_genuine(1, tmp_path / "test")
    data = real_data("clamav/testdb/test-3.cdiff").read_bytes()
    with pytest.raises(DigestError, match=r"test\.info: line 4 is b'DSIG:TFd9"):
        apply_cdiff(verify_cdiff(data, "test-3.cdiff"), folder, "test-3.cdiff")


def test_sigtool_agrees_that_a_genuine_cdiff_fits() -> None:
    need_sigtool()
    named = [str(real_data(f"clamav/testdb/test-{n}")) for n in ("1.cvd", "2.cdiff")]
    line = ["sigtool", f"--verify-cdiff={named[1]}", named[0]]
    assert b"correctly applies" in subprocess.run(line, check=True, capture_output=True).stdout


def need_sigtool() -> None:
    if shutil.which("sigtool") is None:
        pytest.skip("sigtool is not installed: apt-get install clamav")


def test_members_grown_and_replaced_by_a_cdiff_verify(tmp_path: Path) -> None:
    old = issue(1, hdb=LINES, ndb="Old:0:*:61\n")
    new = issue(2, hdb=LINES + LINES, ldb="# none\n")
    folder = unpack(old, tmp_path / "daily")
    assert verify_unpacked(folder, "daily", keys=VENDOR.keys).version == 1
    apply_cdiff(check(VENDOR.cdiff_between(old, new)), folder, "daily-2.cdiff")
    found = verify_unpacked(folder, "daily", keys=VENDOR.keys)
    assert (found.version, found.database) == (2, "daily")
    assert contents(folder) == contents(unpack(new, tmp_path / "new"))


UNPACKED = {
    "changed": (lambda folder: (folder / "daily.hdb").write_bytes(b"x"), "daily.hdb is 1 bytes"),
    "dropped": (lambda folder: (folder / "daily.hdb").unlink(), "lacks daily.hdb"),
    "added": (lambda folder: (folder / "daily.ign2").touch(), "daily.ign2 was added"),
    "two infos": (lambda folder: (folder / "main.info").touch(), "2 .info files"),
    "no info": (lambda folder: (folder / "daily.info").unlink(), "0 .info files"),
    "link": (
        lambda folder: [(folder / "daily.hdb").unlink(), (folder / "daily.hdb").symlink_to("x")],
        "daily.hdb is not a regular file",
    ),
}


@pytest.mark.parametrize(("change", "words"), UNPACKED.values(), ids=UNPACKED.keys())
def test_an_unpacked_database_that_is_not_what_its_info_lists_is_refused(
    change: object, words: str, tmp_path: Path
) -> None:
    folder = unpack(issue(1, hdb=LINES), tmp_path / "daily")
    assert callable(change)
    change(folder)
    with pytest.raises(Error) as refused:
        verify_unpacked(folder, "daily", keys=VENDOR.keys)
    assert words in str(refused.value)


def test_the_genuine_daily_of_2012_holds_but_for_the_member_that_is_not_there() -> None:
    folder = real_data("clamav/daily-15669-unpacked")
    info = verify_info((folder / "daily.info").read_bytes(), "daily.info", "daily")
    assert (info.database, info.header.version, info.header.signatures) == ("daily", 15669, 290652)
    with pytest.raises(DigestError, match=r"^daily: lacks daily\.mdb, which"):
        verify_unpacked(folder, "daily")


# -- against ClamAV's own hand ----------------------------------------------------------------

words = st.sampled_from([b"one 1", b"two", b"", b" x "])
prefixes = st.sampled_from([b"", b"", b"", b"t", b"one"])
numbers = st.integers(1, 4)
members = st.sampled_from([b"a.hdb", b"b.hdb", b"a.hdb", b"b.hdb", b"c.hdb"])


def changes(number: int) -> st.SearchStrategy[bytes]:
    """Change one line: remove or replace it, if it begins as is said."""
    removed = prefixes.map(lambda prefix: b"DEL %d %s" % (number, prefix))
    return removed | st.tuples(prefixes, words).map(lambda p: b"XCHG %d %s %s" % (number, *p))


changed = st.sets(numbers, max_size=3).flatmap(lambda found: st.tuples(*map(changes, found)))
added = st.lists(words.map(lambda word: b"ADD " + word), max_size=3)
edits = st.builds(
    lambda member, *made: [b"OPEN " + member, *(line for part in made for line in part), b"CLOSE"],
    members,
    added,
    changed,
    added,
)
moves = st.builds(
    lambda names, ends: [b"MOVE %s %s %d %s %d %s" % (*names, *ends)],
    st.permutations([b"a.hdb", b"b.hdb"]),
    st.tuples(numbers, prefixes, numbers, prefixes),
)
unlinks = members.map(lambda member: [b"UNLINK " + member])
scripts = st.lists(st.one_of(edits, edits, moves, unlinks), min_size=1, max_size=3)
bodies = st.lists(
    st.sampled_from([b"one 1\n", b"two 2\n", b"three\n", b"\n"]), min_size=3, max_size=9
).map(b"".join)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(first=bodies, second=bodies, steps=scripts)
def test_what_we_follow_sigtool_follows_to_the_same_end(
    first: bytes, second: bytes, steps: list[list[bytes]], tmp_path: Path
) -> None:
    """We may refuse more than ClamAV does; what we take has the same result."""
    need_sigtool()
    script = b"".join(line + b"\n" for step in steps for line in step)
    ours, theirs = fresh(tmp_path / "ours"), fresh(tmp_path / "theirs")
    for folder in (ours, theirs):
        write({"a.hdb": first, "b.hdb": second}, folder)
    try:
        follow(script, ours)
    except Error:
        event("refused")
        return
    event("followed")
    (named := tmp_path / "a-2.script").write_bytes(script)
    line = ["sigtool", f"--run-cdiff={named}"]  # it ends by looking for an .info, of which is none
    said = subprocess.run(line, check=False, capture_output=True, cwd=theirs).stderr
    assert b"LibClamAV Error" not in said
    assert b"Can't open a.info" in said
    assert contents(ours) == contents(theirs)


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder
