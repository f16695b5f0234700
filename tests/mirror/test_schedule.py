import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest
import structlog

from keys.errors import FetchError
from mirror.pulls import Result
from mirror.schedule import Schedule

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Vendors:
    """Counts pulls; fails for the upstreams it is told to."""

    def __init__(self, *, failing: dict[str, Exception] | None = None) -> None:
        self.pulls: list[str] = []
        self.renewals = 0
        self.failing = failing or {}

    async def pull(self, name: str) -> Result:
        self.pulls.append(name)
        if name in self.failing:
            raise self.failing[name]
        return Result(name, "published", release="r1", track="stable")

    async def renew(self, now: datetime) -> tuple[str, ...]:
        assert now == NOW
        self.renewals += 1
        return ("timestamp",)

    def schedule(self, **intervals: float) -> Schedule:
        return Schedule(self.pull, self.renew, intervals, lambda: NOW, look_seconds=0.01)


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not what():  # noqa: ASYNC110 - `what` is a count, not an event
            await asyncio.sleep(0.005)


async def test_each_upstream_is_looked_at_again_and_again() -> None:
    vendors = Vendors()
    async with vendors.schedule(fast=0.01, slow=3600):
        await until(lambda: vendors.pulls.count("fast") >= 3 and vendors.renewals >= 3)
    assert vendors.pulls.count("slow") == 1


async def test_waking_an_upstream_pulls_it_now() -> None:
    vendors = Vendors()
    async with vendors.schedule(one=3600, other=3600) as schedule:
        await until(lambda: len(vendors.pulls) == 2)
        schedule.wake("one")
        schedule.wake("unknown")
        await until(lambda: vendors.pulls.count("one") == 2)
    assert vendors.pulls.count("other") == 1


@pytest.mark.parametrize("error", [FetchError("unreachable", hint="wait"), ZeroDivisionError()])
async def test_a_failing_upstream_stops_nothing_and_is_told_once(error: Exception) -> None:
    vendors = Vendors(failing={"bad": error})
    with structlog.testing.capture_logs() as logs:
        async with vendors.schedule(bad=0.01, good=0.01):
            await until(lambda: vendors.pulls.count("bad") >= 3)
            await until(lambda: vendors.pulls.count("good") >= 3)
    failures = [entry for entry in logs if entry["event"] == "failed"]
    assert {entry["what"] for entry in failures} == {"bad"}
    if isinstance(error, FetchError):
        assert len(failures) == 1
        assert failures[0]["hint"] == "wait"


async def test_leaving_ends_every_task() -> None:
    started = asyncio.Event()

    async def hang(_name: str) -> Result:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def renew(_now: datetime) -> tuple[str, ...]:
        return ()

    pull: Callable[[str], Awaitable[Result]] = hang
    before = len(asyncio.all_tasks())
    async with Schedule(pull, renew, {"x": 1.0}, lambda: NOW):
        await started.wait()
    assert len(asyncio.all_tasks()) == before
