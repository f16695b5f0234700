import os
import stat
from pathlib import Path

import pytest

from keys import files
from keys.errors import LockedError


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_write_replaces_the_content_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    files.write(path, b"old")
    files.write(path, b"new", mode=0o444)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert names_in(tmp_path) == ["state.json"]


def test_a_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    files.write(path, b"old")
    with pytest.raises(ZeroDivisionError), files.replacing(path) as file:
        file.write(b"half" * (1 // 0))
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["state.json"]


def test_a_secret_file_is_never_readable_by_others_while_it_is_written(tmp_path: Path) -> None:
    with files.replacing(tmp_path / "key", mode=0o600):
        (temporary,) = tmp_path.iterdir()
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600


def test_create_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "1.json"
    files.create(path, b"first")
    with pytest.raises(FileExistsError):
        files.create(path, b"second")
    assert path.read_bytes() == b"first"
    assert names_in(tmp_path) == ["1.json"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(b"", b"line\n", id="new file"),
        pytest.param(b"a\n", b"a\nline\n", id="whole last line"),
        pytest.param(b'a\n{"to', b'a\n{"to\nline\n', id="torn last line"),
    ],
)
def test_append_starts_a_line_of_its_own(tmp_path: Path, before: bytes, after: bytes) -> None:
    path = tmp_path / "history.jsonl"
    if before:
        path.write_bytes(before)
    files.append(path, b"line")
    assert path.read_bytes() == after


def test_point_moves_a_link_in_one_step(tmp_path: Path) -> None:
    link = tmp_path / "current"
    files.point(link, "generations/1")
    files.point(link, "generations/2")
    assert os.readlink(link) == "generations/2"  # noqa: PTH115 - the text, not the resolved path
    assert names_in(tmp_path) == ["current"]


def test_link_or_copy_copies_between_file_systems(tmp_path: Path) -> None:
    here = tmp_path.stat().st_dev
    places = [Path("/dev/shm"), Path("/var/tmp")]  # noqa: S108 - one of them is another file system
    others = [place for place in places if place.is_dir() and place.stat().st_dev != here]
    if not others:
        pytest.skip("no second file system here")
    source = others[0] / f"sigmirror-{os.getpid()}"
    source.write_bytes(b"blob")
    try:
        files.link_or_copy(source, tmp_path / "blob")
    finally:
        source.unlink()
    assert (tmp_path / "blob").read_bytes() == b"blob"
    assert stat.S_IMODE((tmp_path / "blob").stat().st_mode) == 0o444


def test_a_lock_has_one_holder_and_ends_with_its_block(tmp_path: Path) -> None:
    path = tmp_path / "host.lock"
    with (
        files.lock(path, what="host"),
        pytest.raises(LockedError, match="host: another process"),
        files.lock(path, what="host"),
    ):
        pass
    with files.lock(path, what="host"):
        pass


def test_clear_temporary_removes_only_what_a_crash_left(tmp_path: Path) -> None:
    (tmp_path / ".tmp-1").write_bytes(b"")
    (tmp_path / ".tmp-2").mkdir()
    (tmp_path / "kept").write_bytes(b"")
    files.clear_temporary(tmp_path)
    assert names_in(tmp_path) == ["kept"]
