"""A door that looks once more for who is unknown: another replica may know him already."""

import asyncio
from pathlib import Path

import pytest

from keys.credentials import Credential, Secret
from keys.errors import CredentialError, StoreError, UnreachableError
from mirror.fleet import ledger
from mirror.fleet.doors import ClosedDoor, Door, HostsDoor, OpenDoor
from mirror.fleet.followed import FollowedDoor
from mirror.fleet.hosts import Hosts
from mirror.settings import ServeSettings, Settings, StoreSettings
from tests.mirror.faulty_store import FaultyStore
from tests.mirror.site import NOW

HOSTS, TOKEN = Hosts().add("mx1", now=NOW)
LOGIN = Credential("mx1", TOKEN)
STRANGER = Credential("mx9", Secret("nobody"))


class Elsewhere:
    """Records of other machines."""

    def __init__(self, *doors: Door | None) -> None:
        self.doors = list(doors)
        self.looks = 0

    async def changed(self) -> Door | None:
        self.looks += 1
        return self.doors.pop(0) if self.doors else None

    async def last(self) -> Door:
        return ClosedDoor(UnreachableError("silence"), gated=False)


class Silent(Elsewhere):
    is_silent = True

    async def changed(self) -> Door | None:
        if self.is_silent:
            raise UnreachableError("silence")
        return await super().changed()


@pytest.mark.parametrize("kind", [HostsDoor, OpenDoor])
async def test_a_host_that_another_replica_enrolled_is_let_in(
    kind: type[HostsDoor] | type[OpenDoor],
) -> None:
    elsewhere = Elsewhere(kind(HOSTS))
    door = FollowedDoor(kind(Hosts()), elsewhere)
    assert (await door.admit(LOGIN, now=NOW)).name == "mx1"
    assert (await door.admit(LOGIN, now=NOW)).name == "mx1"
    assert elsewhere.looks == 1


async def test_strangers_cause_a_look_together_and_stay_outside() -> None:
    elsewhere = Elsewhere()
    door = FollowedDoor(HostsDoor(HOSTS), elsewhere)
    tries = (door.admit(STRANGER, now=NOW) for _ in range(200))
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert all(isinstance(one, CredentialError) for one in outcomes)
    assert elsewhere.looks == 1
    with pytest.raises(CredentialError):
        await door.admit(None, now=NOW)
    assert elsewhere.looks == 1


async def test_a_silent_store_makes_nobody_known_and_nobody_wait() -> None:
    door = FollowedDoor(HostsDoor(HOSTS), Silent())
    with pytest.raises(CredentialError):
        await door.admit(STRANGER, now=NOW)
    assert (await door.admit(LOGIN, now=NOW)).name == "mx1"


async def test_a_door_that_was_shut_opens_once_the_store_answers() -> None:
    source = Silent()
    door = await FollowedDoor.opened(source)
    with pytest.raises(StoreError, match="silence"):  # and blames nobody's credential
        await door.admit(LOGIN, now=NOW)
    with pytest.raises(UnreachableError):
        await door.follow()
    source.is_silent = False
    source.doors.append(HostsDoor(HOSTS))
    assert await door.follow()
    assert (await door.admit(LOGIN, now=NOW)).name == "mx1"
    assert not await door.follow()


async def test_a_change_that_could_not_be_read_is_read_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record's copy is answered, the record itself is not: what was read last is no news."""
    store = FaultyStore()
    monkeypatch.setattr(ledger, "open_bucket", lambda *_given, **_named: store)
    settings = Settings(
        store=StoreSettings(url="s3://bucket", folder=str(tmp_path)),
        serve=ServeSettings(access="hosts"),
    )
    door = await ledger.followed_door(settings)
    assert isinstance(door, FollowedDoor)
    login = Credential("mx1", await asyncio.to_thread(admitted, settings))
    read = store.read
    monkeypatch.setattr(store, "read", unreadable)
    with pytest.raises(UnreachableError):
        await door.follow()
    monkeypatch.setattr(store, "read", read)
    assert await door.follow()
    assert (await door.admit(login, now=NOW)).name == "mx1"
    store.is_silent = True  # another process starts with what this one read
    again = await ledger.followed_door(settings)
    assert (await again.admit(login, now=NOW)).name == "mx1"


def admitted(settings: Settings) -> Secret:
    """Admit a host on another machine."""
    with ledger.hosts_record(settings).replacing() as record:
        record.value, token = record.value.add("mx1", now=NOW)
    return token


async def unreadable(name: str, *, max_bytes: int) -> bytes:
    raise UnreachableError(f"{name}: {max_bytes}")
