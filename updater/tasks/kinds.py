"""Each kind of task, done: nothing that a host's operator could not do by a command."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from keys.errors import StateError
from keys.model.task import Task
from updater.integrity import Finding
from updater.place import HostPlace
from updater.report import EngineReport, RunReport, worst
from updater.turn import Turn
from updater.update import remember_proofs
from updater.verify import Verifier


class Able(Protocol):
    """A host, for one task; everything is made anew from its settings."""

    @property
    def place(self) -> HostPlace:
        """Where the updater's own things lie."""
        ...

    def turns(self, only: str) -> Sequence[Turn]:
        """Make a turn for each engine, or for the one of this name."""
        ...

    def run(self, only: str) -> RunReport:
        """Make a run, as `sigupdate run` does."""
        ...

    def metadata_findings(self) -> Iterable[Finding]:
        """Verify the trusted metadata again, from disk alone."""
        ...


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it: an exit code as of the command, and what the command would say."""

    exit_code: int
    detail: str


def do(task: Task, host: Able) -> Result:
    """Do what a task asks.

    Raises:
        Error: it cannot be done.

    """
    return _KINDS[task.kind](task, host)


def _update(task: Task, host: Able) -> Result:
    run = host.run(task.engine)
    said = [engine.line for engine in run.engines]
    said += [trouble.message for trouble in run.all_troubles]
    return Result(run.exit_code, "; ".join(said))


def _prove(task: Task, host: Able) -> Result:
    return _engines(host, [turn.take(None) for turn in host.turns(task.engine)])


def _roll_back(task: Task, host: Able) -> Result:
    reason = f"the site's task {task.id}" + (f": {task.reason}" if task.reason else "")
    return _engines(host, [turn.go_back(reason) for turn in host.turns(task.engine)])


def _verify(task: Task, host: Able) -> Result:
    turns = host.turns(task.engine)
    found = [one for turn in turns for one in Verifier(turn.place, turn.engine).findings()]
    found += host.metadata_findings()
    said = [f"{one.engine}: {one.what}" for one in found] or ["all files are as installed"]
    return Result(worst(one.exit_code for one in found), "; ".join(said))


def _report(task: Task, host: Able) -> Result:
    del task, host
    return Result(0, "this is the report")


def _engines(host: Able, reports: Sequence[EngineReport]) -> Result:
    """Say what became of engines, and let the last run's report say so, too."""
    said = [report.line for report in reports]
    troubles = [trouble for report in reports for trouble in report.troubles]
    try:
        remember_proofs(host.place, reports)
    except StateError as exc:
        said.append(str(exc))
    said += [trouble.message for trouble in troubles]
    return Result(worst(trouble.exit_code for trouble in troubles), "; ".join(said))


_KINDS = {
    "update": _update,
    "prove": _prove,
    "verify": _verify,
    "rollback": _roll_back,
    "report": _report,
}
