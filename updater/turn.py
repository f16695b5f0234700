"""One engine's turn in a run: recover, plan, obtain, assemble, switch; whatever fails, prove.

``Turn.take`` never raises what the operator can be told in the report.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from keys.errors import EngineError, Error, LicenceEndedError
from keys.model.report import IgnoredTold
from updater import combine
from updater.channels import ChannelName
from updater.combine import Overlay
from updater.engines.base import Engine
from updater.ignores import EngineIgnores
from updater.ignoring import Names
from updater.place import Place, last_run
from updater.prove import Patience, Proof, Prover, Samples
from updater.report import EngineReport, Trouble
from updater.settings import EngineSettings
from updater.state import EngineState, Generation, Proved
from updater.switch import Change, Switch, Word

if TYPE_CHECKING:  # a run that finds nothing new does without these and the TUF library
    from updater.catalogue import Catalogue
    from updater.obtain import Obtained
    from updater.plan import Have
    from updater.vendor import VendorCheck

LICENCE_ENDED = "licence_ended"
FAILED = "failed"


class Turn(msgspec.Struct, frozen=True):
    """One engine in one run."""

    settings: EngineSettings
    place: Place
    engine: Engine
    channels: Mapping[str, ChannelName]
    now: datetime
    ask_engine: bool = True

    def is_settled(self) -> bool:
        """Tell whether the last run left nothing to do for what the settings ask now.

        Raises:
            Error: the overlay or the state cannot be read.

        """
        state = self.place.state.load()
        overlay = combine.read_overlay(self.settings.overlay)
        ignored = self._ignores.wanted(state)
        return bool(state.settled) and state.settled == self._fingerprint(overlay, ignored)

    def take(self, catalogue: "Catalogue | None") -> EngineReport:
        """Do what has to be done; without a catalogue, prove what is in force."""
        try:
            with self.place.lock():
                return self._work(catalogue)
        except Error as exc:
            return EngineReport(
                engine=self.settings.name, outcome=FAILED, troubles=(Trouble.of(exc),)
            )

    def go_back(self, reason: str) -> EngineReport:
        """Go to the generation before, on the operator's order.

        Raises:
            UsageError: there is none.
            LockedError: a run is at work.

        """
        with self.place.lock():
            self.switch().recover()
            change = self.switch().operator_back(reason)
            self._settle("")
            return self._report(change, [])

    def lift(self, prefix: str) -> int:
        """Lift quarantine entries by the beginning of a manifest's sha256; tell how many.

        Raises:
            LockedError: a run is at work.

        """
        with self.place.lock():
            before = self.place.quarantine.load()
            after = before.lifting(prefix)
            self.place.quarantine.save(after)
            self._settle("")
            return len(before.entries) - len(after.entries)

    def prover(self) -> Prover:
        """Make the prover of this engine."""
        return Prover(
            self.engine,
            Samples(must_detect=self.settings.must_detect, must_pass=self.settings.must_pass),
            Patience(
                scan_seconds=self.settings.scan_timeout_seconds,
                reload_seconds=self.settings.reload_timeout_seconds,
            ),
        )

    # -- steps --------------------------------------------------------------------------------

    def _work(self, catalogue: "Catalogue | None") -> EngineReport:
        recovered = self.switch().recover()
        errors = [recovered.error] if recovered and recovered.error else []
        if catalogue is None:
            return self._report(self.switch().keep() if self.ask_engine else None, errors)
        try:
            return self._advance(catalogue, errors)
        except Error as exc:
            return self._report(self._keep(), [*errors, exc])

    def _advance(self, catalogue: "Catalogue", errors: list[Error]) -> EngineReport:
        from updater.obtain import Obtainer  # noqa: PLC0415 - start-up time, see above
        from updater.plan import Action  # noqa: PLC0415

        self._settle("")
        self._hear(catalogue, errors)
        overlay = combine.read_overlay(self.settings.overlay)
        state = self.place.state.load()
        have = self._have(state)
        vendor = self._vendor_check(have) if self.settings.vendor_check else None
        obtainer = Obtainer(self.settings, self.engine, catalogue, self.channels, vendor)
        obtained = obtainer.obtain(have, overlay, self._ignores.wanted(state))
        errors += obtained.errors
        held = obtained.plan.held
        if obtained.plan.action is Action.wait:
            reason = "nothing is installed, and nothing is offered that may be"
            return self._report(None, [*errors, Error(f"engine {self.place.name}: {reason}")], held)
        if obtained.plan.action is Action.keep:
            change = self._keep()
        else:
            change, refused = self._change(obtained)
            errors += refused
        if change and change.word is not Word.undone and not errors and not held:
            self._settle(self._fingerprint(overlay, obtained.plan.ignored))
        return self._report(change, errors, held)

    @property
    def _ignores(self) -> EngineIgnores:
        allowed = self.settings.may_ignore
        return EngineIgnores(self.place, self.engine, self.channels, allowed, self.now)

    def _hear(self, catalogue: "Catalogue", errors: list[Error]) -> None:
        """Keep what the site has its hosts ignore; one that cannot be believed stops nothing."""
        try:
            self._ignores.hear(catalogue)
        except Error as exc:
            errors.append(exc)

    def _vendor_check(self, have: "Have") -> "VendorCheck":
        from updater.vendor import VendorCheck  # noqa: PLC0415 - start-up time, see above

        return VendorCheck(self.place, self.engine, have.releases, now=self.now)

    def _change(self, obtained: "Obtained") -> tuple[Change | None, list[Error]]:
        from updater.assemble import Assembly  # noqa: PLC0415 - start-up time, see above
        from updater.plan import Action  # noqa: PLC0415

        word = Word.went_back if obtained.plan.action is Action.rollback else Word.installed
        assembly = Assembly(self.place, self.engine, obtained.wanted, now=self.now)
        assembled = assembly.again() if word is Word.went_back else assembly.best()
        refused: list[Error] = [assembled.changed] if assembled.changed else []
        refused += [
            EngineError(
                f"engine {self.place.name} refused {refusal}",
                hint="it is in quarantine: see `sigupdate quarantine list`",
            )
            for refusal in assembled.refusals
        ]
        if assembled.generation is None:
            kept = self._keep()
            return msgspec.structs.replace(kept, word=Word.refused) if kept else None, refused
        change = self.switch().to(assembled.generation, word, ask_engine=self.ask_engine)
        return change, refused

    def _keep(self) -> Change | None:
        """Prove what is in force, if anything is; tidy what an error cut off."""
        self.switch().recover()
        if not self._in_force or not self.ask_engine:
            return None
        return self.switch().keep()

    def switch(self) -> Switch:
        """Make what moves this engine between generations."""
        return Switch(self.place, self.engine, self.prover(), now=self.now)

    @property
    def _in_force(self) -> Generation | None:
        return self.place.in_force(self.place.state.load())

    def _have(self, state: EngineState) -> "Have":
        from updater.plan import Have  # noqa: PLC0415 - start-up time, see above

        generation = self.place.in_force(state)
        return Have(
            releases=generation.releases if generation else {},
            overlay=generation.overlay if generation else "",
            quarantine=self.place.quarantine.load(),
            engine_version=self.engine.version(),
            ignored=generation.ignored if generation else {},
        )

    def _settle(self, fingerprint: str) -> None:
        state = self.place.state.load()
        if state.settled != fingerprint:
            self.place.state.save(state.settle(fingerprint))

    def _fingerprint(self, overlay: Overlay, ignored: Names) -> str:
        """Identify everything but the repositories that decides what should be in force."""
        asked = (
            self.place.generations.in_force(),
            overlay.fingerprint,
            self.settings.channels,
            self.settings.track,
            self.settings.may_suppress,
            ignored,
            [self.channels[c].repository for c in self.settings.channels],
        )
        return hashlib.sha256(msgspec.json.encode(asked)).hexdigest()

    def _report(
        self, change: Change | None, errors: list[Error], held: tuple[str, ...] = ()
    ) -> EngineReport:
        generation = change.generation if change else self._in_force
        if change and change.error:
            errors = [*errors, change.error]
        proof = change.proof if change else self._known(generation)
        return EngineReport(
            engine=self.settings.name,
            outcome=self._outcome(change, errors),
            proof=proof.result,
            detail=proof.detail,
            generation=generation.number if generation else 0,
            releases=generation.releases if generation else {},
            held=held,
            troubles=tuple(Trouble.of(error) for error in errors),
            ignored=self._standings(generation),
        )

    def _standings(self, generation: Generation | None) -> tuple[IgnoredTold, ...]:
        """Say how what is to be ignored stands; nothing where a file that tells is damaged."""
        try:
            return self._ignores.standings(generation)
        except Error:  # it is a trouble of its own, told by whoever needs that file
            return ()

    def _known(self, generation: Generation | None) -> Proof:
        """Return what the last run said of a generation the engine is not asked about now."""
        for told in last_run(self.place.host).engines:
            if generation and (told.engine, told.generation) == (
                self.place.name,
                generation.number,
            ):
                return Proof(told.proof, told.detail)
        return Proof(Proved.unproven, "")

    def _outcome(self, change: Change | None, errors: list[Error]) -> str:
        if change is None:
            return Word.kept.value if self._in_force and not errors else FAILED
        ended = any(isinstance(error, LicenceEndedError) for error in errors)
        if ended and change.word is Word.kept:
            return LICENCE_ENDED
        return change.word.value
