import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import Error, FetchError, LimitError, NameRefusedError, SettingsError
from mirror.feeds import UpstreamSettings
from mirror.upstream import tree
from mirror.upstream.base import Candidate, Pull
from mirror.upstream.drop import DropUpstream

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
QUIET = 0.05


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "drop"
    folder.mkdir()
    return folder


def upstream(folder: Path, **options: object) -> DropUpstream:
    values = {"name": "inhouse", "kind": "drop", "folder": str(folder), "quiet_seconds": QUIET}
    return DropUpstream(UpstreamSettings(**(values | options)))  # type: ignore[arg-type] # a table


async def fetch(drop: DropUpstream, target: Path, pull: Pull | None = None) -> Candidate:
    await asyncio.to_thread(target.mkdir, parents=True, exist_ok=True)
    return await drop.fetch(target, pull or Pull(NOW))


def contents(candidate: Candidate) -> dict[str, bytes]:
    return {file.path: (candidate.folder / file.path).read_bytes() for file in candidate.files}


def test_a_folder_whose_files_should_be_verified_is_refused(folder: Path) -> None:
    with pytest.raises(SettingsError, match="nothing that lies in a folder is verified"):
        upstream(folder, verify=("minisign",), verify_keys=("/etc/vendor.pub",))


async def test_a_quiet_folder_is_a_release(folder: Path, tmp_path: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "a.yar").write_bytes(b"a")
    (folder / "deep/規則.yar").write_bytes(b"b")
    os.utime(folder / "deep/規則.yar", (10**9, 10**9))
    os.utime(folder / "a.yar", (10**9 - 5, 10**9 - 5))
    candidate = await fetch(upstream(folder), tmp_path / "q")
    assert contents(candidate) == {"a.yar": b"a", "deep/規則.yar": b"b"}
    assert candidate.release.startswith("20010909T014640Z-")
    assert candidate.assurance.value == "none"
    for file in candidate.files:
        assert file.pin.check((candidate.folder / file.path).read_bytes(), file.path)


async def test_a_release_is_named_by_its_content(folder: Path, tmp_path: Path) -> None:
    names = []
    for number, data in enumerate((b"x", b"y", b"x")):
        (folder / "a").write_bytes(data)
        os.utime(folder / "a", (10**9, 10**9))
        names.append((await fetch(upstream(folder), tmp_path / f"q{number}")).release)
    assert names[0] == names[2] != names[1]


async def test_the_offer_changes_with_any_file(folder: Path) -> None:
    (folder / "a").write_bytes(b"x")
    drop = upstream(folder)
    seen = {(await drop.check(now=NOW)).version}
    for change in (
        lambda: (folder / "a").write_bytes(b"y"),
        lambda: (folder / "b").write_bytes(b""),
        lambda: (folder / "a").rename(folder / "c"),
        (folder / "b").touch,
    ):
        change()
        seen.add((await drop.check(now=NOW)).version)
    assert len(seen) == 5
    assert (await drop.check(now=NOW)).version in seen


@pytest.mark.parametrize(
    "name",
    [
        ".rules.yar.AbC123", ".hidden", "rules.yar~", "rules.part", "rules.yar.tmp", "r.PARTIAL",
        ".rsync-partial/rules.yar", "r.swp", "r.filepart", "r.crdownload",
    ],
)  # fmt: skip
async def test_an_unfinished_file_is_passed_over(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"half")
    with pytest.raises(FetchError, match="an empty folder is never a release"):
        await upstream(folder).check(now=NOW)
    (folder / "whole").write_bytes(b"x")
    assert contents(await fetch(upstream(folder), tmp_path / "q")) == {"whole": b"x"}


async def test_an_empty_or_missing_folder_is_never_a_release(folder: Path, tmp_path: Path) -> None:
    for place in (folder, tmp_path / "missing"):
        with pytest.raises(FetchError, match=str(place)):
            await upstream(place).check(now=NOW)
        with pytest.raises(FetchError, match=r"no files|No such file"):
            await fetch(upstream(place), tmp_path / "q")


def make_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def make_folder_link(path: Path) -> None:
    path.symlink_to("/etc")


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize("make", [make_link, make_folder_link, os.mkfifo, make_socket])
async def test_what_is_no_plain_file_is_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, make: Callable[[Path], None]
) -> None:
    folder = tmp_path_factory.mktemp("d")  # a socket's path must be short
    (folder / "good").write_bytes(b"x")
    make(folder / "odd")
    with pytest.raises(NameRefusedError, match="'odd'"):
        await upstream(folder).check(now=NOW)


@pytest.mark.parametrize(
    "name", ["a\\b", "a\nb", "e\u0301", "x" * 181, os.fsdecode(b"a\xff"), "a\u202eb"]
)
async def test_a_hostile_name_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"x")
    with pytest.raises(NameRefusedError):
        await upstream(folder).check(now=NOW)


