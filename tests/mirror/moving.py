"""A mirror, a place that its repository goes to, and a line between them that can be cut."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path

from keys.errors import StoreError
from mirror.edition import Editions
from mirror.handover import Handing
from mirror.intake import Label
from mirror.publish import Publishing
from mirror.storage import Stat, Store
from mirror.transfer import MAX_HELD_BYTES, Transfer
from tests.mirror.site import BY, NOW, Client, Mirror, candidate

LARGE = b"large" * (MAX_HELD_BYTES // 5 + 1)
LATER = NOW + timedelta(hours=1)


class CutStore:
    """A store whose requests fail from a chosen one on."""

    def __init__(self, store: Store, at: int = 1 << 30) -> None:
        self.store = store
        self.at = at
        self.requests = 0

    def _count(self) -> Store:
        self.requests += 1
        if self.requests >= self.at:
            raise StoreError("the line is cut")
        return self.store

    async def stat(self, name: str) -> Stat | None:
        return await self._count().stat(name)

    async def read(self, name: str, *, max_bytes: int) -> bytes:
        return await self._count().read(name, max_bytes=max_bytes)

    async def local_path(self, name: str) -> Path | None:
        return await self._count().local_path(name)

    def chunks(self, name: str, start: int, stop: int) -> AsyncIterator[bytes]:
        return self._count().chunks(name, start, stop)

    async def create(self, name: str, content: bytes | Path) -> None:
        await self._count().create(name, content)

    async def replace(self, name: str, data: bytes) -> None:
        await self._count().replace(name, data)

    async def delete(self, name: str) -> None:
        await self._count().delete(name)

    def names(self, prefix: str) -> AsyncIterator[str]:
        return self._count().names(prefix)

    async def sweep(self, prefix: str) -> None:
        await self._count().sweep(prefix)

    def writing(self, repository: str) -> AbstractAsyncContextManager[None]:
        return self._count().writing(repository)


async def hand_over(
    transfer: Transfer, editions: Editions, *, here: str = "here", to: str = "there"
) -> None:
    await Handing(transfer, editions, ["site"], here, to).over(BY, now=LATER)


class Move:
    """A mirror, and a place that its repository goes to."""

    def __init__(self, folder: Path) -> None:
        self.mirror = Mirror.found(folder / "here")
        self.folder = folder
        self.there = Mirror(folder / "there")
        self._made = 0

    async def publish(self, text: bytes, mirror: Mirror | None = None) -> None:
        self._made += 1
        publishing: Publishing = (mirror or self.mirror).publishing(keep=3)
        files = {"a.yar": text, "große/ルール.bin": LARGE}
        await publishing.release(
            candidate(self.folder / f"release-{self._made}", files),
            channel="inhouse", track="stable", label=Label("yara"), by=BY, now=NOW,
        )  # fmt: skip

    def transfer(
        self, target: Store | None = None, *, source: Store | None = None, dry_run: bool = False
    ) -> Transfer:
        return Transfer(
            source or self.mirror.store,
            target or self.there.store,
            self.folder / "scratch",
            dry_run=dry_run,
        )

    def back(self) -> Transfer:
        return self.transfer(self.mirror.store, source=self.there.store)

    def host(self, name: str) -> Client:
        """Return a host that reads what lies at the destination."""
        return self.there.client(self.folder / name)

    def gets(self, name: str = "host") -> bytes:
        return self.host(name).contents("inhouse")["a.yar"]

    async def hands_over(self) -> None:
        await hand_over(self.transfer(), self.mirror.editions)
        keys = self.there.folder / "keys"
        if not keys.exists():
            keys.symlink_to(self.mirror.folder / "keys")
