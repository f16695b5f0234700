"""A generation made of what the channels offer: staged, tested by the engine's own loader.

What the engine refuses goes into quarantine under its release and the engine's version, because
the same files and the same engine always give the same answer. Nothing here is in force yet.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import msgspec

from keys.errors import EngineError, Error, StateError, TrustError, UsageError
from updater import ignoring, plan, quarantine
from updater.combine import Overlay, Part, combine
from updater.engines.base import Engine, Loaded, Marker
from updater.ignoring import Names
from updater.install import Contents, on_disk
from updater.integrity import Integrity
from updater.place import Place
from updater.quarantine import Cause
from updater.state import Generation, Release, Step, digests
from updater.trial import Combination, Refusal, Trial

_MADE_ANEW = (
    "the same releases were fetched and laid out anew; find out who writes there. "
    "`sigupdate verify` looks at what is in force"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A release and the files of each channel, in the settings' order, and the overlay."""

    releases: Mapping[str, Release]
    parts: Mapping[str, Part]
    overlay: Overlay
    ignored: Names = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Assembled:
    """The tested generation, or None where nothing new was taken, and what was refused.

    ``changed`` names a kept generation that was not used, because it was changed on disk.
    """

    generation: Generation | None
    refusals: tuple[Refusal, ...]
    changed: Error | None = None


