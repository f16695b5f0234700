"""One engine from one generation to another: swap, reload, prove, then confirm or undo.

The state is written before each step, so that ``recover`` can finish or undo what a crash cut off.
Call everything here under the engine's lock.
"""

import time
from datetime import datetime
from enum import Enum

import msgspec

from keys.errors import EngineError, Error, UnprovenError, UsageError
from updater import history, ignoring, quarantine
from updater.engines.base import Engine
from updater.integrity import Integrity
from updater.place import Place
from updater.prove import Proof, Prover, Why
from updater.quarantine import Cause
from updater.state import Generation, Proved, Step, digests

_REPAIR = (
    "nothing was moved; find out who writes there. `sigmirror withdraw` has this host lay that out "
    "anew; with its folder removed, `sigupdate rollback` goes to the one before"
)


class Word(Enum):
    """What was done with an engine."""

    kept = "kept"
    installed = "installed"
    went_back = "went_back"  # on the order of a track or of the operator
    undone = "undone"  # in force for a moment, then the generation before again
    refused = "refused"  # at the test: never in force


class Change(msgspec.Struct, frozen=True):
    """What came of it: what is in force, how far it is proven, what the operator must know."""

    word: Word
    generation: Generation | None
    proof: Proof
    error: Error | None = None


class Switch:
    """Moves one engine between generations."""

    def __init__(self, place: Place, engine: Engine, prover: Prover, *, now: datetime) -> None:
        self._place = place
        self._engine = engine
        self._prover = prover
        self._now = now
        self._started = time.monotonic()

    def to(self, generation: Generation, word: Word, *, ask_engine: bool = True) -> Change:
        """Put a tested generation in force and prove it.

        Without ``ask_engine`` the engine is left alone and nothing is proven.
        """
        self._prover.check_samples()
        origin = self._place.generations.in_force()
        state = self._place.state.load().keeping(generation)
        marker = self._place.marker(state, origin)
        before = self._prover.baseline(marker) if ask_engine else Why.down
        self._place.state.save(state.at(Step.swap, target=generation.name, origin=origin))
        self._place.generations.swap(generation.name)
        if not ask_engine:
            proof = Proof(Proved.unproven, "the engine was not asked", Why.down)
            return self._confirm(generation, origin, proof, word)
        return self._prove(generation, origin, before, word)

    def keep(self) -> Change:
        """Prove what is in force; leave a generation that never was proven and cannot be.

        Raises:
            UsageError: nothing is installed.

        """
        generation, state = self._in_force(), self._place.state.load()
        before = self._place.marker(state, state.previous)
        proof = self._prover.look(generation.marker, before)
        if proof.why in {Why.marker, Why.stale}:
            proof = self._prover.reload_and_wait(generation.marker, before)
        if proof.why not in {Why.nothing, Why.down} and self._may_leave(generation):
            return self._undo(generation, state.previous, proof)
        error = None if proof.holds else self._unproven(generation, proof)
        return self._confirm(generation, state.previous, proof, Word.kept, error)

    def recover(self) -> Change | None:
        """Finish or undo what a crash cut off; None when there was nothing to do."""
        state = self._place.state.load()
        if state.journal is None:
            return None
        self._place.generations.prepare()
        target, journal = state.find(state.journal.target), state.journal
        if journal.step is Step.back and target:
            return self._go_back(target, journal.origin, "a stop on the way back")
        swapped = self._place.generations.in_force() == journal.target
        if journal.step is Step.swap and target and swapped:
            before = self._prover.baseline(None)
            return self._prove(target, journal.origin, before, Word.installed)
        self._place.prune(self._place.state.save(state.without(frozenset({journal.target})).done()))
        return None

    def operator_back(self, reason: str) -> Change:
        """Go to the newest older generation, and hold what this one brought.

        Raises:
            UsageError: nothing is installed, or there is no older generation.
            TrustError, StateError: the older one was changed on disk since; nothing was moved.

        """
        generation = self._in_force()
        older = self._older(generation)
        Integrity(self._place, self._engine).require(older, hint=_REPAIR)
        for channel, digest in _brought(generation, older).items():
            self._hold({channel: digest}, Cause.operator, reason, quarantine.ANY_VERSION)
        if ignoring.grew(generation.ignored, older.ignored):
            releases, names = digests(older.releases), ignoring.fingerprint(generation.ignored)
            self._hold(releases, Cause.operator, reason, quarantine.ANY_VERSION, names)
        return self.to(older, Word.went_back)

    # -- steps ---------------------------------------------------------------------------------

    def _in_force(self) -> Generation:
        found = self._place.in_force(self._place.state.load())
        if found is None:
            raise UsageError(
                f"engine {self._place.name}: nothing is installed",
                hint="run `sigupdate run` first",
            )
        return found

    def _older(self, generation: Generation) -> Generation:
        """Return the newest older generation that is there and not in quarantine."""
        held, version = self._place.quarantine.load(), self._engine.version()
        for kept in self._place.state.load().older(generation):
            names = ignoring.fingerprint(kept.ignored)
            there = self._place.generations.path(kept.name).is_dir()
            if there and not held.blocking(kept.releases, version, names):
                return kept
        what = "no older generation is kept that is not in quarantine"
        raise UsageError(f"engine {self._place.name}: {what}", hint="see `sigupdate status`")

    def _may_leave(self, generation: Generation) -> bool:
        """Tell whether a generation never was proven and there is another one to go back to."""
        never_proven = generation.proof in {Proved.unproven, Proved.failed}
        return never_proven and self._place.previous(self._place.state.load()) is not None

    def _prove(self, generation: Generation, origin: str, before: Why, word: Word) -> Change:
        previous = self._place.marker(self._place.state.load(), origin)
        if before is Why.down:
            proof = self._prover.look(generation.marker, previous)
        else:
            proof = self._prover.reload_and_wait(generation.marker, previous)
        if proof.holds:
            return self._confirm(generation, origin, proof, word)
        if _was_so_before(before, proof.why):
            error: Error = self._unproven(generation, proof)
            return self._confirm(generation, origin, proof, word, error)
        if origin:
            return self._undo(generation, origin, proof)
        error = EngineError(
            f"engine {self._place.name}: generation {generation.number}: {proof.detail}",
            hint="there is no older generation to go back to; `current` was left as it is",
        )
        return self._confirm(generation, origin, proof, word, error)

    def _confirm(
        self,
        generation: Generation,
        origin: str,
        proof: Proof,
        word: Word,
        error: Error | None = None,
    ) -> Change:
        """Note what is in force and how far it is proven; a proof once had is not taken away."""
        known = generation
        if word is not Word.kept or (proof.holds and generation.proof is not proof.result):
            known = msgspec.structs.replace(generation, proof=proof.result, proof_at=self._now)
        state = self._place.state.load()
        after = state.keeping(known).done(previous=origin)
        change = Change(word, known, proof, error)
        if after != state:
            self._place.state.save(after)
        self._log(change)
        if after != state:
            self._place.prune(after)
        return change

    def _undo(self, generation: Generation, origin: str, proof: Proof) -> Change:
        """Go back to the generation before; hold the release where it is the cause."""
        state = self._place.state.load()
        old = state.find(origin)
        if old:
            self._blame(generation, old, proof)
        self._place.state.save(state.at(Step.back, target=generation.name, origin=origin))
        return self._go_back(generation, origin, proof.detail)

    def _blame(self, generation: Generation, old: Generation, proof: Proof) -> None:
        """Hold the releases that a generation brought, or what it ignores otherwise than before.

        That less is ignored is held only where the site's own samples say so: an end that was
        signed is no reason for anything else.
        """
        cause = Cause.samples if proof.why is Why.samples else Cause.reload
        brought, names = _brought(generation, old), quarantine.ANY_NAMES
        if ignoring.grew(generation.ignored, old.ignored) or (
            cause is Cause.samples and ignoring.grew(old.ignored, generation.ignored)
        ):
            names = ignoring.fingerprint(generation.ignored)
        if brought or names:
            releases = brought or digests(generation.releases)
            self._hold(releases, cause, proof.detail, self._engine.version(), names)

    def _go_back(self, generation: Generation, origin: str, reason: str) -> Change:
        self._place.generations.swap(origin)
        state = self._place.state.load()
        old = state.find(origin)
        proof = self._prover.reload_and_wait(old.marker if old else None, generation.marker)
        after = self._place.state.save(
            state.without(frozenset({generation.name})).done(previous="")
        )
        change = Change(Word.undone, old, proof, self._taken_back(generation, old, reason, proof))
        self._log(change)
        self._place.prune(after)
        return change

    # -- what is remembered and said ------------------------------------------------------------

    def _hold(
        self, releases: dict[str, str], cause: Cause, reason: str, version: str,
        names: str = quarantine.ANY_NAMES,
    ) -> None:  # fmt: skip
        certain = cause in {Cause.samples, Cause.operator}
        entry = quarantine.Entry(
            releases=releases,
            cause=cause,
            reason=reason,
            at=self._now,
            engine_version=version,
            ignoring=names,
            strikes=quarantine.STRIKES if certain else 1,
        )
        self._place.quarantine.save(self._place.quarantine.load().adding(entry))

    def _log(self, change: Change) -> None:
        """Add a line to the history, unless it would say what the last one says."""
        generation, last = change.generation, self._place.history.last()
        if generation is None:
            return
        told = last and (last.name, last.proof) == (generation.name, change.proof.result)
        if change.word is Word.kept and told:
            return
        self._place.history.add(
            history.Entry(
                at=self._now,
                generation=generation.number,
                name=generation.name,
                releases=generation.releases,
                outcome=change.word.value,
                proof=change.proof.result,
                detail=str(change.error or change.proof.detail),
                duration_seconds=round(time.monotonic() - self._started, 3),
                engine_version=self._engine.version(),
            )
        )

    def _unproven(self, generation: Generation, proof: Proof) -> UnprovenError:
        return UnprovenError(
            f"engine {self._place.name}: generation {generation.number} is installed and "
            f"unproven: {proof.detail}",
            hint="; ".join(self._engine.findings()),
        )

    def _taken_back(
        self, generation: Generation, old: Generation | None, reason: str, proof: Proof
    ) -> EngineError:
        back = f"generation {old.number}" if old else "the folder before"
        end = "in force again and proven" if proof.holds else f"in force again: {proof.detail}"
        return EngineError(
            f"engine {self._place.name}: generation {generation.number} was taken back: {reason}; "
            f"{back} is {end}",
            hint="" if proof.holds else "look at the engine's own log; it may need a restart",
        )


def _was_so_before(before: Why, after: Why) -> bool:
    """Tell whether the engine was down, or read another folder, before it was touched."""
    return before is Why.down or (before is Why.marker and after is Why.marker)


def _brought(generation: Generation, before: Generation) -> dict[str, str]:
    """List the releases a generation brought: channel to manifest sha256."""
    old = digests(before.releases)
    return {c: d for c, d in digests(generation.releases).items() if old.get(c) != d}
