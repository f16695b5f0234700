"""One mirror with what a vendor published, one stock client of it, and what was seen of both."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mirror.app import running
from mirror.inforce import InForce
from mirror.storage import FilesystemStore
from tests.mirror.clamav_vendor import CHANNEL, brought, bytecode
from tests.mirror.cvdupdate_client import MODE, CvdUpdate
from tests.mirror.freshclam import MODES, Freshclam, detects
from tests.mirror.serving import wait_until_served
from tests.mirror.site import BY, Mirror

CLIENTS = (*MODES, MODE)
HEADINGS = ("case", "client", "requests seen", "version", "exit", "EICAR found")


def heading() -> str:
    """Write the table's head."""
    return f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}"


@dataclass(frozen=True, slots=True)
class Row:
    """What was seen of one case."""

    case: str
    mode: str
    requests: tuple[str, ...]
    version: int | None
    exit_code: int
    detects: bool

    def line(self) -> str:
        """Write it as a row of the table."""
        cells = (
            self.case,
            self.mode,
            ", ".join(self.requests) or "none",
            str(self.version or "none"),
            str(self.exit_code),
            "yes" if self.detects else "no",
        )
        return f"| {' | '.join(cells)} |"


class TooSlowError(Exception):
    """This machine took longer than the case allows."""


class HeldStore(FilesystemStore):
    """Stops after the first piece of a large object until it is let go."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.begun, self.let_go = asyncio.Event(), asyncio.Event()

    async def local_path(self, name: str) -> Path | None:
        """Have no files, so that every byte passes here."""
        await super().local_path(name)
        return None

    async def chunks(self, name: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Send the first half, and the other when it may."""
        if stop - start <= 512:
            async for data in super().chunks(name, start, stop):
                yield data
            return
        middle = (start + stop) // 2
        async for data in super().chunks(name, start, middle):
            yield data
        self.begun.set()
        await self.let_go.wait()
        async for data in super().chunks(name, middle, stop):
            yield data


@dataclass
class Scene:
    """One mirror with what the vendor published, and one client of it, by its name."""

    folder: Path
    mode: str
    logs: list[MutableMapping[str, Any]]
    access: str = "open"
    credential: str = ""
    exit_code: int = -1
    requests: tuple[str, ...] = ()
    address: str = "127.0.0.1:0"
    limits: str = ""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    client: Freshclam | CvdUpdate = field(init=False)
    mirror: Mirror = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        folder = self.folder / "client"
        self.client = CvdUpdate(folder) if self.mode == MODE else Freshclam(folder, self.mode)
        self.mirror = Mirror.found(self.folder / "mirror", now=self.now - timedelta(days=30))

    async def publish(self, version: int, *, days_ago: int = 1, **how: Any) -> None:
        """Have a version of the vendor's, since some days."""
        folder = self.folder / f"brought-{len(list(self.folder.iterdir()))}"
        await self._release(brought(folder, version, **how), days_ago)
        signed = (self.now - timedelta(days=days_ago)).timestamp()
        for path in (self.mirror.folder / "r/site/metadata").glob(f"*.{CHANNEL}.json"):
            os.utime(path, (signed, signed))

    async def publish_bytecode(self, version: int) -> None:
        """Have a database large enough that a client can be cut off in it."""
        folder = self.folder / f"brought-{len(list(self.folder.iterdir()))}"
        await self._release(bytecode(folder, version), 0)

    async def _release(self, candidate: Any, days_ago: int) -> None:
        await self.mirror.publishing().release(
            candidate, channel=CHANNEL if candidate.release.startswith("test") else "bytecode",
            track="stable", by=BY, now=self.now - timedelta(days=days_ago),
        )  # fmt: skip

    async def noticed(self) -> None:
        """Wait until the mirror that runs serves what was published beside it."""
        site = self.mirror.folder / "r/site"
        await asyncio.to_thread(wait_until_served, f"http://{self.address}", site)

    @contextlib.asynccontextmanager
    async def serving(self, *, held: bool = False) -> AsyncIterator[HeldStore]:
        """Run the mirror for the length of the block; ``held`` stops it in large objects."""
        config = self.folder / "sigmirror.toml"
        config.write_text(
            f'[store]\nurl = "file://{self.mirror.folder}"\n'
            f'[serve]\nlisten = "{self.address}"\nmetrics_listen = ""\naccess = "{self.access}"\n'
            f"shutdown_grace_seconds = 0\n{self.limits}\n"
        )
        in_force = await InForce.start(config, signs=False, clock=lambda: datetime.now(UTC))
        store = HeldStore(self.mirror.folder)
        if held:
            in_force.repositories = replace(in_force.repositories, store=store)
        async with running(in_force) as (self.address, _):
            yield store

    async def update(self) -> None:
        """Run freshclam once; note what it asked for and how it ended."""
        already = len(self.logs)
        credential = f"{self.credential}@" if self.credential else ""
        self.exit_code = await self.client.run(f"http://{credential}{self.address}")
        seen = self.logs[already:]
        self.requests = tuple(_request(event) for event in seen if event["event"] == "request")

    async def row(self, name: str) -> Row:
        """Tell what was seen."""
        return Row(
            name, self.mode, self.requests, self.client.version, self.exit_code,
            await detects(self.client.databases),
        )  # fmt: skip


def _request(event: Mapping[str, Any]) -> str:
    name, status = event["path"].removeprefix("/clamav/"), event["status"]
    if event.get("cut"):
        return f"{name} cut off"
    empty = " empty" if status == 200 and not event["bytes"] else ""
    return f"{name} {status}{empty}"