class Assembly:
    """Stages and tests combinations for one engine."""

    def __init__(self, place: Place, engine: Engine, wanted: Wanted, *, now: datetime) -> None:
        self._place = place
        self._engine = engine
        self._wanted = wanted
        self._now = now
        self._tested: dict[frozenset[tuple[str, str]], Generation] = {}

    def best(self) -> Assembled:
        """Stage as much of what is wanted as the engine takes; leave nothing else of it behind.

        Raises:
            UsageError: the engine refuses the overlay.
            HostError: this host cannot test now.
            StateError: no space, or the folder cannot be written.

        """
        found = self._best()
        self._forget_tried(found.generation)
        return found

    def _best(self) -> Assembled:
        self._place.generations.prepare()
        current = self._place.in_force(self._place.state.load())
        installed = current.releases if current else {}
        if refusal := self._refused_to_ignore():
            return Assembled(None, (refusal,))
        outcome = Trial(self._test).run(installed, self._wanted.releases)
        if outcome.refusals:
            self._check_overlay()
            self._hold(outcome.refusals)
        taken = self._tested.get(_key(outcome.accepted)) if outcome.accepted else None
        return Assembled(taken, outcome.refusals)

    def again(self) -> Assembled:
        """Take the kept generation that is what is wanted; where none is or it changed, make one.

        Raises:
            Error: as of ``best``.

        """
        kept = self._kept()
        if kept is None:
            return self.best()
        try:
            Integrity(self._place, self._engine).require(kept, hint=_MADE_ANEW)
        except (TrustError, StateError) as exc:
            return replace(self.best(), changed=exc)
        return self._retest(kept)

    def _forget_tried(self, taken: Generation | None) -> None:
        """Forget what never was in force: nobody goes back to it, and it takes nobody's place."""
        state = self._place.state.load()
        stay = {taken.name if taken else "", state.previous, self._place.generations.in_force()}
        tried = frozenset(g.name for g in state.generations if g.proof_at is None) - stay
        if tried:
            self._place.prune(self._place.state.save(state.without(tried)))

    def _kept(self) -> Generation | None:
        own, ignored = self._wanted.overlay.fingerprint, self._wanted.ignored
        kept = self._place.state.load().generations
        found = plan.existing(kept, self._wanted.releases, own, ignored)
        return found if found and self._place.generations.path(found.name).is_dir() else None

    def _retest(self, generation: Generation) -> Assembled:
        """Test a generation that is still on disk; the engine may be another one by now."""
        folder = self._place.generations.path(generation.name)
        try:
            self._engine.test(folder, _marker(generation, folder))
        except EngineError as exc:
            refusal = Refusal(generation.releases, str(exc))
            self._hold((refusal,))
            return Assembled(None, (refusal,))
        return Assembled(generation, ())

    def _refused_to_ignore(self) -> Refusal | None:
        """Blame what is to be ignored where the engine takes the releases, and not with that."""
        wanted = self._wanted
        if not wanted.ignored:
            return None
        try:
            self._test(wanted.releases)
        except EngineError as exc:
            reason = f"ignoring {ignoring.words(wanted.ignored)}: {exc}"
        else:
            return None
        if not _passes(Assembly(self._place, self._engine, _plain(wanted), now=self._now)):
            return None
        refusal = Refusal(wanted.releases, reason)
        self._hold((refusal,), ignoring.fingerprint(wanted.ignored))
        return refusal

    def _test(self, combination: Combination) -> None:
        """Stage a combination in a folder of its own and load it beside the running engine."""
        if _key(combination) in self._tested:
            return
        parts = [self._wanted.parts[channel] for channel in combination]
        files = combine(parts, self._wanted.overlay)
        number = self._place.next_number(self._place.state.load())
        marker = self._marker(number)
        generation = self._remember(number, combination, marker)
        ignoring_file = self._engine.ignore_file(self._wanted.ignored, marker)
        contents = Contents(files, self._wanted.overlay.files, marker, ignoring_file)
        generations = self._place.generations
        folder = generations.stage(generation.name, contents, self._place.host.blobs)
        loaded = self._engine.test(folder, marker)
        self._tested[_key(combination)] = msgspec.structs.replace(
            generation, signatures=loaded.signatures, idle=self._idle(loaded)
        )

    def _marker(self, number: int) -> Marker | None:
        """Make a marker, and beside it a decoy where anything is ignored."""
        if not self._engine.proves:
            return None
        marker = self._engine.marker(number)
        return marker.with_decoy(self._engine.marker(number)) if self._wanted.ignored else marker

    def _idle(self, loaded: Loaded) -> tuple[str, ...]:
        """List what is ignored and is not there, as far as the engine can tell."""
        names = {name for listed in self._wanted.ignored.values() for name in listed}
        return () if loaded.ignored is None else tuple(sorted(names - loaded.ignored))

    def _remember(self, number: int, releases: Combination, marker: Marker | None) -> Generation:
        """Note the generation before its folder exists, so that a crash leaves no stranger."""
        generation = Generation(
            number=number,
            name=f"{number}-{secrets.token_hex(4)}",
            created=self._now,
            releases=dict(releases),
            overlay=self._wanted.overlay.fingerprint,
            ignored={c: tuple(names) for c, names in self._wanted.ignored.items()},
            marker=marker.record() if marker else None,
        )
        origin = self._place.generations.in_force()
        state = self._place.state.load().keeping(generation)
        self._place.state.save(state.at(Step.stage, target=generation.name, origin=origin))
        return generation

    def _check_overlay(self) -> None:
        """Blame the host's own definitions where they fail by themselves."""
        if not self._wanted.overlay.files:
            return
        try:
            self._test({})
        except EngineError as exc:
            raise UsageError(
                f"engine {self._place.name} refuses the overlay: {exc}",
                hint="repair the file in the overlay folder, then run `sigupdate run` again",
            ) from exc

    def _hold(self, refusals: tuple[Refusal, ...], names: str = quarantine.ANY_NAMES) -> None:
        version = self._engine.version()
        held = self._place.quarantine.load()
        for refusal in refusals:
            held = held.adding(
                quarantine.Entry(
                    releases=digests(refusal.releases),
                    cause=Cause.refused,
                    reason=refusal.reason,
                    at=self._now,
                    engine_version=version,
                    ignoring=names,
                )
            )
        self._place.quarantine.save(held)


def _plain(wanted: Wanted) -> Wanted:
    return replace(wanted, ignored={})


def _passes(assembly: Assembly) -> bool:
    """Tell whether the engine takes all that an assembly is for."""
    return not assembly.best().refusals


def _marker(generation: Generation, folder: Path) -> Marker | None:
    known = generation.marker
    if known is None:
        return None
    with on_disk(folder):
        definition = (folder / known.file_name).read_bytes()
    return Marker.of(known, definition)


def _key(combination: Combination) -> frozenset[tuple[str, str]]:
    return frozenset(digests(combination).items())
