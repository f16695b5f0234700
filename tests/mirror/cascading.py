"""A vendor on loopback, and a site mirror that passes his repository through."""

import asyncio
import pickle
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from keys.credentials import Credential, Secret
from keys.model.standing import LicenceState
from mirror.destination import Destination
from mirror.feeds import UpstreamSettings
from mirror.ingest import Ingest
from mirror.intake import Label
from mirror.pulls import PullState, Result
from mirror.repository import StoredRepository
from mirror.upstream.access import Access
from mirror.upstream.auth import basic
from mirror.upstream.base import Pull
from mirror.upstream.tuf import TufUpstream
from mirror.upstream.vendor_copy import VendorCopy
from tests.mirror import kill_points
from tests.mirror.site import BY, NOW, Client, Mirror, candidate
from tests.mirror.vendor import Vendor, root_of

USER, PASSWORD = "EAV-0123456", "correct-horse"
CREDENTIAL = Credential(USER, Secret(PASSWORD))
WRONG = "wrong"
DAY = timedelta(days=1)
SETTINGS = UpstreamSettings(name="av", kind="tuf", licence="av-2026")


@dataclass
class Cascade:
    """A vendor, and a site mirror that pulls from it over HTTP."""

    vendor: Vendor
    site: Mirror
    folder: Path
    password: str = PASSWORD
    settings: UpstreamSettings = SETTINGS
    licence: LicenceState | None = None
    now: datetime = NOW
    root: int = 1

    async def release(self, number: int, contents: dict[str, bytes]) -> None:
        await self.vendor.mirror.publishing().release(
            candidate(self.folder / f"release-{number}", contents, f"release {number}"),
            channel="engine", track="stable", label=Label("yara"), by=BY, now=self.now,
        )  # fmt: skip

    @property
    def repository(self) -> StoredRepository:
        return StoredRepository(self.site.store, "av")

    @property
    def state(self) -> PullState:
        return PullState(self.site.folder / "state/upstreams", "av")

    def upstream(self) -> TufUpstream:
        settings = replace_url(self.settings, self.vendor.url)
        credential = Credential(USER, Secret(self.password))
        copy = VendorCopy(
            "av",
            root_of(self.vendor.mirror, self.folder, self.root),
            self.site.folder / "state/upstreams/av",
        )
        rate = settings.min_rate_bytes_per_second
        access = Access(settings.url, basic(credential), min_rate_bytes_per_second=rate)
        return TufUpstream(settings, access, copy, self.repository)

    def ingest(self) -> Ingest:
        secret = self.folder / "password"
        if not secret.exists():
            secret.write_text(self.password)
        settings = replace_url(self.settings, self.vendor.url)
        return Ingest(
            settings=settings,
            upstream=self.upstream(),
            to=Destination(
                settings,
                self.site.publishing(),
                self.site.policies,
                self.site.holds,
                self.repository,
            ),
            state=self.state,
            quarantine=self.site.folder / "quarantine/av",
            licence=lambda _now: self.licence,
            credential_files=(secret,),
        )

    async def pull(self, *, by_hand: bool = True) -> Result:
        return await self.ingest().pull(now=self.now, by=BY, by_hand=by_hand)

    def client(self, name: str = "client") -> Client:
        return self.site.client(self.folder / name, repository="av")

    async def offered(self) -> dict[str, bytes]:
        """Read what a host believes, by the vendor's keys and the site's choice."""
        return await asyncio.to_thread(self._offered)

    def _offered(self) -> dict[str, bytes]:
        policy = self.site.client(self.folder / "site").channels(now=self.now)
        chosen = policy.policy("av", "engine")
        assert chosen is not None
        client = self.client()
        channels = client.channels(now=self.now)
        files = channels.files(channels.pointed("engine", chosen.tracks["stable"]))
        return {
            file.path: client.blob(f"engine/files/{file.path}", file.pin, 1 << 30) for file in files
        }


def replace_url(settings: UpstreamSettings, url: str) -> UpstreamSettings:
    fields = {name: getattr(settings, name) for name in settings.__struct_fields__}
    return UpstreamSettings(**{**fields, "url": url})


PROGRAM = """
import pickle
from mirror.destination import Destination
from mirror.repository import StoredRepository
from tests.mirror.cascading import SETTINGS
from tests.mirror.site import BY, NOW, Mirror
site = Mirror(Path(sys.argv[1]))
advance = pickle.loads(Path(sys.argv[2]).read_bytes())
to = Destination(
    SETTINGS, site.publishing(), site.policies, site.holds, StoredRepository(site.store, "av")
)
run(to.pass_through(advance, by=BY, now=NOW))
"""


async def every_kill(cascade: Cascade, check: Callable[[str], Awaitable[None]]) -> int:
    """Pass the vendor's newest release through, and be killed at each change on the disk.

    Each time the site is what it is now; ``check`` looks at it afterwards.
    """
    loop, before, rounds = asyncio.get_running_loop(), cascade.folder / "before", 0
    await asyncio.to_thread(shutil.copytree, cascade.site.folder, before)

    async def fetched() -> list[str]:
        quarantine = cascade.folder / f"fetched-{rounds}"
        quarantine.mkdir()
        described = quarantine / "advance"
        advance = await cascade.upstream().fetch(quarantine, Pull(NOW))
        described.write_bytes(pickle.dumps(advance))
        return [str(cascade.site.folder), str(described)]

    def fresh() -> list[str]:
        nonlocal rounds
        rounds += 1
        cascade.site = Mirror(cascade.folder / f"site-{rounds}")
        shutil.copytree(before, cascade.site.folder)
        return asyncio.run_coroutine_threadsafe(fetched(), loop).result()

    async def checked(when: str) -> None:
        for name in ("client", "site"):
            await asyncio.to_thread(shutil.rmtree, cascade.folder / name, ignore_errors=True)
        await check(when)

    return await asyncio.to_thread(
        kill_points.every_kill,
        PROGRAM,
        log=cascade.folder / "log",
        fresh=fresh,
        check=lambda when: asyncio.run_coroutine_threadsafe(checked(when), loop).result(),
    )
