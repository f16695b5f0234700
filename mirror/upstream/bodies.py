"""A vendor's objects streamed into files; what is cut off goes on where it stopped."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from keys.errors import FetchError, LimitError, StateError
from keys.model.release import Pin
from mirror.upstream import answers
from mirror.upstream.answers import CutOffError
from mirror.upstream.client import NOT_MODIFIED, Answer, Judge, VendorClient, check

MAX_RESUMPTIONS = 5  # of one file in one pull


@dataclass(frozen=True, slots=True)
class Limit:
    """How many bytes a file may have, and what an operator knows that number by."""

    max_bytes: int
    name: str = "max_bytes"

    def __str__(self) -> str:
        return f"{self.name}={self.max_bytes}"


@dataclass(frozen=True, slots=True)
class Bodies:
    """The files one pull brings; ``on_bytes`` is told of every piece."""

    client: VendorClient
    on_bytes: Callable[[int], None]

    async def save(
        self, name: str, target: Path, limit: Limit, *,
        headers: Mapping[str, str] | None = None, judge: Judge = check,
    ) -> Answer:  # fmt: skip
        """Stream a whole object into a file.

        One that is cut off is asked for from there on, as long as more of it comes each time and
        the vendor's ETag can vouch that it is still the same. Where ``headers`` ask for a change
        and there is none (304), no file is written.

        Raises:
            LimitError: longer than the limit, by its header or by its bytes.
            FetchError: it did not come.
            Error: as ``judge``; nothing was written then.

        """
        begun: Answer | None = None
        for left in range(MAX_RESUMPTIONS, -1, -1):
            held = _length(target) if begun else 0
            asked = answers.rest(begun.headers, held) if begun else headers
            try:
                async with self.client.get(name, asked or {}) as (answer, pieces):
                    if begun is None or not answers.continues(answer.status, answer.headers, held):
                        _check_whole(answer, judge, limit)
                        begun, held = answer, 0
                    if begun.status != NOT_MODIFIED:
                        await self._write(answer, pieces, target, held, limit)
                    return begun
            except CutOffError:
                more = _length(target) > held if begun else False
                if not (left and begun and more and answers.rest(begun.headers, 1)):
                    raise
        raise AssertionError

    async def download(self, name: str, target: Path, pin: Pin) -> None:
        """Bring a pinned object into a file, going on where an earlier attempt left it.

        The file is complete in length, not yet verified.

        Raises:
            MissingError, CredentialError, LicenceEndedError, FetchError, LimitError: as
                ``VendorClient.read``; what came stays in the file.

        """
        held = _length(target)
        if held and held == pin.length:
            return
        held = held if held < pin.length else 0
        headers = {"Range": f"bytes={held}-", "If-Range": f'"{pin.sha256}"'} if held else {}
        async with self.client.get(name, headers) as (answer, pieces):
            check(answer)
            if not answers.continues(answer.status, answer.headers, held):
                held = 0
            limit = Limit(pin.length, "the length promised")
            await self._write(answer, pieces, target, held, limit)
        if _length(target) != pin.length:
            raise FetchError(f"{name}: ended after {_length(target)} of {pin.length} bytes")

    async def _write(
        self, answer: Answer, pieces: AsyncIterator[bytes], target: Path, held: int, limit: Limit
    ) -> None:
        with target.open("ab" if held else "wb") as file:
            async for data in pieces:
                if file.tell() + len(data) > limit.max_bytes:
                    raise LimitError(f"{answer.address}: more than {limit}")
                try:
                    await asyncio.to_thread(file.write, data)
                except OSError as exc:
                    raise StateError(f"{target}: {exc.strerror or exc}") from exc
                self.on_bytes(len(data))


def _check_whole(answer: Answer, judge: Judge, limit: Limit) -> None:
    judge(answer)
    answers.check_encoding(answer.headers, answer.address)
    answers.check_length(answer.headers, answer.address, limit.max_bytes, limit.name)


def _length(target: Path) -> int:
    return target.stat().st_size if target.exists() else 0
