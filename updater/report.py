"""How a run ended: for the operator, for monitoring, and for the next run to compare with."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import IntEnum

import msgspec

from keys.errors import Error, UnprovenError
from keys.model.instant import utc
from keys.model.release import Instant, Wire
from keys.model.report import IgnoredTold
from updater.state import Proved, Release

_SEVERITY = (0, 1, 6, 4, 5, 3, 2)  # exit codes, the one that matters most last
MAX_AHEAD = timedelta(minutes=5)  # a clock that is set right goes back no further
_OK = frozenset({Proved.proven, Proved.probed})


def worst(codes: Iterable[int]) -> int:
    """Choose the exit code that matters most: usage > trust > engine > licence > unproven > 1."""
    return max(codes, key=lambda code: _SEVERITY.index(code) if code in _SEVERITY else 1, default=0)


class Trouble(Wire, frozen=True):
    """One thing the operator has to know."""

    message: str
    hint: str
    exit_code: int

    @classmethod
    def of(cls, error: Error) -> "Trouble":
        """Keep what an error says."""
        return cls(message=str(error), hint=error.hint, exit_code=error.exit_code)


class EngineReport(Wire, frozen=True, omit_defaults=False):
    """What a run did with one engine."""

    engine: str
    outcome: str
    proof: Proved = Proved.unproven
    detail: str = ""
    generation: int = 0
    releases: Mapping[str, Release] = msgspec.field(default_factory=dict)
    held: tuple[str, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    ignored: tuple[IgnoredTold, ...] = ()

    @property
    def line(self) -> str:
        """One line for a person."""
        named = ", ".join(f"{c} {r.sequence}" for c, r in self.releases.items())
        what = f"generation {self.generation} ({named})" if self.generation else "no generation"
        detail = f" ({self.detail})" if self.detail else ""
        held = "".join(f"; held: {reason}" for reason in self.held)
        said = f"{self.engine}: {self.outcome}, {what}, {self.proof.value}{detail}{held}"
        return said + (f"; to be ignored: {self._ignored}" if self.ignored else "")

    @property
    def _ignored(self) -> str:
        """Count what the site has its hosts ignore, by how it stands here."""
        counted = Counter(one.standing for one in self.ignored)
        counted["without a definition"] = sum(not one.found for one in self.ignored)
        return ", ".join(f"{count} {word}" for word, count in counted.items() if count)

    def proven_since(self, proof: "EngineReport") -> "EngineReport":
        """Return this report with a later proof in the place of its own."""
        kept = tuple(t for t in self.troubles if t.exit_code != UnprovenError.exit_code)
        return msgspec.structs.replace(
            self,
            proof=proof.proof,
            detail=proof.detail,
            generation=proof.generation,
            releases=proof.releases,
            troubles=(*kept, *proof.troubles),
        )


class RunReport(Wire, frozen=True, omit_defaults=False):
    """One run over this host; kept as ``last_run.json``."""

    at: Instant
    exit_code: int
    engines: tuple[EngineReport, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    refreshed: Mapping[str, Instant] = msgspec.field(
        default_factory=dict
    )  # when each repository was last found fresh
    duration_seconds: float = 0.0
    requests: int = 0
    bytes_received: int = 0

    @property
    def changed(self) -> bool:
        """Whether another generation is in force than before."""
        return any(
            e.outcome not in {"kept", "refused", "undone", "failed", "licence_ended"}
            for e in self.engines
        )

    @property
    def all_troubles(self) -> tuple[Trouble, ...]:
        """Everything that went wrong, the host's own first."""
        return (*self.troubles, *(t for engine in self.engines for t in engine.troubles))


NEVER_RUN = RunReport(at=datetime.fromisoformat("1970-01-01T00:00:00+00:00"), exit_code=1)


class Level(IntEnum):
    """A monitoring plug-in's exit codes."""

    ok = 0
    warning = 1
    critical = 2


def judge(last: RunReport, *, max_age: timedelta, now: datetime) -> tuple[Level, str]:
    """Tell what monitoring should say about this host, in one line."""
    if last is NEVER_RUN or not last.engines:
        return Level.critical, "no run has finished yet"
    unproven = [e.engine for e in last.engines if e.proof not in _OK]
    if unproven:
        return Level.critical, f"not proven: {', '.join(unproven)}"
    if undated := _undated(last, max_age=max_age, now=now):
        return Level.critical, undated
    if last.all_troubles:
        return Level.warning, last.all_troubles[0].message
    held = [reason for engine in last.engines for reason in engine.held]
    if held:
        return Level.warning, held[0]
    named = ", ".join(f"{e.engine} generation {e.generation}" for e in last.engines)
    return Level.ok, f"{named}; refreshed {utc(_oldest(last))}"


def _oldest(last: RunReport) -> datetime:
    return min(last.refreshed.values(), default=NEVER_RUN.at)


def _undated(last: RunReport, *, max_age: timedelta, now: datetime) -> str:
    """Say why definitions are too old, or why nobody can tell how old they are."""
    newest = max((last.at, *last.refreshed.values()))
    if newest - now > MAX_AHEAD:
        return (
            f"the last run is dated {utc(newest)}, ahead of this host's clock: "
            "one of the two is wrong, and how old the definitions are is not known"
        )
    if not last.refreshed:
        return "when definitions were last found fresh is not known"
    oldest = min(_oldest(last), last.at)
    if now - oldest > max_age:
        return f"definitions not refreshed since {utc(oldest)}"
    return ""
