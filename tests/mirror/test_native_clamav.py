"""``/clamav/``: status codes, headers and bytes, over a vendor's genuine databases."""

from datetime import timedelta
from pathlib import Path

import pytest
from pytest_aiohttp import AiohttpClient

from keys.model.release import Assurance
from tests.mirror.clamav_vendor import CHANNEL, brought, genuine, originals
from tests.mirror.web_site import Browser, WebSite

BUILT = {
    1: "Tue, 22 Jun 2021 18:58:22 GMT",
    2: "Tue, 22 Jun 2021 20:55:01 GMT",
    3: "Wed, 23 Jun 2021 00:40:09 GMT",
}


@pytest.fixture
def site(tmp_path: Path) -> WebSite:
    return WebSite(tmp_path)


@pytest.fixture
async def browser(site: WebSite, aiohttp_client: AiohttpClient) -> Browser:
    """An open mirror that has the vendor's versions 1 to 3."""
    for version in (1, 2, 3):
        await publish(site, version)
        site.now += timedelta(days=1)
    return await aiohttp_client(await site.application())


async def publish(site: WebSite, version: int, *, channel: str = CHANNEL, **how: object) -> None:
    folder = site.folder / f"brought-{channel}-{version}"
    await site.release(brought(folder, version, **how), channel=channel)  # type: ignore[arg-type]  # the caller's words


@pytest.mark.parametrize("name", sorted(originals(3)) if True else [])
async def test_every_original_is_served_byte_for_byte(browser: Browser, name: str) -> None:
    answer = await browser.get(f"/clamav/{name}")
    assert (answer.status, await answer.read()) == (200, originals(3)[name])
