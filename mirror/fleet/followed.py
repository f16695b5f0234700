"""A door made from records that other machines change: who is unknown is looked for once more.

A host that was enrolled on another replica a moment ago is no stranger.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from keys.credentials import Credential
from keys.errors import CredentialError, Error
from mirror.fleet.doors import Door, Visitor

LOOK_SECONDS = 0.5  # between two looks that strangers cause


class FollowedDoor:
    """A door that ``look`` replaces: it returns another one where the records changed, or None."""

    def __init__(self, door: Door, look: Callable[[], Awaitable[Door | None]]) -> None:
        self.gated = door.gated
        self._door = door
        self._look = look
        self._looking = asyncio.Lock()
        self._looked = float("-inf")

    async def admit(self, credential: Credential | None, *, now: datetime) -> Visitor:
        """Let a visitor in."""
        asked = asyncio.get_running_loop().time()
        try:
            visitor = await self._door.admit(credential, now=now)
        except CredentialError:
            if credential is None or not await self._is_other(asked):
                raise
            return await self._door.admit(credential, now=now)
        if credential is not None and not visitor.name and await self._is_other(asked):
            return await self._door.admit(credential, now=now)
        return visitor

    async def _is_other(self, asked: float) -> bool:
        """Look whether the records changed; those who ask meanwhile share the look."""
        loop = asyncio.get_running_loop()
        before = self._door
        async with self._looking:
            if self._looked <= asked:
                await asyncio.sleep(max(0.0, self._looked + LOOK_SECONDS - loop.time()))
                self._looked = loop.time()
                try:
                    self._door = await self._look() or self._door
                except Error:  # the store's own metric tells of it
                    return False
        return self._door is not before
