"""A vendor's release that shrinks passes through, and the site does not choose it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from keys.errors import MissingError
from mirror.decision import Decision
from mirror.edition import Order
from mirror.hold import Hold
from mirror.pulls import Result
from tests.mirror import kill_points
from tests.mirror.cascading import CREDENTIAL, Cascade, every_kill
from tests.mirror.site import Mirror
from tests.mirror.vendor import Vendor, serving

BIG, SMALL = {"a": b"x" * 1000}, {"a": b"y" * 10}


@pytest.fixture
async def cascade(tmp_path: Path) -> AsyncIterator[Cascade]:
    """A site that took one release of 1000 bytes."""
    vendor = Vendor(Mirror.found(tmp_path / "vendor"), CREDENTIAL.basic())
    async with serving(vendor):
        found = Cascade(vendor, Mirror.found(tmp_path / "site"), tmp_path)
        await found.release(1, BIG)
        await found.pull()
        yield found


def held(cascade: Cascade) -> Hold:
    (hold,) = cascade.site.holds.all()
    return hold


def decision(cascade: Cascade) -> Decision:
    return Decision(cascade.site.holds, cascade.state, Order("me", "why"), cascade.now)


async def release(cascade: Cascade) -> Result:
    return await decision(cascade).release(held(cascade), cascade.ingest().to)


async def test_its_metadata_passes_and_the_sites_choice_stays(cascade: Cascade) -> None:
    await cascade.release(2, SMALL)
    result = await cascade.pull()
    assert result.outcome == "held"
    assert result.detail.startswith(
        "release 2 of channel engine shrinks to 1 % (1000 -> 10 bytes); "
    )
    assert await cascade.offered() == BIG
    passed = await asyncio.to_thread(cascade.client().contents, "engine")
    assert passed == SMALL
    hold = held(cascade)
    assert (hold.upstream, hold.channel, hold.version) == ("av", "engine", "2")
    assert hold.pointer
    assert hold.pointer.sequence == 2
    cascade.vendor.log.clear()
    assert (await cascade.pull()).outcome == "held"
    assert len(cascade.vendor.log) == 2


async def test_an_operators_word_moves_the_sites_choice(cascade: Cascade) -> None:
    await cascade.release(2, SMALL)
    await cascade.pull()
    result = await release(cascade)
    assert (result.outcome, result.sequence, result.track) == ("published", 2, "stable")
    assert await cascade.offered() == SMALL
    assert cascade.site.holds.all() == ()
    assert '"why":"why"' in cascade.site.journal.read_text().splitlines()[-1]
    assert (await cascade.pull()).outcome == "unchanged"


async def test_a_vendor_who_signs_again_does_not_end_the_hold(cascade: Cascade) -> None:
    await cascade.release(2, SMALL)
    await cascade.pull()
    cascade.now += timedelta(days=1)
    await cascade.vendor.mirror.editions.renew(Order("vendor"), now=cascade.now)
    before = held(cascade)
    assert (await cascade.pull()).outcome == "held"
    assert held(cascade) == before
    assert await cascade.offered() == BIG


async def test_a_dropped_release_stays_dropped_and_the_next_is_judged_anew(
    cascade: Cascade,
) -> None:
    await cascade.release(2, SMALL)
    await cascade.pull()
    await decision(cascade).drop(held(cascade))
    assert (await cascade.pull()).outcome == "unchanged"
    await cascade.release(3, {"a": b"z" * 20})
    assert (await cascade.pull()).outcome == "held"
    assert held(cascade).version == "3"
    await cascade.release(4, {"a": b"z" * 1001})
    assert (await cascade.pull()).outcome == "published"
    assert cascade.site.holds.all() == ()
    assert await cascade.offered() == {"a": b"z" * 1001}


async def test_a_decision_on_what_is_no_longer_held_is_refused(cascade: Cascade) -> None:
    await cascade.release(2, SMALL)
    await cascade.pull()
    before = held(cascade)
    await cascade.release(3, {"a": b"3"})
    await cascade.pull()
    with pytest.raises(MissingError, match="no longer held"):
        await decision(cascade).release(before, cascade.ingest().to)


async def test_a_vendor_who_points_back_is_followed(cascade: Cascade) -> None:
    """He withdraws release 2: his pointer goes back to 1, and so does the site."""
    await cascade.release(2, {"a": b"x" * 1001})
    assert (await cascade.pull()).outcome == "published"
    await cascade.vendor.mirror.publishing().point(
        "engine", "stable", 1, by=Order("vendor"), now=cascade.now
    )
    result = await cascade.pull()
    assert (result.outcome, result.sequence) == ("published", 1)
    assert await cascade.offered() == BIG


async def test_a_vendor_who_points_back_ends_a_hold(cascade: Cascade) -> None:
    await cascade.release(2, SMALL)
    await cascade.pull()
    await cascade.vendor.mirror.publishing().point(
        "engine", "stable", 1, by=Order("vendor"), now=cascade.now
    )
    assert (await cascade.pull()).outcome == "unchanged"
    assert cascade.site.holds.all() == ()
    assert await cascade.offered() == BIG


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_kill_at_any_change_while_a_vendors_release_is_held_never_chooses_it(
    cascade: Cascade,
) -> None:
    kill_points.need_strace()
    await cascade.release(2, SMALL)

    async def check(when: str) -> None:
        assert await cascade.offered() == BIG, when
        assert (await cascade.pull()).outcome == "held", when
        assert await cascade.offered() == BIG, when
        assert held(cascade).version == "2", when

    kills = await every_kill(cascade, check)
    print(f"a hold was cut at {kills} points")
    assert kills > 20
