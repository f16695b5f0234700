"""A store that gave no answer is not asked by everybody: for a moment everybody is told so."""

import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import TypeVar

from keys.errors import UnreachableError
from mirror.storage.base import ReadableStore, Stat
from mirror.web.layout import TIMESTAMP

FAIL_FAST_SECONDS = 2.0

_Result = TypeVar("_Result")


class FailFast:
    """A store that is left alone for a moment; only the timestamp is always looked for."""

    def __init__(self, store: ReadableStore) -> None:
        self._store = store
        self._until = 0.0

    async def stat(self, name: str) -> Stat | None:
        """Tell an object's length and version."""
        if name.endswith(TIMESTAMP):
            return await self._answer(self._store.stat(name))
        return await self._asked(lambda: self._store.stat(name))

    async def read(self, name: str, *, max_bytes: int) -> bytes:
        """Return an object's bytes."""
        return await self._asked(lambda: self._store.read(name, max_bytes=max_bytes))

    async def local_path(self, name: str) -> Path | None:
        """Return the object's file, where there is one."""
        return await self._asked(lambda: self._store.local_path(name))

    async def chunks(self, name: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Stream the bytes from ``start`` to before ``stop``."""
        chunks = aiter(self._store.chunks(name, start, stop))

        async def following() -> bytes | None:
            return await anext(chunks, None)

        while (data := await self._asked(following)) is not None:
            yield data

    async def _asked(self, ask: Callable[[], Coroutine[None, None, _Result]]) -> _Result:
        if time.monotonic() < self._until:
            raise UnreachableError("the store gave no answer a moment ago")
        return await self._answer(ask())

    async def _answer(self, answer: Coroutine[None, None, _Result]) -> _Result:
        try:
            found = await answer
        except UnreachableError:
            self._until = time.monotonic() + FAIL_FAST_SECONDS
            raise
        self._until = 0.0
        return found
