"""May stable follow canary? What canary hosts say of exactly one release (pure)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from keys.model.release import Pointer
from mirror.fleet.health import HOLDS
from mirror.fleet.roster import EngineRow, HostRow
from mirror.rollout import CANARY


class Outcome(Enum):
    """What the canary says."""

    ready = "ready"
    waiting = "waiting"
    failed = "failed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome, and why it is not ``ready``."""

    outcome: Outcome
    reason: str = ""

    @property
    def is_ready(self) -> bool:
        """Tell whether stable may follow."""
        return self.outcome is Outcome.ready


def judge(
    hosts: Iterable[HostRow], channel: str, canary: Pointer, *, min_hosts: int, soak: timedelta,
    now: datetime,
) -> Verdict:  # fmt: skip
    """Judge the release that a canary track offers, by its manifest and not by its number.

    One engine that failed outweighs all others. ``soak`` counts on each host from its proof on.
    """
    engines = list(_canaries(hosts, channel))
    for host, engine in engines:
        if reason := _failure(engine, channel, canary.manifest_sha256):
            return Verdict(Outcome.failed, f"failed on {host.name}: {reason}")
    proven = {
        host.name: engine.proof_at
        for host, engine in engines
        if engine.proof in HOLDS and _reads(engine, channel, canary.manifest_sha256)
    }
    if len(proven) < min_hosts:
        return Verdict(
            Outcome.waiting, f"proven by {len(proven)} canary hosts, {min_hosts} are needed"
        )
    soaked = [at for at in proven.values() if at is not None and now - at >= soak]
    if soak and len(soaked) < min_hosts:
        return Verdict(Outcome.waiting, f"proven for less than {soak} by {min_hosts} canary hosts")
    return Verdict(Outcome.ready)


def _canaries(hosts: Iterable[HostRow], channel: str) -> Iterator[tuple[HostRow, EngineRow]]:
    for host in hosts:
        for engine in host.engines:
            if engine.track == CANARY and _concerns(engine, channel):
                yield host, engine


def _concerns(engine: EngineRow, channel: str) -> bool:
    return any(load.channel == channel for load in engine.loads)


def _reads(engine: EngineRow, channel: str, manifest_sha256: str) -> bool:
    return any(
        load.channel == channel and load.manifest_sha256 == manifest_sha256 for load in engine.loads
    )


def _failure(engine: EngineRow, channel: str, manifest_sha256: str) -> str:
    """Say how an engine failed on a release, empty where it did not."""
    if manifest_sha256 in engine.quarantined.split():
        return engine.trouble or engine.held or f"{engine.engine} refused it"
    if engine.outcome in {"undone", "refused"} and not _reads(engine, channel, manifest_sha256):
        return engine.trouble or f"{engine.engine}: {engine.outcome}"
    if engine.proof == "failed" and _reads(engine, channel, manifest_sha256):
        return engine.detail or f"{engine.engine}: its proof failed"
    return ""
