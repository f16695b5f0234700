"""One run over this host: is anything new? then each engine in turn, and a report.

A run that finds nothing new makes two requests, loads no TUF library, and still proves.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from keys.errors import Error, LimitError, StateError
from keys.model.release import Instant
from keys.trust import freshness
from keys.trust.source import MetadataSource, Once
from updater import report, state
from updater.ask import Asker
from updater.channels import SITE
from updater.exchange import UnusualError
from updater.library import Library
from updater.place import HostPlace, last_run
from updater.probation import Probation
from updater.report import EngineReport, RunReport, Trouble
from updater.settings import Settings
from updater.textfile import showing
from updater.turn import Turn

if TYPE_CHECKING:  # loads the TUF library, which a run that finds nothing new does without
    from updater.catalogue import Catalogue
    from updater.fetch import Fetcher
    from updater.telling import Teller, Told


class Update:
    """One run. ``turns`` are the engines it is for; ``whole`` tells that these are all."""

    def __init__(
        self,
        settings: Settings,
        turns: Sequence[Turn],
        open_mirrors: Callable[[], "Fetcher"],
        *,
        now: datetime,
        whole: bool = True,
        probation: Probation | None = None,
    ) -> None:
        self._settings = settings
        self._turns = turns
        self._open_mirrors = open_mirrors
        self._opened: Fetcher | None = None
        self._asker = Asker(settings)
        self._now = now
        self._whole = whole
        self._host = HostPlace.of(settings)
        self._probation = probation or Probation(self._host.fragments)
        self._unmet: Error | None = None
        self.is_last = True
        self.handed: tuple[bytes, ...] = ()  # tasks that the mirror answered; see `updater.tasks`
        self._sources = {
            repository.name: Once(self._source(repository.name))
            for repository in settings.repository
        }
        self._started = time.monotonic()

    def run(self) -> RunReport:
        """Bring every engine up to date and prove it.

        Raises:
            LockedError: another run is at work.
            StateError: the state folder cannot be written.

        """
        try:
            with showing(self._settings, now=self._now) as show, self._host.lock():
                self._probation.begin(self._now)
                finished = self._run()
                self.is_last = self._probation.concludes(finished)
                if self.is_last:
                    self._tell(finished)
                    show(self._with_others(finished))
                return finished
        finally:
            self.close()

    @property
    def notes(self) -> Sequence[str]:
        """What an operator should know of the site's settings, beside the report."""
        return self._probation.notes

    def heartbeat(self, occasion: str = "heartbeat") -> "Told | None":
        """Tell the mirror that this host lives, and how its last run ended.

        Raises:
            LockedError: a run is at work, which tells it itself.
            StateError: the state folder cannot be written.

        """
        try:
            with self._host.lock():
                return self._teller().tell(last_run(self._host), occasion)
        finally:
            self.close()

    def close(self) -> None:
        """Close every connection."""
        self._asker.close()
        if self._opened:
            self._opened.close()

    # -- steps --------------------------------------------------------------------------------

    def _run(self) -> RunReport:
        errors = self._ask()
        catalogue = None if errors is None else self._catalogue(errors)
        engines = [turn.take(catalogue) for turn in self._turns]
        if catalogue:
            self._meet(catalogue)
            self._settle(catalogue)
            self._collect(spare=any(engine.troubles for engine in engines))
        return self._report(engines, catalogue.errors if catalogue else {})

    def _mirrors(self) -> "Fetcher":
        """Open the mirrors when they are needed first."""
        if self._opened is None:
            self._opened = self._open_mirrors()
        return self._opened

    def _source(self, repository: str) -> MetadataSource:
        return self._asker.source(repository, lambda: self._mirrors().metadata(repository))

    def _ask(self) -> dict[str, Error] | None:
        """Ask whether anything is new: None for nothing, else which repository did not answer."""
        errors: dict[str, Error] = {}
        settled = True
        for name, source in self._sources.items():
            folder = self._host.trust(name)
            try:
                settled &= freshness.unchanged(
                    folder / "metadata", folder / "clock.json", source, now=self._now
                )
            except StateError:
                settled = False
            except Error as exc:
                errors[name] = exc
        settled &= SITE not in self._sources or self._probation.is_settled()
        settled = settled and not errors and all(_is_settled(turn) for turn in self._turns)
        return None if settled else errors

    def _catalogue(self, errors: Mapping[str, Error]) -> "Catalogue":
        from updater.catalogue import Catalogue  # noqa: PLC0415 - start-up time, see above

        catalogue = Catalogue(
            self._settings, self._host, self._mirrors(), self._sources, now=self._now
        )
        for name in self._sources:
            if name in errors:
                catalogue.failed(name, errors[name])
            else:
                catalogue.refresh(name)
        return catalogue

    def _meet(self, catalogue: "Catalogue") -> None:
        """Take in the settings the site publishes now; what fails is told, and tried again."""
        if not self._whole or SITE not in self._sources or SITE in catalogue.errors:
            return
        try:
            self._probation.meets(catalogue.fragment(), catalogue.host_name, self._now)
        except LimitError as exc:
            self._probation.refuses(exc, self._now)
        except Error as exc:
            self._unmet = exc

    def _settle(self, catalogue: "Catalogue") -> None:
        """Remember that all was acted upon, so that the next run may stop at two requests."""
        if self._whole and not self._unmet and all(_is_settled(turn) for turn in self._turns):
            for name in self._sources.keys() - catalogue.errors.keys():
                catalogue.settle(name)

    def _collect(self, *, spare: bool) -> None:
        """Remove blobs that no generation of any engine needs any more."""
        if not self._whole:
            return
        with contextlib.suppress(StateError):  # told in the engine's own report
            kept = [
                release
                for turn in self._turns
                for generation in turn.place.state.load().generations
                for release in generation.releases.values()
            ]
            Library(self._host.blobs).collect(kept, spare=spare)

    def _report(self, engines: list[EngineReport], errors: Mapping[str, Error]) -> RunReport:
        unmet = [self._unmet] if self._unmet else []
        troubles = tuple(Trouble.of(error) for error in (*errors.values(), *unmet))
        told = {trouble.message for trouble in troubles}
        engines = [_without(engine, told) for engine in engines]
        codes = [t.exit_code for t in (*troubles, *(t for e in engines for t in e.troubles))]
        traffic = self._opened.traffic if self._opened else None
        finished = RunReport(
            at=self._now,
            exit_code=report.worst(codes),
            engines=tuple(engines),
            troubles=troubles,
            refreshed=self._refreshed(errors),
            duration_seconds=round(time.monotonic() - self._started, 3),
            requests=self._asker.requests + (traffic.requests if traffic else 0),
            bytes_received=self._asker.bytes_received + (traffic.bytes_received if traffic else 0),
        )
        return self._keep(finished)

    def _keep(self, finished: RunReport) -> RunReport:
        """Make the report durable; where that fails, the report says so too."""
        try:
            state.write(self._host.last_run, self._with_others(finished))
        except StateError as exc:
            troubles = (*finished.troubles, Trouble.of(exc))
            code = report.worst((finished.exit_code, exc.exit_code))
            return msgspec.structs.replace(finished, troubles=troubles, exit_code=code)
        return finished

    def _tell(self, finished: RunReport) -> None:
        """Tell the mirror how it went, which changes nothing about how it went."""
        if self._settings.credential_file and self._settings.report.enabled:
            told = self._teller().tell(self._with_others(finished), "run")
            self.handed = told.tasks if told else ()

    def _teller(self) -> "Teller":
        from updater.telling import Teller  # noqa: PLC0415 - only where a mirror is told

        return Teller(self._settings, self._post, now=self._now)

    def _post(self, path: str, body: bytes) -> tuple[int, float, bytes]:
        """Send a body to a mirror, without the HTTP library where that is enough."""
        try:
            return self._asker.post(path, body)
        except UnusualError:
            return self._mirrors().post(path, body)

    def _with_others(self, finished: RunReport) -> RunReport:
        """Add what the last run said of the engines this one was not for."""
        if self._whole:
            return finished
        own = {engine.engine: engine for engine in finished.engines}
        known = {engine.engine: engine for engine in last_run(self._host).engines} | own
        named = (engine.name for engine in self._settings.engine)
        engines = tuple(known[name] for name in named if name in known)
        return msgspec.structs.replace(finished, engines=engines)

    def _refreshed(self, errors: Mapping[str, Error]) -> dict[str, Instant]:
        """Tell when each repository was last found fresh: now, or what the last run knew."""
        before = last_run(self._host).refreshed
        return {
            name: before[name] if name in errors else self._now
            for name in self._sources
            if name not in errors or name in before
        }


def remember_proofs(host: HostPlace, proofs: Iterable[EngineReport]) -> None:
    """Let the last run's report say what engines have proven since; without a run there is none.

    Raises:
        StateError: it cannot be written.

    """
    last = last_run(host)
    if last is report.NEVER_RUN:
        return
    since = {proof.engine: proof for proof in proofs}
    engines = tuple(
        engine.proven_since(since[engine.engine]) if engine.engine in since else engine
        for engine in last.engines
    )
    found = msgspec.structs.replace(last, engines=engines)
    code = report.worst(trouble.exit_code for trouble in found.all_troubles)
    state.write(host.last_run, msgspec.structs.replace(found, exit_code=code))


def _is_settled(turn: Turn) -> bool:
    try:
        return turn.is_settled()
    except Error:
        return False


def _without(engine: EngineReport, told: set[str]) -> EngineReport:
    """Leave out what is told once for the whole host."""
    left = tuple(trouble for trouble in engine.troubles if trouble.message not in told)
    return msgspec.structs.replace(engine, troubles=left)
