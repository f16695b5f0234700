"""Stable follows canary by itself: each channel is promoted when its canary hosts say so."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from keys.model import rollout
from keys.model.release import Pointer
from mirror import orders
from mirror.edition import Order
from mirror.fleet.promotion import Outcome, Verdict, judge
from mirror.fleet.roster import HostRow
from mirror.rollout import CANARY, STABLE
from mirror.settings import Settings
from mirror.site import MirrorSite
from mirror.tracks import Tracks


@dataclass(frozen=True, slots=True)
class Standing:
    """A release that canary offers and stable does not, and what canary hosts say of it."""

    channel: str
    sequence: int
    stable: int | None
    verdict: Verdict

    def __str__(self) -> str:
        """Say it in a line."""
        where = f"stable stays at {self.stable}" if self.stable else "stable offers nothing yet"
        told = self.verdict.reason or "ready"
        return f"channel {self.channel}: release {self.sequence} on canary: {told}; {where}"


async def standings(site: MirrorSite, hosts: Sequence[HostRow], *, now: datetime) -> list[Standing]:
    """Tell where each release stands that waits on a canary track.

    Raises:
        Error: a repository cannot be read.

    """
    found = []
    for tracks in _canaried(site):
        pointers, _ = await tracks.read()
        canary, stable = pointers.get(CANARY), pointers.get(STABLE)
        if canary is not None and _is_waiting(canary, stable):
            verdict = _judged(site.settings, hosts, tracks.written, canary, now)
            sequence = stable.sequence if stable else None
            found.append(Standing(tracks.written, canary.sequence, sequence, verdict))
    return found


async def promote_ready(
    site: MirrorSite, hosts: Sequence[HostRow], *, now: datetime
) -> list[Standing]:
    """Point stable at every release whose canary is ready; return where all of them stood.

    Raises:
        Error: a repository cannot be read or written.

    """
    found = await standings(site, hosts, now=now)
    for standing in found:
        if standing.verdict.outcome is Outcome.ready:
            change = orders.promote(standing.sequence, force=False)
            by = Order("canary", "proven by canary hosts")
            await site.tracks(standing.channel).change("promote", change, by=by, now=now)
    return found


def _canaried(site: MirrorSite) -> Iterator[Tracks]:
    """Open the channels named under ``canary``; a plain name may be in several repositories."""
    for name in site.settings.canary:
        if "/" in name:
            yield site.tracks(name)
            continue
        yield site.tracks(name)
        for repository in site.repositories[1:]:
            yield site.tracks(f"{repository}/{name}")


def _is_waiting(canary: Pointer, stable: Pointer | None) -> bool:
    if stable is None:
        return True
    ahead = canary.sequence > stable.sequence
    return ahead and not rollout.held(stable) and canary.sequence not in rollout.withdrawn(stable)


def _judged(
    settings: Settings, hosts: Sequence[HostRow], channel: str, canary: Pointer, now: datetime
) -> Verdict:
    rules = settings.rollout
    return judge(
        hosts, channel, canary, min_hosts=rules.min_canary_hosts,
        soak=timedelta(seconds=rules.soak_seconds), now=now,
    )  # fmt: skip