async def test_names_that_differ_only_in_case_are_refused(folder: Path) -> None:
    (folder / "Rules").write_bytes(b"x")
    (folder / "rules").write_bytes(b"y")
    with pytest.raises(NameRefusedError, match="clashes"):
        await upstream(folder).check(now=NOW)


async def test_too_much_is_refused_naming_the_limit(folder: Path) -> None:
    for number in range(3):
        (folder / f"{number}").write_bytes(b"12345")
    with pytest.raises(LimitError, match="max_files=2"):
        await upstream(folder, max_files=2).check(now=NOW)
    with pytest.raises(LimitError, match="max_release_bytes=14"):
        await upstream(folder, max_release_bytes=14).check(now=NOW)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_an_unreadable_file_is_named(folder: Path, tmp_path: Path) -> None:
    (folder / "a").write_bytes(b"x")
    (folder / "a").chmod(0)
    with pytest.raises(FetchError, match="a: Permission denied"):
        await fetch(upstream(folder), tmp_path / "q")


async def test_a_marker_file_starts_the_import(folder: Path, tmp_path: Path) -> None:
    drop = upstream(folder, marker="DONE", quiet_seconds=3600)
    (folder / "a").write_bytes(b"x")
    offer = await drop.check(now=NOW)
    assert (offer.version, offer.status) == ("", "waiting for the file DONE")
    (folder / "DONE").touch()
    assert (await drop.check(now=NOW)).version
    assert contents(await fetch(drop, tmp_path / "q")) == {"a": b"x"}


async def test_a_slow_writer_never_gives_a_mixed_release(folder: Path, tmp_path: Path) -> None:
    """One chunk per third of the quiet period: nothing is taken until the writer has ended."""
    whole = {f"{number}": b"chunk" * number for number in range(12)}

    async def write() -> None:
        for name, data in whole.items():
            (folder / name).write_bytes(data)
            await asyncio.sleep(QUIET)

    (folder / "0").write_bytes(b"")
    drop = upstream(folder, quiet_seconds=QUIET * 3)
    writer = asyncio.create_task(write())
    taken: list[Candidate] = []
    while not (writer.done() and taken):
        target = tmp_path / f"q{len(os.listdir(tmp_path))}"  # noqa: PTH208 - a count
        with contextlib.suppress(FetchError):
            taken.append(await fetch(drop, target))
    await writer
    assert [contents(candidate) for candidate in taken] == [whole]


@pytest.mark.parametrize("change", ["replace", "append", "delete", "add"])
async def test_a_change_during_the_import_is_noticed(
    folder: Path, tmp_path: Path, change: str
) -> None:
    (folder / "a").write_bytes(b"a" * (3 << 20))
    (folder / "b").write_bytes(b"b" * 10)
    changed = threading.Event()

    def meddle(_count: int) -> None:
        if changed.is_set():
            return
        changed.set()
        if change == "replace":
            (folder / "new").write_bytes(b"n" * 10)
            (folder / "new").rename(folder / "b")
        elif change == "append":
            with (folder / "a").open("ab") as file:
                file.write(b"more")
        elif change == "delete":
            (folder / "b").unlink()
        else:
            (folder / "c").write_bytes(b"c")

    drop = upstream(folder)
    with pytest.raises(FetchError):
        await fetch(drop, tmp_path / "q1", Pull(NOW, on_bytes=meddle))
    assert changed.is_set()
    assert contents(await fetch(drop, tmp_path / "q2"))["a"].startswith(b"a" * (3 << 20))


async def test_a_file_swapped_for_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep/a").write_bytes(b"x")
    seen = tree.scan(folder, max_files=9, max_bytes=99)
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (folder / "deep/a").unlink()
    (folder / "deep/a").symlink_to(secret)
    with pytest.raises(FetchError):
        tree.copy(folder, seen.entries, tmp_path / "q", on_bytes=print)
    (folder / "deep/a").unlink()
    (folder / "deep").rmdir()
    (folder / "deep").symlink_to(tmp_path)
    with pytest.raises(FetchError):
        tree.copy(folder, seen.entries, tmp_path / "q2", on_bytes=print)


@given(name=st.text(min_size=1, max_size=40))
def test_any_name_is_taken_refused_or_passed_over(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    folder = tmp_path_factory.mktemp("f")
    try:
        (folder / name.replace("/", "_")).write_bytes(b"x")
    except (OSError, ValueError):
        return
    try:
        entries = tree.scan(folder, max_files=9, max_bytes=99).entries
    except Error:
        return
    assert all("\\" not in entry.path and "\n" not in entry.path for entry in entries)
