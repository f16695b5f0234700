"""Mirrors behind mirrors: the last one's `/clamav/` has the vendor's own bytes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from keys.model.release import Pointer
from mirror.app import running
from mirror.cli.options import open_site
from mirror.inforce import InForce
from mirror.intake import Label
from mirror.status import read_status
from tests.keys.signing_site import PASSPHRASE
from tests.mirror.clamav_vendor import CHANNEL, brought, genuine, originals
from tests.mirror.freshclam import Freshclam, detects, need_freshclam
from tests.mirror.site import BY, Mirror


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Serving:
    """One mirror as its settings describe it."""

    folder: Path
    mirror: Mirror
    address: str = ""

    @classmethod
    def found(cls, folder: Path) -> "Serving":
        folder.mkdir()
        (folder / "passphrase").write_text(PASSPHRASE.reveal())
        return cls(folder, Mirror.found(folder / "mirror", now=now()))

    @property
    def config(self) -> Path:
        return self.folder / "sigmirror.toml"

    def write(self, upstreams: str = "") -> None:
        self.config.write_text(
            f'[store]\nurl = "file://{self.mirror.folder}"\n'
            f'[signing]\npassphrase_file = "{self.folder}/passphrase"\n'
            '[serve]\nlisten = "127.0.0.1:0"\nmetrics_listen = ""\nshutdown_grace_seconds = 0\n'
            + upstreams
        )

    def follow(self, parent: "Serving", **keys: object) -> None:
        """Pull from another mirror's repository."""
        root = self.folder / "vendor-root.json"
        root.write_bytes((parent.mirror.folder / "r/site/metadata/1.root.json").read_bytes())
        more = "".join(f"{key} = {str(value).lower()}\n" for key, value in keys.items())
        self.write(
            f'[[upstream]]\nname = "av"\nkind = "tuf"\nroot = "{root}"\n'
            f'url = "http://{parent.address}/r/site"\n{more}'
        )

    async def publish(self, version: int) -> None:
        folder = self.folder / f"brought-{version}"
        await self.mirror.publishing().release(
            brought(folder, version), channel=CHANNEL, track="stable", label=Label("clamav"),
            by=BY, now=now(),
        )  # fmt: skip

    async def pull(self, upstream: str = "av") -> str:
        site = open_site(self.config, pulls=True)
        result = await site.ingest(upstream).pull(now=now(), by=BY, by_hand=True)
        return result.outcome

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["Serving"]:
        if not self.config.exists():
            self.write()
        in_force = await InForce.start(self.config, signs=False, clock=now)
        async with running(in_force) as (self.address, _):
            yield self

    async def get(self, name: str) -> tuple[int, bytes]:
        url = f"http://{self.address}/clamav/{name}"
        async with aiohttp.ClientSession() as client, client.get(url) as answer:
            return answer.status, await answer.read()


@pytest.fixture
async def parent(tmp_path: Path) -> AsyncIterator[Serving]:
    """A mirror that has the vendor's third version."""
    one = Serving.found(tmp_path / "parent")
    await one.publish(3)
    async with one.serving():
        yield one


@pytest.fixture
def child(tmp_path: Path) -> Serving:
    return Serving.found(tmp_path / "child")


async def test_a_mirror_behind_a_mirror_serves_the_same_bytes(
    parent: Serving, child: Serving
) -> None:
    child.follow(parent)
    assert await child.pull() == "published"
    async with child.serving():
        for name, data in originals(3).items():
            assert await child.get(name) == (200, data)
        assert await child.get("test-1.cdiff") == (200, b"")
        assert (await child.get("test.cld"))[0] == 404


async def test_a_mirror_that_leaves_originals_out_has_no_clamav_folder(
    parent: Serving, child: Serving
) -> None:
    child.follow(parent, originals=False)
    await child.pull()
    async with child.serving():
        for name in originals(3):
            assert (await child.get(name))[0] == 404


async def test_the_sites_own_choice_counts_and_not_the_vendors(
    parent: Serving, child: Serving
) -> None:
    child.follow(parent)
    await child.pull()
    async with child.serving():
        await parent.publish(2)  # of which the vendor thinks that it is the next one
        await _until(parent, genuine("test-2.cvd"))
        assert await child.pull() == "held"  # it has no signatures any more
        await asyncio.sleep(1)
        assert await child.get("test.cvd") == (200, genuine("test-3.cvd"))
        site = (await read_status(open_site(child.config), now=now())).repositories[1]
        two = site.channels[0].releases[0]
        chosen = {CHANNEL: Pointer(two.sequence, two.manifest_sha256)}
        await child.mirror.policies.choose(
            "av", chosen, track=lambda _channel: "stable", by=BY, now=now()
        )
        await _until(child, genuine("test-2.cvd"))


async def _until(mirror: Serving, wanted: bytes) -> None:
    for _ in range(100):
        if (await mirror.get("test.cvd"))[1] == wanted:
            return
        await asyncio.sleep(0.1)
    pytest.fail("the release that is chosen was not served")


async def test_freshclam_is_served_by_the_last_of_three(
    parent: Serving, child: Serving, tmp_path: Path
) -> None:
    need_freshclam()
    last = Serving.found(tmp_path / "last")
    child.follow(parent)
    await child.pull()
    async with child.serving():
        root = child.folder / "vendor-root.json"
        last.folder.joinpath("vendor-root.json").write_bytes(root.read_bytes())
        last.write(
            f'[[upstream]]\nname = "av"\nkind = "tuf"\nroot = "{last.folder}/vendor-root.json"\n'
            f'url = "http://{child.address}/r/av"\n'
        )
        await last.pull()
    client = Freshclam(tmp_path / "client", "DatabaseMirror")
    client.hold(genuine("test-1.cvd"))
    async with last.serving():
        assert await client.run(f"http://{last.address}") == 0
    assert (client.version, await detects(client.databases)) == (3, True)


async def test_our_own_clamav_adapter_reads_our_own_layout(parent: Serving, child: Serving) -> None:
    child.write(
        '[[upstream]]\nname = "official"\nkind = "clamav"\nchannel = "clamav"\n'
        f'driver = "native"\nurl = "http://{parent.address}/clamav"\ndatabases = ["test"]\n'
    )
    assert await child.pull("official") == "published"
    assert await child.pull("official") == "unchanged"
    async with child.serving():
        for name in ("test.cvd", "test-3.cvd.sign"):
            assert await child.get(name) == (200, originals(3)[name])


async def test_a_database_that_two_channels_hold_is_a_problem_of_the_status(
    parent: Serving, child: Serving
) -> None:
    child.follow(parent)
    await child.pull()
    await child.publish(2)
    status = await read_status(open_site(child.config), now=now())
    assert "/clamav/test.cvd: in av/clamav and in site/clamav; the first is served" in (
        status.problems
    )
    async with child.serving():
        assert await child.get("test.cvd") == (200, genuine("test-3.cvd"))
