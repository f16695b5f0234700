"""Root and targets are renewed in a folder, for a repository that lies elsewhere."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from keys import console
from keys.cli import sigkeys
from keys.errors import ExpiredError, HandedOverError, SignatureError, TrustError, UsageError
from keys.model.handover import Handover
from keys.signing.layout import Layout
from mirror.ceremony import bring_back, take_out
from mirror.edition import Editions
from mirror.journal import Journal
from mirror.repository import StoredRepository
from mirror.storage import MemoryStore
from mirror.transfer import Transfer
from tests.keys.signing_site import PASSPHRASE
from tests.mirror.operator import now
from tests.mirror.site import BY, Mirror

Renew = Callable[..., None]


class Away:
    """A repository in a store without files, and a folder for its ceremonies."""

    def __init__(self, folder: Path) -> None:
        self.mirror = Mirror.found(folder / "founded", now=now() - timedelta(days=300))
        self.store = MemoryStore()
        self.repository = StoredRepository(self.store, "site")
        self.layout = Layout(folder / "ceremony")
        self.journal = Journal(folder / "publish.jsonl")
        self.scratch = folder / "scratch"

    async def taken_out(self) -> "Away":
        await Transfer(self.mirror.store, self.store, self.scratch).copy("site")
        await take_out(self.repository, self.layout)
        return self

    async def brings_back(self) -> list[str]:
        return [*await bring_back(self.repository, self.layout, self.journal, by=BY, now=now())]


@pytest.fixture
async def away(tmp_path: Path) -> Away:
    return await Away(tmp_path).taken_out()


@pytest.fixture
def renew(monkeypatch: pytest.MonkeyPatch) -> Renew:
    monkeypatch.setenv("SIGMIRROR_PASSPHRASE", PASSPHRASE.reveal())

    def renews(folder: Path, keys: Path, *words: str) -> None:
        arguments = ["renew", str(folder), "--offline", str(keys / "keys/offline"), *words]
        assert console.exit_code(sigkeys, program="sigkeys", arguments=arguments) == 0

    return renews


async def test_what_offline_keys_signed_in_a_folder_comes_back_and_is_built_upon(
    away: Away, renew: Renew
) -> None:
    assert await away.brings_back() == []
    renew(away.layout.folder, away.mirror.folder)
    renew(away.layout.folder, away.mirror.folder, "root")
    assert await away.brings_back() == ["root", "targets"]
    assert await away.brings_back() == []
    assert [entry.roles for entry in away.journal.entries()] == [("root", "targets")]
    editions = Editions(away.repository, away.mirror.sign, away.journal)
    assert "snapshot" in await editions.renew(BY, now=now())
    shutil.rmtree(away.layout.folder)
    state = await take_out(away.repository, away.layout)
    assert (state.version("root"), state.version("targets")) == (3, 2)
    assert not state.is_behind()


async def test_a_root_that_the_keys_in_force_did_not_sign_is_refused(
    away: Away, renew: Renew, tmp_path: Path
) -> None:
    attacker = Mirror.found(tmp_path / "attacker", now=now())
    renew(attacker.folder, attacker.folder)
    forged = attacker.folder / "r/site/metadata"
    for name in ("2.root.json", "2.targets.json"):
        shutil.copy(forged / name, away.layout.metadata / name)
        with pytest.raises(SignatureError):
            await away.brings_back()
        (away.layout.metadata / name).unlink()
    (away.layout.metadata / "2.root.json").write_bytes(b"<html>")
    with pytest.raises(TrustError):
        await away.brings_back()
    assert (await away.repository.in_force()).taken["root"] == 1
    with pytest.raises(UsageError, match="another repository, or was never brought back"):
        await take_out(StoredRepository(attacker.store, "site"), away.layout)


async def test_what_has_expired_meanwhile_is_not_brought_back(away: Away, renew: Renew) -> None:
    renew(away.layout.folder, away.mirror.folder, "--days", "1")
    with pytest.raises(ExpiredError, match="root: expired"):
        await bring_back(
            away.repository, away.layout, away.journal, by=BY, now=now() + timedelta(days=2)
        )
    assert (await away.repository.in_force()).taken["root"] == 1


async def test_nothing_is_brought_back_where_the_repository_was_handed_over(
    away: Away, renew: Renew
) -> None:
    renew(away.layout.folder, away.mirror.folder)
    seal = Handover(now(), "somebody", "elsewhere")
    await away.repository.seal(seal)
    with pytest.raises(HandedOverError):
        await away.brings_back()
    await StoredRepository(away.mirror.store, "site").seal(seal)
    with pytest.raises(AssertionError):
        renew(away.mirror.folder, away.mirror.folder)
