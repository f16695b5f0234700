"""When each upstream is pulled and each role signed again, as long as the mirror runs."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Self

import structlog

from keys.errors import Error, HandedOverError, LockedError
from mirror.edition import Order
from mirror.pulls import Result
from mirror.site import MirrorSite

DROP_SECONDS = 5.0  # between two looks at a folder
LOOK_SECONDS = 60.0  # between two looks at what is due: pulls of a vendor, signatures
ORDER = Order("schedule")

Pull = Callable[[str], Awaitable[Result]]
"""Pull an upstream by name; waits for nothing when it is not due."""


def schedule_of(site: MirrorSite, clock: Callable[[], datetime]) -> "Schedule":
    """Make the schedule of a mirror's upstreams; every pull opens its upstream anew."""

    async def pull(name: str) -> Result:
        await site.check_in_charge()
        return await site.ingest(name).pull(now=clock(), by=ORDER, by_hand=False)

    async def renew(now: datetime) -> tuple[str, ...]:
        return await site.renew(by=ORDER, now=now)

    looks = {"drop": DROP_SECONDS}
    intervals = {
        upstream.name: min(looks.get(upstream.kind, LOOK_SECONDS), upstream.interval_seconds)
        for upstream in site.settings.upstream
    }
    return Schedule(pull, renew, intervals, clock)


class Schedule:
    """One task for each upstream and one for renewals; use as ``async with``.

    ``intervals`` tells how often to look at each upstream; whether a pull is really due is what
    its own memory says. ``renew`` signs due roles and returns their names.
    """

    def __init__(
        self,
        pull: Pull,
        renew: Callable[[datetime], Awaitable[tuple[str, ...]]],
        intervals: Mapping[str, float],
        clock: Callable[[], datetime],
        *,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._pull = pull
        self._renew = renew
        self._intervals = dict(intervals)
        self._clock = clock
        self._look_seconds = look_seconds
        self._wakes = {name: asyncio.Event() for name in intervals}
        self._told: dict[str, str] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._renewals(), name="renewals")]
        for name in self._intervals:
            self._tasks.append(asyncio.create_task(self._pulls(name), name=f"pull {name}"))
        return self

    async def __aexit__(self, *_error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def wake(self, upstream: str) -> None:
        """Look at an upstream now: its folder, licence or password may have changed."""
        if upstream in self._wakes:
            self._wakes[upstream].set()

    async def _pulls(self, name: str) -> None:
        while True:
            await self._guarded(name, self._pull_once(name))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._intervals[name]):
                    await self._wakes[name].wait()
            self._wakes[name].clear()

    async def _pull_once(self, name: str) -> str:
        result = await self._pull(name)
        if result.outcome == "published":
            structlog.get_logger().info("published", **_shown(result))
        self._tell_held(result)
        self._tell_noted(result)
        return result.outcome if result.outcome != "published" else ""

    def _tell_held(self, result: Result) -> None:
        """Tell of what is held once, until it changes."""
        what = f"held {result.upstream}"
        held = result.detail if result.outcome == "held" else ""
        if held and self._told.get(what) != held:
            structlog.get_logger().warning("held", upstream=result.upstream, detail=held)
        if result.outcome in {"held", "dropped", "published", "unchanged"}:
            self._told[what] = held

    def _tell_noted(self, result: Result) -> None:
        """Tell of what was not as it should be on the way of a good pull, until it changes."""
        what = f"noted {result.upstream}"
        if result.note and self._told.get(what) != result.note:
            structlog.get_logger().warning("noted", upstream=result.upstream, note=result.note)
        if result.outcome not in {"not due", "stopped"}:
            self._told[what] = result.note

    async def _renewals(self) -> None:
        while True:
            await self._guarded("renewals", self._renew_once())
            await asyncio.sleep(self._look_seconds)

    async def _renew_once(self) -> str:
        if roles := await self._renew(self._clock()):
            structlog.get_logger().info("renewed", roles=list(roles))
        return ""

    async def _guarded(self, what: str, work: Awaitable[str]) -> None:
        """Let nothing end a task; tell of each trouble once, until it changes."""
        try:
            message = ""
            await work
        except LockedError:
            return
        except HandedOverError as exc:
            message = str(exc)
            if self._told.get("handover") != message:
                structlog.get_logger().warning("handed-over", message=message, hint=exc.hint)
            self._told["handover"] = message
        except Error as exc:
            message = str(exc)
            if self._told.get(what) != message:
                structlog.get_logger().error(
                    "failed", what=what, kind=type(exc).__name__, message=message, hint=exc.hint
                )
        except Exception:  # noqa: BLE001 - the loop outlives a mistake of ours, and tells of it
            message = "unexpected"
            structlog.get_logger().exception("failed", what=what)
        self._told[what] = message


def _shown(result: Result) -> dict[str, object]:
    return {
        "upstream": result.upstream,
        "release": result.release,
        "track": result.track,
        "new_bytes": result.new_bytes,
    }
