"""Who is let in: nobody asked, hosts by token, or a vendor's customers by password."""

import asyncio
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from keys.credentials import Credential, Secret
from keys.errors import CredentialError, LimitError, StoreError
from keys.model.licence import Licence
from keys.model.release import Content
from keys.model.standing import LicenceState
from mirror.fleet.customers import Customers, standing
from mirror.fleet.hosts import Hosts
from mirror.fleet.passwords import PasswordHash

MAX_LOGINS_AT_ONCE = 2  # each takes memory and a tenth of a second
MAX_LOGINS_WAITING = 100


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks; ``licences`` is None for somebody whom no licence bounds.

    ``name`` is that of the credential shown, empty for nobody known; ``is_pool`` says that many
    hosts share it, ``is_here`` that the request comes straight from this machine.
    """

    name: str = ""
    licences: tuple[Licence, ...] | None = None
    is_here: bool = False
    is_pool: bool = False

    def standing(
        self, channel: str, now: datetime, *, seen: datetime | None, content: Content | None
    ) -> LicenceState | None:
        """Tell where the visitor's licences for such content of a channel stand."""
        return standing(self.licences or (), channel, now, seen=seen, content=content)


class Door(Protocol):
    """One way of access; replaced whole when its records change."""

    gated: bool  # whether licences bound what visitors may fetch

    async def admit(self, credential: Credential | None, *, now: datetime) -> Visitor:
        """Let a visitor in.

        Raises:
            CredentialError: no credential, or a wrong one.
            LimitError: too many logins wait.
            StoreError: nobody can tell yet.

        """
        ...


class ClosedDoor:
    """Nobody can be told from anybody: the records could not be read yet."""

    def __init__(self, problem: StoreError, *, gated: bool) -> None:
        self.gated = gated
        self._problem = problem

    async def admit(self, credential: Credential | None, *, now: datetime) -> Visitor:
        """Let nobody in, and blame nobody's credential."""
        del credential, now
        raise StoreError(str(self._problem))


class OpenDoor:
    """Everybody is let in; a host that shows its token is known by name, for what is not public."""

    gated = False

    def __init__(self, hosts: Hosts | None = None) -> None:
        self._hosts = hosts or Hosts()

    async def admit(self, credential: Credential | None, *, now: datetime) -> Visitor:
        """Let everybody in; a wrong credential makes nobody known."""
        if credential is None:
            return Visitor()
        name, token = credential.username, credential.password.reveal()
        if not self._hosts.admits(name, token, now=now):
            return Visitor()
        return Visitor(name, is_pool=self._hosts.is_pool(name))


class HostsDoor:
    """Hosts are let in by their tokens."""

    gated = False

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    async def admit(self, credential: Credential | None, *, now: datetime) -> Visitor:
        """Let a host in."""
        if credential is None:
            raise CredentialError("a credential is needed")
        if not self._hosts.admits(credential.username, credential.password.reveal(), now=now):
            raise CredentialError("unknown host or wrong token")
        name = credential.username
        return Visitor(name, is_pool=self._hosts.is_pool(name))


class CustomersDoor:
    """Customers are let in by their passwords.

    scrypt is too dear for each request: a keyed digest of the last accepted password of each
    customer is remembered as long as this door stands.
    """

    gated = True

    def __init__(self, customers: Customers) -> None:
        self._customers = customers
        self._key = secrets.token_bytes(32)
        self._accepted: dict[str, bytes] = {}
        self._logins = asyncio.Semaphore(MAX_LOGINS_AT_ONCE)
        self._waiting = 0
        self._nobody = PasswordHash(salt="0" * 32, scrypt="0" * 64)

    async def admit(self, credential: Credential | None, *, now: datetime) -> Visitor:
        """Let a customer in."""
        del now
        if credential is None:
            raise CredentialError("a credential is needed")
        customer = self._customers.customers.get(credential.username)
        known = customer.password if customer else self._nobody
        if not await self._matches(credential, known) or customer is None:
            raise CredentialError("unknown user name or wrong password")
        return Visitor(credential.username, customer.licences)

    async def _matches(self, credential: Credential, known: PasswordHash) -> bool:
        name = credential.username
        mark = hmac.digest(self._key, credential.password.reveal().encode(), "sha256")
        if hmac.compare_digest(self._accepted.get(name, b""), mark):
            return True
        if not await self._try(credential.password, known):
            return False
        self._accepted[name] = mark
        return True

    async def _try(self, password: Secret, known: PasswordHash) -> bool:
        if self._waiting >= MAX_LOGINS_WAITING:
            raise LimitError(f"more than MAX_LOGINS_WAITING={MAX_LOGINS_WAITING} logins wait")
        self._waiting += 1
        try:
            async with self._logins:
                return await asyncio.to_thread(known.matches, password)
        finally:
            self._waiting -= 1
