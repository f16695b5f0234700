"""What the mirror's answer asks of this host, done between two runs."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from keys.errors import Error
from keys.model.report import TaskTold
from updater import runs
from updater.cli.host import Host, complain, now
from updater.integrity import Finding
from updater.place import HostPlace
from updater.report import RunReport
from updater.turn import Turn
from updater.verify import metadata_findings


class Able(msgspec.Struct, frozen=True):
    """A host as its settings are now, fit for what a task asks."""

    load: Callable[[], Host]

    @property
    def place(self) -> HostPlace:
        """Where the updater's own things lie."""
        return self.load().place

    def turns(self, only: str) -> Sequence[Turn]:
        """Make a turn for each engine, or for the one of this name."""
        return self.load().turns(at=now(), only=only)

    def run(self, only: str) -> RunReport:
        """Make a run, as `sigupdate run` does."""
        return runs.run(lambda: self.load().update(at=now(), only=only)).report

    def metadata_findings(self) -> Iterable[Finding]:
        """Verify the trusted metadata again, from disk alone."""
        host = self.load()
        return metadata_findings(host.settings, host.place, now=now())


def carry_out(
    place: HostPlace, load: Callable[[], Host], handed: Sequence[bytes], *, refreshed: bool = True
) -> list[TaskTold]:
    """Do what a mirror handed out, and tell it at once; what goes wrong is complained of.

    ``load`` reads the settings anew. Without ``refreshed`` no metadata was asked for since.
    """
    try:
        if not handed and place.tasks.read().under_way is None:
            return []
        return _carry_out(load, handed, refreshed=refreshed)
    except Error as exc:
        complain(f"tasks: {exc}", exc.hint)
        return []


def _carry_out(
    load: Callable[[], Host], handed: Sequence[bytes], *, refreshed: bool
) -> list[TaskTold]:
    from updater.tasks.work import Worker  # noqa: PLC0415 - only where there is something to do
    from updater.telling import reporting_name  # noqa: PLC0415 - as above

    host = load()
    if not (host.settings.credential_file and host.settings.report.enabled):
        return []
    worker = Worker(host.settings, reporting_name(host.settings), lambda: Able(load), now)
    told = worker.work(handed, refreshed=refreshed)
    if told:
        load().update(at=now()).heartbeat("task")
    return told


def as_text(told: TaskTold) -> str:
    """Write what came of a task in one line."""
    return f"task {told.task}: {told.outcome}" + (f": {told.detail}" if told.detail else "")


def trying(config: Path) -> Callable[[], Host]:
    """Return what loads the host anew, a fragment on probation included."""
    return lambda: Host.load(config, trying=True)
