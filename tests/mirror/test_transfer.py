"""Repositories copied from store to store, cut at every request, damaged, contended for."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from keys import console
from keys.errors import (
    DigestError,
    Error,
    HandedOverError,
    LockedError,
    SignatureError,
    StoreError,
    TrustError,
    UsageError,
)
from keys.model.handover import Handover
from keys.signing.publisher import Changes
from mirror.cli import sigmirror
from mirror.edition import Editions
from mirror.handover import Handing, take_back
from mirror.intake import Label
from mirror.publish import Publishing
from mirror.repository import StoredRepository
from mirror.storage import FilesystemStore, Stat, Store
from mirror.transfer import MAX_HELD_BYTES, Transfer
from tests.mirror.operator import Operator
from tests.mirror.site import BY, NOW, Client, Mirror, candidate

LARGE = b"large" * (MAX_HELD_BYTES // 5 + 1)
LATER = NOW + timedelta(hours=1)


class CutStore:
    """A store whose requests fail from a chosen one on."""

    def __init__(self, store: Store, at: int = 1 << 30) -> None:
        self.store = store
        self.at = at
        self.requests = 0

    def _count(self) -> Store:
        self.requests += 1
        if self.requests >= self.at:
            raise StoreError("the line is cut")
        return self.store

    async def stat(self, name: str) -> Stat | None:
        return await self._count().stat(name)

    async def read(self, name: str, *, max_bytes: int) -> bytes:
        return await self._count().read(name, max_bytes=max_bytes)

    async def local_path(self, name: str) -> Path | None:
        return await self._count().local_path(name)

    def chunks(self, name: str, start: int, stop: int) -> AsyncIterator[bytes]:
        return self._count().chunks(name, start, stop)

    async def create(self, name: str, content: bytes | Path) -> None:
        await self._count().create(name, content)

    async def replace(self, name: str, data: bytes) -> None:
        await self._count().replace(name, data)

    async def delete(self, name: str) -> None:
        await self._count().delete(name)

    def names(self, prefix: str) -> AsyncIterator[str]:
        return self._count().names(prefix)

    async def sweep(self, prefix: str) -> None:
        await self._count().sweep(prefix)

    def writing(self, repository: str) -> AbstractAsyncContextManager[None]:
        return self._count().writing(repository)


async def hand_over(
    transfer: Transfer, editions: Editions, *, here: str = "here", to: str = "there"
) -> None:
    await Handing(transfer, editions, ["site"], here, to).over(BY, now=LATER)


class Move:
    """A mirror, and a place that its repository goes to."""

    def __init__(self, folder: Path) -> None:
        self.mirror = Mirror.found(folder / "here")
        self.folder = folder
        self.there = Mirror(folder / "there")
        self._made = 0

    async def publish(self, text: bytes, mirror: Mirror | None = None) -> None:
        self._made += 1
        publishing: Publishing = (mirror or self.mirror).publishing(keep=3)
        files = {"a.yar": text, "große/ルール.bin": LARGE}
        await publishing.release(
            candidate(self.folder / f"release-{self._made}", files),
            channel="inhouse", track="stable", label=Label("yara"), by=BY, now=NOW,
        )  # fmt: skip

    def transfer(
        self, target: Store | None = None, *, source: Store | None = None, dry_run: bool = False
    ) -> Transfer:
        return Transfer(
            source or self.mirror.store,
            target or self.there.store,
            self.folder / "scratch",
            dry_run=dry_run,
        )

    def back(self) -> Transfer:
        return self.transfer(self.mirror.store, source=self.there.store)

    def host(self, name: str) -> Client:
        """Return a host that reads what lies at the destination."""
        return self.there.client(self.folder / name)

    def gets(self, name: str = "host") -> bytes:
        return self.host(name).contents("inhouse")["a.yar"]

    async def hands_over(self) -> None:
        await hand_over(self.transfer(), self.mirror.editions)
        keys = self.there.folder / "keys"
        if not keys.exists():
            keys.symlink_to(self.mirror.folder / "keys")


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


async def test_after_a_handover_the_old_place_signs_nothing_and_versions_go_on(move: Move) -> None:
    await move.hands_over()
    assert move.gets() == b"rule one"
    with pytest.raises(HandedOverError, match="handed over to there"):
        await move.publish(b"rule of the old one")
    await move.publish(b"rule two", move.there)
    assert move.gets() == b"rule two"
    with pytest.raises(UsageError, match="is ahead"):
        await move.hands_over()
    with pytest.raises(UsageError, match="has taken over"):
        await take_back([move.mirror.repository], [move.there.repository], by=BY, now=LATER)
    await hand_over(
        move.back(),
        move.there.editions,
        here="there",
        to="here",
    )
    with pytest.raises(HandedOverError, match="handed over to here"):
        await move.publish(b"rule of the other", move.there)
    await move.publish(b"rule three")
    await move.transfer().copy("site")  # a plain copy of a sealed place is welcome
    assert move.gets() == b"rule three"


async def test_a_handover_cut_at_any_request_leaves_one_signer_at_most_and_is_finished_later(
    move: Move,
) -> None:
    for at in range(1, 1000):
        source, target = CutStore(move.mirror.store, at), CutStore(move.there.store, at)
        transfer = move.transfer(target, source=source)
        try:
            await hand_over(transfer, move.mirror.editions)
        except StoreError:
            signers = [await _signs(one.repository) for one in (move.mirror, move.there)]
            assert sum(signers) <= 1, at
            continue
        break
    print(f"cut at {at - 1} requests")
    assert at > 20
    assert move.gets() == b"rule one"
    with pytest.raises(UsageError, match="handed over to there already"):
        await hand_over(
            move.transfer(),
            move.mirror.editions,
            here="here",
            to="elsewhere",
        )


async def _signs(repository: StoredRepository) -> bool:
    """Tell whether a mirror there would sign: there is a repository, and no seal."""
    try:
        await repository.in_force()
        await repository.check_in_charge()
    except Error:
        return False
    return True


async def test_a_handover_that_was_never_completed_is_taken_back(move: Move) -> None:
    target = CutStore(move.there.store)
    with pytest.raises(UsageError, match="nothing is handed over"):
        await take_back([move.mirror.repository], [], by=BY, now=LATER)
    for at in range(1, 1000):
        target = CutStore(move.there.store, at)
        with pytest.raises(StoreError):
            await hand_over(
                move.transfer(target), move.mirror.editions
            )  # fmt: skip
        if await move.mirror.repository.handover():
            break
    await take_back([move.mirror.repository], [move.there.repository], by=BY, now=LATER)
    await move.publish(b"rule two")
    (move.there.folder / "keys").symlink_to(move.mirror.folder / "keys")
    with pytest.raises(HandedOverError, match="handed over to here"):
        await move.publish(b"rule of the other", move.there)


class OnAnotherMachine(FilesystemStore):
    """The same objects without their lock, as another machine sees a bucket."""

    @asynccontextmanager
    async def writing(self, repository: str) -> AsyncIterator[None]:
        del repository
        yield


async def test_a_publish_under_way_during_a_handover_loses_or_comes_before_it(move: Move) -> None:
    await move.transfer().copy("site")
    editions = move.mirror.editions
    elsewhere = StoredRepository(OnAnotherMachine(move.mirror.folder), "site")
    transfer = move.transfer(source=OnAnotherMachine(move.mirror.folder))
    async with editions.editing(BY, now=NOW) as edition:
        other = type(editions)(elsewhere, move.mirror.sign, edition.journal)
        await hand_over(transfer, other)
        with pytest.raises(LockedError, match="another writer was first"):
            await edition.commit(edition.entry("release"), {}, anew=True)
    signed = edition.publisher.publish(Changes(taken=edition.in_force.taken, anew=True), now=NOW)
    assert signed
    assert await asyncio.to_thread(move.gets) == b"rule one"


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


class Typist:
    """Somebody who types commands for the mirror of an operator, and for another place."""

    def __init__(self, operator: Operator, capsys: pytest.CaptureFixture[str]) -> None:
        self.operator = operator
        self._capsys = capsys

    def types(self, *words: object, code: int = 0) -> str:
        arguments = [str(word) for word in words]
        found = console.exit_code(sigmirror, program="sigmirror", arguments=arguments)
        output = self._capsys.readouterr()
        assert found == code, output.err
        return output.out + output.err


@pytest.fixture
def typist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Typist:
    return Typist(Operator(tmp_path, capsys), capsys)


def test_a_handover_is_typed_given_up_and_handed_back(typist: Typist, tmp_path: Path) -> None:
    operator, new, store = typist.operator, tmp_path / "new.toml", tmp_path / "new"
    new.write_text(operator.config.read_text().replace(f"{operator.mirror.folder}", f"{store}"))
    assert "settings and keys" in typist.types("copy", operator.config, store, "--handover", code=2)
    assert "same place" in typist.types("copy", operator.config, operator.mirror.folder, code=2)
    assert "nothing is handed over" in typist.types(
        "unseal", operator.config, "--lost", "--why", "x", code=2
    )
    repository = operator.mirror.repository
    asyncio.run(repository.seal(Handover(NOW, "somebody", "elsewhere")))
    assert "handed over to elsewhere" in typist.types("pull", "--config", operator.config, code=2)
    assert "already" in typist.types("copy", operator.config, new, "--handover", code=2)
    assert "name DST" in typist.types("unseal", operator.config, "--why", "gone", code=2)
    assert "signed here again" in typist.types("unseal", operator.config, store, "--why", "gone")
    told = json.loads(typist.types("copy", operator.config, new, "--handover", "--json"))
    assert told["handed_over"] == f"file://{store}"
    assert "has taken over" in typist.types("unseal", operator.config, new, "--why", "x", code=2)
    (store / "keys").symlink_to(operator.mirror.folder / "keys")
    assert "here nothing is signed" in typist.types("copy", new, operator.config, "--handover")
    (operator.drop / "a.rules").write_text("rule one")
    assert "published" in typist.types("pull", "--config", operator.config)
