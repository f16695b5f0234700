"""Orders on the tracks of the site's own channels and of cascaded ones survive the next pull."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keys.errors import UsageError
from keys.model import rollout
from mirror import orders
from mirror.tracks import Tracks
from tests.mirror.cascading import CREDENTIAL, Cascade
from tests.mirror.site import BY, NOW, Mirror, candidate
from tests.mirror.vendor import Vendor, serving


def contents(number: int) -> dict[str, bytes]:
    return {"a.yar": b"rule a { condition: false } // %d\n" % number}


async def release(mirror: Mirror, folder: Path, number: int) -> str:
    published = await mirror.publishing().release(
        candidate(folder / f"r{number}", contents(number), f"r{number}"),
        channel="inhouse", track="stable", by=BY, now=NOW,
    )  # fmt: skip
    return published.held


@pytest.fixture
async def own(tmp_path: Path) -> Tracks:
    """Three releases of the site's own channel."""
    mirror = Mirror.found(tmp_path / "mirror")
    for number in (1, 2, 3):
        await release(mirror, tmp_path, number)
    return Tracks("inhouse", mirror.publishing(), mirror.policies)


async def stable(tracks: Tracks) -> int:
    pointers, _ = await tracks.read()
    return pointers["stable"].sequence


async def test_a_withdrawn_release_is_left_and_a_new_one_moves_the_track_on(
    own: Tracks, tmp_path: Path
) -> None:
    assert await own.change("withdraw", orders.withdraw("stable", None), by=BY, now=NOW)
    assert await stable(own) == 2
    mirror = Mirror(tmp_path / "mirror")
    assert not await release(mirror, tmp_path / "again", 3)
    assert await stable(own) == 2  # the same files again: it is the release that was withdrawn
    await release(mirror, tmp_path, 4)
    assert await stable(own) == 4


async def test_a_held_track_stays_while_releases_come(own: Tracks, tmp_path: Path) -> None:
    await own.change("hold", orders.hold("a freeze"), by=BY, now=NOW)
    mirror = Mirror(tmp_path / "mirror")
    assert await release(mirror, tmp_path, 4) == "a freeze"
    assert await stable(own) == 3
    await own.change("resume", orders.resume("stable"), by=BY, now=NOW)
    assert await stable(own) == 4


async def test_a_pinned_release_is_kept_however_many_come(own: Tracks, tmp_path: Path) -> None:
    await own.change("pin", orders.pin("mx1", 1), by=BY, now=NOW)
    mirror = Mirror(tmp_path / "mirror")
    for number in range(4, 8):
        await mirror.publishing(keep=1).release(
            candidate(tmp_path / f"r{number}", contents(number), f"r{number}"),
            channel="inhouse", track="stable", by=BY, now=NOW,
        )  # fmt: skip
    pointers, releases = await own.read()
    assert set(releases) == {1, 7}
    assert rollout.pinned(pointers["stable"], "mx1").sequence == 1


async def test_every_order_stands_in_the_log_with_who_and_why(own: Tracks, tmp_path: Path) -> None:
    await own.change("withdraw", orders.withdraw("stable", 1), by=BY, now=NOW)
    lines = (tmp_path / "mirror/state/publish.jsonl").read_text().splitlines()
    last = json.loads(lines[-1])
    assert (last["what"], last["channel"], last["sequence"]) == ("withdraw", "inhouse", 1)
    assert last["who"] == BY.who


async def test_an_order_that_changes_nothing_signs_nothing(own: Tracks, tmp_path: Path) -> None:
    await own.change("hold", orders.hold("a freeze"), by=BY, now=NOW)
    before = sorted((tmp_path / "mirror/r/site/metadata").iterdir())
    assert not await own.change("hold", orders.hold("a freeze"), by=BY, now=NOW)
    with pytest.raises(UsageError):
        await own.change("promote", orders.promote(2, force=False), by=BY, now=NOW)
    assert sorted((tmp_path / "mirror/r/site/metadata").iterdir()) == before


@pytest.fixture
async def cascade(tmp_path: Path) -> AsyncIterator[Cascade]:
    vendor = Vendor(Mirror.found(tmp_path / "vendor"), CREDENTIAL.basic())
    async with serving(vendor):
        yield Cascade(vendor, Mirror.found(tmp_path / "site"), tmp_path)


def cascaded(cascade: Cascade) -> Tracks:
    site = cascade.site
    return Tracks("engine", site.publishing(), site.policies, cascade.repository)


async def test_orders_hold_for_a_repository_that_passes_through(cascade: Cascade) -> None:
    for number in (1, 2):
        await cascade.release(number, contents(number))
        await cascade.pull()
    tracks = cascaded(cascade)
    await tracks.change("withdraw", orders.withdraw("stable", None), by=BY, now=NOW)
    assert await cascade.offered() == contents(1)
    await cascade.pull()
    assert await cascade.offered() == contents(1)  # the vendor still offers release 2
    await cascade.release(3, contents(3))
    await cascade.pull()
    assert await cascade.offered() == contents(3)
    await tracks.change("hold", orders.hold("a freeze"), by=BY, now=NOW)
    await cascade.release(4, contents(4))
    await cascade.pull()
    assert await cascade.offered() == contents(3)
    await tracks.change("resume", orders.resume("stable"), by=BY, now=NOW)
    assert await cascade.offered() == contents(4)
