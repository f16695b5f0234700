"""How one upstream stands: its last pull, what it lacks, what is held, how sure its files are."""

from collections.abc import Iterator
from datetime import datetime

import msgspec

from keys.errors import Error
from keys.model.release import Assurance
from mirror.feeds import UpstreamSettings
from mirror.hold import Hold
from mirror.pulls import Failure
from mirror.site import MirrorSite


class HeldStatus(msgspec.Struct, frozen=True):
    """One release that is held."""

    channel: str
    release: str
    version: str
    held_at: datetime
    percent: int
    detail: str

    @classmethod
    def of(cls, hold: Hold) -> "HeldStatus":
        """Describe a hold."""
        return cls(
            hold.channel, hold.release, hold.version, hold.held_at, hold.shrink.percent, str(hold)
        )


class UpstreamStatus(msgspec.Struct, frozen=True):
    """One upstream as its last pull left it.

    ``lacks`` is what its way to pull cannot do; ``assurance`` is that of what it brought last,
    empty when there is nothing yet; ``not_before`` is when its vendor lets us come back.
    """

    name: str
    kind: str
    state: str  # as of Pulled.state
    release: str = ""
    last_success: datetime | None = None
    last_change: datetime | None = None
    next_pull: datetime | None = None
    failure: Failure | None = None
    requests: int = 0
    received_bytes: int = 0
    driver: str = ""
    lacks: tuple[str, ...] = ()
    assurance: str = ""
    not_before: datetime | None = None
    held: tuple[HeldStatus, ...] = ()
    note: str = ""  # what was not as it should be at the last pull, though it went well

    @property
    def below_signed(self) -> bool:
        """Tell whether no signature of the vendor's vouches for what it brought."""
        return self.assurance not in {"", Assurance.signed.value}


def read_upstream(
    site: MirrorSite, settings: UpstreamSettings, assurance: str, *, now: datetime
) -> UpstreamStatus:
    """Read what is remembered of an upstream; ``assurance`` is that of its channel's release."""
    name, kind = settings.name, settings.kind
    try:
        pulled, holds = site.pull_state(name).read(), site.holds.of(name)
    except Error as exc:
        failure = Failure(datetime.min, type(exc).__name__, str(exc), exc.hint, exc.exit_code)  # noqa: DTZ901 - no time is known
        return UpstreamStatus(name, kind, "failed", failure=failure)
    if kind == "tuf":
        assurance = Assurance.signed.value if pulled.release else ""
    waits = pulled.not_before
    return UpstreamStatus(
        name, kind, pulled.state(held=bool(holds)), pulled.release, pulled.last_success,
        pulled.last_change, pulled.next_pull, pulled.failure, pulled.requests,
        pulled.received_bytes, _driver(settings), _lacks(site, name), assurance,
        waits if waits and waits > now else None, tuple(HeldStatus.of(hold) for hold in holds),
        pulled.note,
    )  # fmt: skip


def _driver(settings: UpstreamSettings) -> str:
    """Name what asks the vendor, where there is a choice."""
    if settings.kind != "clamav":
        return ""
    from mirror.upstream import clamav  # noqa: PLC0415 - loads every driver

    return clamav.completed(settings).driver


def _lacks(site: MirrorSite, name: str) -> tuple[str, ...]:
    """List what an upstream's way to pull cannot do; nothing where it cannot be opened."""
    try:
        return site.ingest(name).upstream.lacks
    except Error:  # the next pull, and `check-config`, tell of it
        return ()


def troubles(upstream: UpstreamStatus) -> Iterator[str]:
    """Say what an operator has to do about an upstream."""
    if upstream.failure:
        yield f"upstream {upstream.name}: {upstream.state}: {upstream.failure.message}"
    for one in upstream.held:
        yield (
            f"upstream {upstream.name}: held: {one.detail}; look at it, then "
            f"`sigmirror hold release {one.channel} --reason …` or `sigmirror hold drop …`"
        )
