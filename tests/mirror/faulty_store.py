"""A store in memory that counts what is asked of it, falls silent, is slow, or lies."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

from keys.errors import UnreachableError
from mirror.storage import MemoryStore, Stat


class FaultyStore(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.is_silent = False
        self.seconds = 0.0  # that a piece takes
        self.lies: dict[str, bytes] = {}
        self.asked: Counter[str] = Counter()

    def _ask(self, what: str, name: str) -> None:
        self.asked[f"{what} {name}"] += 1
        if self.is_silent:
            raise UnreachableError(f"{name}: the object store gave no whole answer: Silence")

    async def stat(self, name: str) -> Stat | None:
        self._ask("stat", name)
        return await super().stat(name)

    async def read(self, name: str, *, max_bytes: int) -> bytes:
        self._ask("read", name)
        return self.lies.get(name) or await super().read(name, max_bytes=max_bytes)

    async def local_path(self, name: str) -> Path | None:
        self._ask("local_path", name)
        return await super().local_path(name)

    async def chunks(self, name: str, start: int, stop: int) -> AsyncIterator[bytes]:
        self._ask("chunks", name)
        if name in self.lies:
            yield self.lies[name][start:stop]
            return
        async for chunk in super().chunks(name, start, stop):
            await asyncio.sleep(self.seconds)
            self._ask("piece", name)
            yield chunk
