"""Every kind of upstream keeps the same promises."""

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from keys.credentials import Credential, Secret
from mirror.feeds import UpstreamSettings
from mirror.intake import Label
from mirror.repository import StoredRepository
from mirror.upstream.access import Access
from mirror.upstream.auth import ANONYMOUS, Auth, basic
from mirror.upstream.base import Feed, Upstream
from mirror.upstream.clamav import assembled
from mirror.upstream.drop import DropUpstream
from mirror.upstream.http import HttpUpstream
from mirror.upstream.tuf import TufUpstream
from mirror.upstream.vendor_copy import VendorCopy
from tests.clamav_vendor import VENDOR, issue
from tests.mirror.clamav_vendor_server import ClamavServer
from tests.mirror.clamav_vendor_server import serving as serving_databases
from tests.mirror.site import BY, NOW, Mirror, candidate
from tests.mirror.stand_in import StandIn, body, by_path, packed
from tests.mirror.upstream_contract import Footing, UpstreamContract
from tests.mirror.vendor import Vendor, root_of, serving

TOKEN = "S3CR3T-token"  # noqa: S105 - of a vendor on loopback


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    return Mirror.found(tmp_path / "mirror")


def contents(number: int) -> dict[str, bytes]:
    """Return the files of a release; each has more than the one before."""
    return {"a.yar": b"rule a" * number, "除外.yar": b"rule b", "deep/c.yar": b"c" * number}


class TestDrop(UpstreamContract):
    @pytest.fixture
    def footing(self, mirror: Mirror, tmp_path: Path) -> Footing:
        folder = tmp_path / "drop"
        folder.mkdir()
        settings = UpstreamSettings(
            name="inhouse", kind="drop", channel="rules", folder=str(folder), quiet_seconds=0.01
        )

        async def release(number: int) -> None:
            for path, data in contents(number).items():
                (folder / path).parent.mkdir(exist_ok=True)
                (folder / path).write_bytes(data)

        return Footing(
            mirror, settings, lambda _last: DropUpstream(settings), release,
            spoil=lambda: (folder / "link").symlink_to("/etc/passwd"),
            mend=(folder / "link").unlink,
        )  # fmt: skip


class TestTuf(UpstreamContract):
    @pytest.fixture
    async def footing(self, mirror: Mirror, tmp_path: Path) -> AsyncIterator[Footing]:
        credential = Credential("EAV-0123456", Secret(TOKEN))
        vendor = Vendor(Mirror.found(tmp_path / "vendor"), credential.basic())
        async with serving(vendor):
            settings = UpstreamSettings(name="av", kind="tuf", url=vendor.url)

            def build(_last: str) -> Upstream:
                memory = mirror.folder / "state/upstreams/av"
                copy = VendorCopy("av", root_of(vendor.mirror, tmp_path), memory)
                access = Access(vendor.url, basic(credential))
                return TufUpstream(
                    settings, access, copy, StoredRepository(mirror.store, settings.name)
                )

            async def release(number: int) -> None:
                await vendor.mirror.publishing().release(
                    candidate(tmp_path / f"release-{number}", contents(number), str(number)),
                    channel="engine", track="stable", label=Label("yara"), by=BY, now=NOW,
                )  # fmt: skip

            def spoil() -> None:
                vendor.meddle = lambda request, data: (
                    data[:-1] + b"!" if request.path.endswith(".yar") else None
                )

            def mend() -> None:
                vendor.meddle = None

            yield Footing(mirror, settings, build, release, spoil, mend, TOKEN)


class _Http(UpstreamContract):
    """What the plain web servers have in common; the files lie behind a token in the address."""

    @pytest.fixture
    def vendor(self) -> Iterator[StandIn]:
        with StandIn(door=by_path(TOKEN)) as vendor:
            yield vendor

    def on(self, mirror: Mirror, vendor: StandIn, settings: UpstreamSettings) -> Footing:
        memory = mirror.folder / "state/upstreams/feed"
        auth = Auth(token=Secret(TOKEN)) if settings.auth == "path" else ANONYMOUS

        def build(last: str) -> Upstream:
            return HttpUpstream(Feed(settings, None, last, memory), auth)

        async def release(number: int) -> None:
            self.put(vendor, number)

        def spoil() -> None:
            for path in [path for path in vendor.files if path.endswith(".sha256")]:
                vendor.always[path] = body(b"0" * 64)

        return Footing(mirror, settings, build, release, spoil, vendor.always.clear, TOKEN)

    def put(self, vendor: StandIn, number: int) -> None:
        raise NotImplementedError


class TestHttpFiles(_Http):
    @pytest.fixture
    def footing(self, mirror: Mirror, vendor: StandIn) -> Footing:
        settings = UpstreamSettings(
            name="feed", kind="http", channel="rules", url=f"{vendor.url}/get/{{token}}",
            auth="path", names=tuple(contents(1)), verify=("sha256",), allow_unsigned=True,
        )  # fmt: skip
        return self.on(mirror, vendor, settings)

    def put(self, vendor: StandIn, number: int) -> None:
        for path, data in contents(number).items():
            vendor.put(f"/get/{path}", data, "sha256")


class TestHttpArchive(_Http):
    @pytest.fixture
    def footing(self, mirror: Mirror, vendor: StandIn) -> Footing:
        settings = UpstreamSettings(
            name="feed", kind="http", channel="rules", url=f"{vendor.url}/{{token}}/all.tar.gz",
            auth="path", archive="tar.gz", version="sidecar", verify=("sha256",),
            allow_unsigned=True,
        )  # fmt: skip
        return self.on(mirror, vendor, settings)

    def put(self, vendor: StandIn, number: int) -> None:
        vendor.put("/all.tar.gz", packed("tar.gz", contents(number)), "sha256")


class TestClamav(UpstreamContract):
    @pytest.fixture
    async def footing(self, mirror: Mirror) -> AsyncIterator[Footing]:
        credential = Credential("EAV-0123456", Secret(TOKEN))
        server = ClamavServer(authorization=credential.basic())
        async with serving_databases(server):
            settings = UpstreamSettings(
                name="official", kind="clamav", channel="clamav", url=server.url,
                databases=("daily",), driver="native",
            )  # fmt: skip
            memory = mirror.folder / "state/upstreams/official"

            def build(last: str) -> Upstream:
                return assembled(Feed(settings, credential, last, memory), keys=VENDOR.keys)

            async def release(number: int) -> None:
                issues = [issue(one, hdb="signature\n" * one) for one in range(1, number + 1)]
                server.files.clear()
                for old, new in itertools.pairwise([None, *issues]):
                    assert new
                    server.release(new, old)

            def spoil() -> None:
                server.meddle = lambda request, data: (
                    data if "Range" in request.headers else data[:-9] + b"?" + data[-8:]
                )

            def mend() -> None:
                server.meddle = None

            yield Footing(mirror, settings, build, release, spoil, mend, TOKEN)
