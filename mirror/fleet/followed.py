"""A door made from records that other machines change: who is unknown is looked for once more.

A host that was enrolled on another replica a moment ago is no stranger.
"""

import asyncio
from datetime import datetime
from typing import Protocol, Self

from keys.credentials import Credential
from keys.errors import CredentialError, Error, StoreError
from mirror.fleet.doors import Door, Visitor

LOOK_SECONDS = 0.5  # between two looks that strangers cause


class Source(Protocol):
    """Where doors come from."""

    async def changed(self) -> Door | None:
        """Make a door, None where nothing changed since the last one.

        Raises:
            StoreError: nobody can tell now.

        """
        ...

    async def last(self) -> Door:
        """Make one from what was known last."""
        ...


class FollowedDoor:
    """A door that is replaced when its source has another one."""

    def __init__(self, door: Door, source: Source) -> None:
        self.gated = door.gated
        self._door = door
        self._source = source
        self._looking = asyncio.Lock()
        self._looked = float("-inf")

    @classmethod
    async def opened(cls, source: Source) -> Self:
        """Make the first one; from what was known last, where the store does not answer."""
        try:
            door = await source.changed()
        except StoreError:
            door = None
        return cls(door or await source.last(), source)

    async def follow(self) -> bool:
        """Look whether there is another door; tell whether there was.

        Raises:
            Error: the records cannot be read; the old door stays.

        """
        async with self._looking:
            return await self._follow()

    async def _follow(self) -> bool:
        self._looked = asyncio.get_running_loop().time()
        door = await self._source.changed()
        self._door = door or self._door
        return door is not None

    async def admit(self, credential: Credential | None, *, now: datetime) -> Visitor:
        """Let a visitor in."""
        asked, door = asyncio.get_running_loop().time(), self._door
        try:
            visitor = await door.admit(credential, now=now)
        except CredentialError:
            if credential is None or not await self._is_other(door, asked):
                raise
            return await self._door.admit(credential, now=now)
        if credential is not None and not visitor.name and await self._is_other(door, asked):
            return await self._door.admit(credential, now=now)
        return visitor

    async def _is_other(self, door: Door, asked: float) -> bool:
        """Look whether the records changed; those who ask meanwhile share the look."""
        async with self._looking:
            if self._looked <= asked:
                loop = asyncio.get_running_loop()
                await asyncio.sleep(max(0.0, self._looked + LOOK_SECONDS - loop.time()))
                try:
                    await self._follow()
                except Error:  # the store's own metric tells of it
                    return False
        return self._door is not door
