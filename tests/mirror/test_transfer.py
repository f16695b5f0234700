"""Repositories copied from store to store: cut at every request, damaged, foreign, forked."""

from pathlib import Path

import pytest

from keys.errors import DigestError, SignatureError, StoreError, TrustError, UsageError
from tests.mirror.moving import LARGE, CutStore, Move
from tests.mirror.site import Mirror


@pytest.fixture
async def move(tmp_path: Path) -> Move:
    made = Move(tmp_path)
    await made.publish(b"rule one")
    return made


async def test_what_is_in_force_arrives_and_a_second_copy_sends_nothing(move: Move) -> None:
    await move.publish(b"rule two")
    counted = await move.transfer(dry_run=True).copy("site")
    assert not move.there.folder.exists()
    copied = await move.transfer().copy("site")
    assert (counted.objects, counted.bytes) == (copied.objects, copied.bytes)
    assert copied.bytes > len(LARGE)
    assert move.gets() == b"rule two"
    assert (await move.transfer().copy("site")).objects == 0
    files = {path.name for path in move.there.folder.glob("r/site/metadata/*")}
    assert "1.root.json" in files
    assert "1.timestamp.json" not in files
    await move.publish(b"rule three")
    again = await move.transfer().copy("site")
    assert again.kept == copied.objects - 1  # the pointer of the track is another one
    assert move.gets() == b"rule three"
    assert not list((move.folder / "scratch").iterdir())


@pytest.mark.slow
async def test_a_copy_cut_at_any_request_leaves_the_old_or_the_new_one_and_is_finished_later(
    move: Move,
) -> None:
    await move.transfer().copy("site")
    move.gets()
    await move.publish(b"rule two")
    await move.publish(b"rule three")
    seen = set()
    for at in range(1, 1000):
        store = CutStore(move.there.store, at)
        try:
            await move.transfer(store).copy("site")
        except StoreError:
            seen.add(move.gets())
            continue
        break
    print(f"cut at {at - 1} requests")
    assert at > 20
    assert seen == {b"rule one"}  # up to the last request, which replaces timestamp.json
    assert move.gets() == b"rule three"
    assert move.gets("a new host") == b"rule three"


@pytest.mark.parametrize("path", ["metadata/1.inhouse.json", "a.yar", ".bin", "@list", "releases"])
async def test_damage_at_the_source_is_named_and_not_copied(move: Move, path: str) -> None:
    found = [
        one
        for one in move.mirror.folder.glob("r/site/**/*.*")
        if path in str(one) and one.is_file()
    ]
    assert found
    found[0].write_bytes(found[0].read_bytes()[:-1] + b"!")
    with pytest.raises(TrustError):
        await move.transfer().copy("site")
    assert not list(move.there.folder.glob("r/site/metadata/*.timestamp.json"))


async def test_a_repository_signed_with_other_keys_is_not_copied(move: Move) -> None:
    other = Mirror.found(move.folder / "other")
    forged = other.folder / "r/site/metadata/1.timestamp.json"
    (move.mirror.folder / "r/site/metadata/9.timestamp.json").write_bytes(forged.read_bytes())
    with pytest.raises((SignatureError, DigestError, StoreError)):
        await move.transfer().copy("site")


async def test_another_repository_a_newer_one_and_a_fork_are_never_overwritten(move: Move) -> None:
    other = Mirror.found(move.folder / "other")
    with pytest.raises(UsageError, match="holds another one"):
        await move.transfer(other.store).copy("site")
    await move.transfer().copy("site")
    (move.there.folder / "keys").symlink_to(move.mirror.folder / "keys")
    await move.publish(b"rule of theirs", move.there)
    with pytest.raises(UsageError, match="is ahead") as caught:
        await move.transfer().copy("site")
    assert "copy the other way" in caught.value.hint
    await move.publish(b"rule of ours")
    with pytest.raises(TrustError, match="differs from the one"):
        await move.transfer().copy("site")
    assert move.gets() == b"rule of theirs"


async def test_what_a_writer_left_who_never_committed_gives_way(move: Move) -> None:
    await move.transfer().copy("site")
    (move.there.folder / "r/site/metadata/2.inhouse.json").write_bytes(b"{}")
    await move.publish(b"rule two")
    await move.transfer().copy("site")
    assert move.gets() == b"rule two"


async def test_what_a_vendor_signs_is_copied_as_far_as_it_was_brought_here(move: Move) -> None:
    """A cascading mirror holds all metadata, and the files that it may have and wants."""
    here = move.mirror.folder / "r"
    (here / "site").rename(here / "av")
    (missing,) = here.glob("av/targets/inhouse/files/*.a.yar")
    missing.unlink()
    assert await move.transfer().repositories() == ("av",)
    copied = await move.transfer().copy("av")
    assert copied.absent == 1
    copies = {path.relative_to(move.there.folder) for path in move.there.folder.glob("r/av/**/*.*")}
    assert copies >= {
        path.relative_to(move.mirror.folder)
        for path in here.glob("av/targets/**/*.*")
        if path.is_file()
    }
