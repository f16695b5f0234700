"""The right to sign goes from one place to another: at no time may both."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from keys import console
from keys.errors import Error, HandedOverError, LockedError, StoreError, UsageError
from keys.model.handover import Handover
from keys.signing.publisher import Changes
from mirror.cli import sigmirror
from mirror.handover import take_back
from mirror.repository import StoredRepository
from mirror.storage import FilesystemStore
from tests.mirror.moving import LATER, CutStore, Move, hand_over
from tests.mirror.operator import Operator
from tests.mirror.site import BY, NOW


@pytest.fixture
async def move(tmp_path: Path) -> Move:
    made = Move(tmp_path)
    await made.publish(b"rule one")
    return made


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


@pytest.mark.slow
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
    (tmp_path / "link").symlink_to(operator.mirror.folder)
    assert "same place" in typist.types("copy", operator.config, tmp_path / "link", code=2)
    assert "nothing is handed over" in typist.types(
        "unseal", operator.config, "--lost", "--reason", "x", code=2
    )
    repository = operator.mirror.repository
    asyncio.run(repository.seal(Handover(NOW, "somebody", "elsewhere")))
    assert "handed over to elsewhere" in typist.types("pull", "--config", operator.config, code=2)
    assert "already" in typist.types("copy", operator.config, new, "--handover", code=2)
    assert "name DST" in typist.types("unseal", operator.config, "--reason", "gone", code=2)
    for other in (store, new):  # who has taken over elsewhere would sign, too
        assert "and not to" in typist.types(
            "unseal", operator.config, other, "--reason", "x", code=2
        )
    assert "signed here again" in typist.types(
        "unseal", operator.config, "--lost", "--reason", "gone"
    )
    told = json.loads(typist.types("copy", operator.config, new, "--handover", "--json"))
    assert told["handed_over"] == f"file://{store}"
    status = typist.types("status", "--config", operator.config)
    assert f"repository site (handed over to file://{store} on " in status
    assert "has taken over" in typist.types("unseal", operator.config, new, "--reason", "x", code=2)
    (store / "keys").symlink_to(operator.mirror.folder / "keys")
    assert "here nothing is signed" in typist.types("copy", new, operator.config, "--handover")
    (operator.drop / "a.rules").write_text("rule one")
    assert "published" in typist.types("pull", "--config", operator.config)


def test_a_public_copy_knows_the_settings_and_says_what_it_tells_everybody(
    typist: Typist, tmp_path: Path
) -> None:
    operator, public = typist.operator, tmp_path / "public"
    folder = operator.mirror.folder
    assert "needs the mirror's settings" in typist.types("copy", "--public", folder, public, code=2)
    assert "everybody" not in typist.types("copy", "--public", operator.config, public)
    at = ("--config", operator.config, "--reason", "slow")
    typist.types("config", "set", "interval_seconds", "600", "--all", *at)
    told = typist.types("copy", "--public", operator.config, public)
    assert "note: everybody can read there names of hosts, and the settings" in told
    assert "licences" not in told
