"""One pull: may we? what is there? bring it into quarantine, verified; publish; remember.

A pull touches its own upstream only. Whatever goes wrong is remembered with its cause, and the
last good release goes on being served.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from keys import files
from keys.errors import CredentialError, Error, FetchError, LicenceError, LimitError, StateError
from keys.model.instant import utc
from keys.model.standing import LicenceState
from mirror.destination import Destination
from mirror.edition import Order
from mirror.feeds import UpstreamSettings
from mirror.hold import Hold
from mirror.pulls import Failure, Pulled, PullState, Result, look
from mirror.upstream.answers import wait_seconds
from mirror.upstream.base import Advance, Candidate, Offer, Pull, Upstream, ignore_bytes

_SETTLED = {"published", "unchanged"}


@dataclass(frozen=True, slots=True)
class _Visit:
    """What was found at the vendor's and what became of it."""

    offer: Offer
    result: Result
    ended: LicenceError | None = None


@dataclass(frozen=True, slots=True)
class Ingest:
    """Everything one upstream's pulls need.

    ``licence`` tells where its licence stands, None for a free feed; a change of one of
    ``credential_files`` makes a pull due, and starts an upstream that was stopped.
    """

    settings: UpstreamSettings
    upstream: Upstream
    to: Destination
    state: PullState
    quarantine: Path
    licence: Callable[[datetime], LicenceState | None]
    credential_files: tuple[Path, ...] = ()

    async def pull(
        self, *, now: datetime, by: Order, by_hand: bool,
        on_bytes: Callable[[int], None] = ignore_bytes,
    ) -> Result:  # fmt: skip
        """Pull once. Only ``by_hand`` goes on where pulls are stopped or not due yet.

        Raises:
            Error: as it is remembered; what was published before is untouched.

        """
        with self.state.alone():
            before, looks = self.state.read(), self._looks()
            if early := self._not_now(before, looks, now, by_hand=by_hand):
                return early
            try:
                visit = await self._visit(before, now, by, on_bytes)
                if visit.ended:
                    raise visit.ended
            except Error as exc:
                self._remember_failure(before, exc, looks, now)
                raise
            return self._remember(before, visit, looks, now)

    async def probe(self, *, now: datetime) -> Offer:
        """Only ask, within ``max_pull_seconds``; nothing is fetched or remembered.

        Raises:
            LimitError: the answer took longer.
            Error: as ``Upstream.check``.

        """
        async with self._in_time():
            return await self.upstream.check(now=now)

    def _not_now(
        self, before: Pulled, looks: str, now: datetime, *, by_hand: bool
    ) -> Result | None:
        """Say why there is no pull now, if there is none."""
        name, changed = self.settings.name, before.looks != looks
        told = before.failure.message if before.failure else ""
        code = before.failure.exit_code if before.failure else 0
        if before.stopped and not (by_hand or changed):
            return Result(name, "stopped", detail=told, exit_code=code)
        if until := before.wait_until(now, by_hand=by_hand or changed):
            at = f"next pull at {utc(until)}"
            since = f"; the last one failed: {told}" if told else ""
            return Result(name, "not due", detail=at + since, exit_code=code)
        return None

    def _looks(self) -> str:
        """Tell what the licence's and the credential's files look like, not what they hold."""
        return look(self.credential_files)

    async def _visit(
        self, before: Pulled, now: datetime, by: Order, on_bytes: Callable[[int], None]
    ) -> _Visit:
        licence = self.licence(now)
        pull = Pull(now, licence is None or licence.may_pull, on_bytes)
        ended = None if licence is None or licence.may_pull else _ended(self.settings, licence)
        if ended and not self.upstream.passes_through:
            raise ended
        with self._quarantined():
            offer, brought = await self._bring(before, pull)
            if brought is None:
                return _Visit(offer, await self._nothing_new(offer, before), ended)
            if isinstance(brought, Candidate):
                result = await self.to.publish(brought, version=offer.version, by=by, now=now)
            else:
                ended = ended or _covered_only(self.settings, brought)
                result = await self.to.pass_through(brought, by=by, now=now)
        if not ended and (self.upstream.passes_through or result.outcome in _SETTLED):
            await self.upstream.settle()
        return _Visit(offer, result, ended)

    @contextlib.contextmanager
    def _quarantined(self) -> Iterator[None]:
        """Provide the quarantine; parts of a download stay there when it may be tried again."""
        try:
            if not self.upstream.passes_through:
                files.remove_folder(self.quarantine)
            files.make_folder(self.quarantine)
        except OSError as exc:
            raise StateError(f"{self.quarantine}: {exc.strerror or exc}") from exc
        try:
            yield
        except Error as exc:
            if not exc.retryable:
                files.remove_folder(self.quarantine)
            raise
        files.remove_folder(self.quarantine)

    async def _bring(self, before: Pulled, pull: Pull) -> tuple[Offer, Candidate | Advance | None]:
        """Ask and fetch, within ``max_pull_seconds``; None when there is nothing to publish."""
        async with self._in_time():
            offer = await self.upstream.check(now=pull.now)
            if not offer.version or _is_unchanged(offer, before) or self._decided(offer):
                return offer, None
            return offer, await self.upstream.fetch(self.quarantine, pull)

    @contextlib.asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        seconds = self.settings.max_pull_seconds
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as exc:
            raise LimitError(
                f"upstream {self.settings.name}: not done after max_pull_seconds={seconds}"
            ) from exc

    def _decided(self, offer: Offer) -> Hold | None:
        """Return what is held, or dropped, under the version that is offered, if anything is."""
        if self.upstream.passes_through or offer.unchanged is False:
            return None
        hold = self.to.holds.find(self.settings.name, self.settings.channel)
        below = self.settings.hold_below_percent
        return hold if hold and hold.settles(offer.version, below_percent=below) else None

    async def _nothing_new(self, offer: Offer, before: Pulled) -> Result:
        name = self.settings.name
        if not offer.version:
            return Result(name, "waiting", detail=offer.status)
        if hold := self._decided(offer):
            return Result(name, hold.outcome, hold.release, detail=str(hold))
        if not self.upstream.passes_through:
            # the vendor offers again what is published: what was held is withdrawn
            await asyncio.to_thread(self.to.holds.forget, name, self.settings.channel)
        if held := self.to.holds.of(name):
            return Result(name, "held", detail="; ".join(str(hold) for hold in held))
        return Result(name, "unchanged", release=before.release)

    def _remember(self, before: Pulled, visit: _Visit, looks: str, now: datetime) -> Result:
        result = self._counted(visit.result, visit.offer.note)
        settled = result.outcome in _SETTLED
        after = msgspec.structs.replace(
            before,
            version=visit.offer.version if settled else before.version,
            release=result.release if settled else before.release,
            last_attempt=now,
            last_success=before.last_success if result.outcome == "waiting" else now,
            last_change=now if result.outcome == "published" else before.last_change,
            not_before=None,
            next_pull=self._next_pull(now),
            failure=None,
            stopped=False,
            stopped_at=None,
            looks=looks,
            requests=result.requests,
            received_bytes=result.received_bytes,
            note=result.note,
        )
        if self.upstream.remote or after.differs(before):
            self.state.write(after)
        return result

    def _remember_failure(self, before: Pulled, error: Error, looks: str, now: datetime) -> None:
        unanswered = isinstance(error, FetchError) and before.looks == looks
        stopped = isinstance(error, CredentialError) or (before.stopped and unanswered)
        seconds = wait_seconds(error)
        after = msgspec.structs.replace(
            before,
            last_attempt=now,
            not_before=now + timedelta(seconds=seconds) if seconds else None,
            next_pull=self._next_pull(now),
            failure=Failure.of(error, at=now),
            stopped=stopped,
            stopped_at=(before.stopped_at or now) if stopped else None,
            looks=looks,
            requests=self.upstream.transcript.requests,
            received_bytes=self.upstream.transcript.received,
        )
        if self.upstream.remote or after.differs(before):
            self.state.write(after)

    def _next_pull(self, now: datetime) -> datetime | None:
        """Tell when the schedule pulls again; a folder may be looked at any time."""
        if not self.upstream.remote:
            return None
        return now + timedelta(seconds=self.settings.interval_seconds)

    def _counted(self, result: Result, note: str) -> Result:
        transcript = self.upstream.transcript
        return msgspec.structs.replace(
            result, requests=transcript.requests, received_bytes=transcript.received, note=note
        )


def _is_unchanged(offer: Offer, before: Pulled) -> bool:
    if offer.unchanged is not None:
        return offer.unchanged
    return offer.version == before.version


def _ended(settings: UpstreamSettings, licence: LicenceState) -> LicenceError:
    return LicenceError(
        f"upstream {settings.name}: licence {settings.licence}: {licence.state.value}, "
        f"it ends on {licence.ends_on} ({licence.licence.tz})",
        hint="renew or replace the licence; what it covered goes on being served",
    )


def _covered_only(settings: UpstreamSettings, advance: Advance) -> LicenceError | None:
    """Say that the vendor's newest release is beyond the licence, if it is."""
    if advance.ended is None:
        return None
    taken = ", ".join(f"{name} {pointer.sequence}" for name, pointer in advance.chosen.items())
    return LicenceError(
        f"upstream {settings.name}: {advance.ended}; the newest release it covers: "
        f"{taken or 'none'}",
        hint="renew or replace the licence; what it covered goes on being served",
    )
