"""What Prometheus shows of this host, in its text format: the last run, engines, releases.

Labels are names of the settings and words of ours only.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from keys.errors import StateError
from updater.outbox import Outbox
from updater.place import HostPlace, Place
from updater.report import EngineReport, RunReport
from updater.settings import Settings
from updater.state import Generation, Proved

_HOLDS = frozenset({Proved.proven, Proved.probed})
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

_Samples = Sequence[tuple[Mapping[str, str], float]]


@dataclass(frozen=True, slots=True)
class _Engine:
    """What is known of one engine now: what lies on disk, and what the last run said of it."""

    name: str
    generation: Generation | None
    told: EngineReport | None
    quarantined: int

    @property
    def labels(self) -> Mapping[str, str]:
        """Name it."""
        return {"engine": self.name}

    @property
    def proof(self) -> Proved:
        """How far the generation in force is proven; the last run's word counts for its own."""
        number = self.generation.number if self.generation else 0
        if self.told and self.told.generation == number:
            return self.told.proof
        return self.generation.proof if self.generation else Proved.unproven


def page(settings: Settings, run: RunReport) -> str:
    """Write all of it; engines that are in no settings any more are left out."""
    host = HostPlace.of(settings)
    told = {engine.engine: engine for engine in run.engines}
    engines = [_engine(Place.of(host, one), told.get(one.name)) for one in settings.engine]
    lines = [*_of_run(run, host), *_of_engines(engines), *_of_releases(engines)]
    return "\n".join(lines) + "\n"


def _engine(place: Place, told: EngineReport | None) -> _Engine:
    """Look at one engine; what cannot be read is told by the run itself."""
    generation, quarantined = None, 0
    try:
        generation = place.in_force(place.state.load())
        quarantined = sum(entry.holds for entry in place.quarantine.load().entries)
    except StateError:
        pass
    return _Engine(place.name, generation, told, quarantined)


def _of_run(run: RunReport, host: HostPlace) -> Iterator[str]:
    here: Mapping[str, str] = {}
    yield from _gauge(
        "last_run_timestamp_seconds", "When the last run began.", [(here, run.at.timestamp())]
    )
    yield from _gauge(
        "last_run_exit_code", "The last run's exit code; 0: done.", [(here, run.exit_code)]
    )
    yield from _gauge(
        "last_run_duration_seconds", "How long it took.", [(here, run.duration_seconds)]
    )
    yield from _gauge(
        "last_run_received_bytes", "What it downloaded.", [(here, run.bytes_received)]
    )
    yield from _gauge(
        "refreshed_timestamp_seconds",
        "When a repository was last found fresh.",
        [({"repository": name}, at.timestamp()) for name, at in run.refreshed.items()],
    )
    yield from _gauge(
        "reports_waiting",
        "Reports that no mirror took yet.",
        [(here, len(Outbox(host.outbox).waiting()))],
    )


def _of_engines(engines: Sequence[_Engine]) -> Iterator[str]:
    found = [(one.labels, one.generation) for one in engines]
    yield from _gauge(
        "engine_generation",
        "The generation in force (0: none).",
        [(labels, one.number if one else 0) for labels, one in found],
    )
    yield from _gauge(
        "engine_proven",
        "1 while the engine is proven to run it, as far as its kind can be.",
        [(one.labels, one.proof in _HOLDS) for one in engines],
    )
    yield from _gauge(
        "engine_proof",
        "1 for how far that is proven.",
        [({**e.labels, "proof": p.value}, e.proof is p) for e in engines for p in Proved],
    )
    yield from _gauge(
        "engine_proof_timestamp_seconds",
        "When the generation in force was proven (0: not yet).",
        [(at, g.proof_at.timestamp() if g and g.proof_at else 0) for at, g in found],
    )
    yield from _gauge(
        "engine_outcome",
        "1 for what the last run did with the engine.",
        [({**one.labels, "outcome": one.told.outcome}, 1) for one in engines if one.told],
    )
    yield from _gauge(
        "engine_held",
        "Releases the last run did not install, and named.",
        [(one.labels, len(one.told.held) if one.told else 0) for one in engines],
    )
    yield from _gauge(
        "engine_quarantined",
        "Entries of the quarantine that hold.",
        [(one.labels, one.quarantined) for one in engines],
    )
    yield from _gauge(
        "engine_ignored",
        "Signatures that the generation in force ignores by the site's order.",
        [(at, sum(map(len, one.ignored.values())) if one else 0) for at, one in found],
    )


def _of_releases(engines: Sequence[_Engine]) -> Iterator[str]:
    found = [
        ({**engine.labels, "channel": channel}, release)
        for engine in engines
        if engine.generation
        for channel, release in engine.generation.releases.items()
    ]
    yield from _gauge(
        "release_sequence",
        "The release of a channel that is in force.",
        [(labels, release.sequence) for labels, release in found],
    )
    yield from _gauge(
        "release_published_timestamp_seconds",
        "When that release was published.",
        [(at, release.published.timestamp()) for at, release in found if release.published],
    )


def _gauge(name: str, text: str, samples: _Samples) -> Iterator[str]:
    yield f"# HELP sigupdate_{name} {text}"
    yield f"# TYPE sigupdate_{name} gauge"
    for labels, value in samples:
        words = ",".join(f'{key}="{word.translate(_ESCAPES)}"' for key, word in labels.items())
        named = f"{{{words}}}" if words else ""
        yield f"sigupdate_{name}{named} {value:.15g}"
