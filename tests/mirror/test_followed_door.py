"""A door that looks once more for who is unknown: another replica may know him already."""

import asyncio

import pytest

from keys.credentials import Credential, Secret
from keys.errors import CredentialError, StoreError, UnreachableError
from mirror.fleet.doors import ClosedDoor, Door, HostsDoor, OpenDoor
from mirror.fleet.followed import FollowedDoor
from mirror.fleet.hosts import Hosts
from tests.mirror.site import NOW

HOSTS, TOKEN = Hosts().add("mx1", now=NOW)
LOGIN = Credential("mx1", TOKEN)
STRANGER = Credential("mx9", Secret("nobody"))


class Elsewhere:
    """Records of other machines."""

    def __init__(self, *doors: Door | None) -> None:
        self.doors = list(doors)
        self.looks = 0

    async def look(self) -> Door | None:
        self.looks += 1
        return self.doors.pop(0) if self.doors else None


@pytest.mark.parametrize("kind", [HostsDoor, OpenDoor])
async def test_a_host_that_another_replica_enrolled_is_let_in(
    kind: type[HostsDoor] | type[OpenDoor],
) -> None:
    elsewhere = Elsewhere(kind(HOSTS))
    door = FollowedDoor(kind(Hosts()), elsewhere.look)
    assert (await door.admit(LOGIN, now=NOW)).name == "mx1"
    assert (await door.admit(LOGIN, now=NOW)).name == "mx1"
    assert elsewhere.looks == 1


async def test_strangers_cause_a_look_together_and_stay_outside() -> None:
    elsewhere = Elsewhere()
    door = FollowedDoor(HostsDoor(HOSTS), elsewhere.look)
    tries = (door.admit(STRANGER, now=NOW) for _ in range(200))
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert all(isinstance(one, CredentialError) for one in outcomes)
    assert elsewhere.looks == 1
    with pytest.raises(CredentialError):
        await door.admit(None, now=NOW)
    assert elsewhere.looks == 1


async def test_a_silent_store_makes_nobody_known_and_nobody_wait() -> None:
    class Silent(Elsewhere):
        async def look(self) -> Door | None:
            raise UnreachableError("silence")

    door = FollowedDoor(HostsDoor(HOSTS), Silent().look)
    with pytest.raises(CredentialError):
        await door.admit(STRANGER, now=NOW)
    assert (await door.admit(LOGIN, now=NOW)).name == "mx1"


async def test_before_the_records_were_ever_read_nobody_is_blamed() -> None:
    closed = ClosedDoor(UnreachableError("silence"), gated=False)
    with pytest.raises(StoreError, match="silence"):
        await closed.admit(LOGIN, now=NOW)
