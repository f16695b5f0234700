"""Upstreams of kind ``clamav`` keep the promises of every upstream, whoever does the asking."""

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from keys.trust.vendor import rsa
from mirror.feeds import UpstreamSettings
from mirror.upstream.base import Feed, Upstream
from mirror.upstream.clamav import assembled
from tests.clamav_vendor import VENDOR, issue
from tests.cvdupdate import cvdupdate
from tests.mirror.clamav_vendor_server import RECORD, ClamavServer, serving
from tests.mirror.site import Mirror
from tests.mirror.upstream_contract import Footing, UpstreamContract


@pytest.fixture
async def server() -> AsyncIterator[ClamavServer]:
    async with serving(ClamavServer()) as one:
        yield one


def footing_of(
    mirror: Mirror, server: ClamavServer, settings: UpstreamSettings, keys: rsa.Keys,
    put: Callable[[int], None],
) -> Footing:  # fmt: skip
    memory = mirror.folder / "state/upstreams/official"

    def build(last: str) -> Upstream:
        return assembled(Feed(settings, None, last, memory), keys=keys)

    async def release(number: int) -> None:
        put(number)

    def spoil() -> None:
        server.meddle = lambda request, data: (
            data if "Range" in request.headers else data[:-9] + b"?" + data[-8:]
        )

    def mend() -> None:
        server.meddle = None

    return Footing(mirror, settings, build, release, spoil, mend)


@pytest.mark.slow
class TestByCvdupdate(UpstreamContract):
    @pytest.fixture
    def footing(self, tmp_path: Path, server: ClamavServer) -> Footing:
        settings = UpstreamSettings(
            name="official", kind="clamav", channel="clamav", url=server.url,
            databases=("daily",), driver="cvdupdate", dns=RECORD, resolver=server.resolver,
            program=str(cvdupdate(tmp_path, dns_port=server.dns_port)),
        )  # fmt: skip

        def put(number: int) -> None:
            new = issue(number, hdb="signature\n" * number)
            old = issue(number - 1, hdb="signature\n" * (number - 1)) if number > 1 else None
            server.release(new, old)
            server.record(main=1, daily=number, bytecode=1)

        mirror = Mirror.found(tmp_path / "mirror")
        return footing_of(mirror, server, settings, VENDOR.keys, put)


class TestByFreshclam(UpstreamContract):
    @pytest.fixture
    def footing(self, tmp_path: Path, server: ClamavServer) -> Footing:
        if shutil.which("freshclam") is None:
            pytest.skip("freshclam is not installed: apt-get install clamav-freshclam")
        settings = UpstreamSettings(
            name="official", kind="clamav", channel="clamav", url=server.url,
            databases=("test",), driver="freshclam",
        )  # fmt: skip
        mirror = Mirror.found(tmp_path / "mirror")
        return footing_of(mirror, server, settings, rsa.CLAMAV, server.genuine)
