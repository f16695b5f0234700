"""Where one engine's things lie on this host, and which lock guards them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from keys import files
from keys.errors import StateError
from updater.fragments import FragmentFile
from updater.history import History
from updater.install import Generations, make_folder, on_disk
from updater.quarantine import QuarantineFile
from updater.report import NEVER_RUN, RunReport
from updater.settings import EngineSettings, Settings
from updater.state import EngineState, Generation, MarkerRecord, StateFile, read
from updater.taskbook import TaskBook


class HostPlace(msgspec.Struct, frozen=True):
    """Where the updater's own things lie."""

    root: Path

    @classmethod
    def of(cls, settings: Settings) -> "HostPlace":
        """Take the place from the settings."""
        return cls(Path(settings.state))

    @property
    def blobs(self) -> Path:
        """The folder of files by sha256."""
        return self.root / "blobs"

    @property
    def last_run(self) -> Path:
        """The file that tells how the last run ended."""
        return self.root / "last_run.json"

    @property
    def fragments(self) -> FragmentFile:
        """What is known of the settings the site signs."""
        return FragmentFile(self.root / "fragment.json")

    @property
    def tasks(self) -> TaskBook:
        """What is remembered of the site's tasks."""
        return TaskBook(self.root / "tasks")

    @property
    def outbox(self) -> Path:
        """The folder of reports that wait for a mirror."""
        return self.root / "outbox"

    def trust(self, repository: str) -> Path:
        """Return the folder of a repository's trusted metadata and clock."""
        return self.root / "trust" / repository

    def prepare(self) -> None:
        """Make the folders.

        Raises:
            StateError: the disk is full or the folder cannot be written.

        """
        with on_disk(self.root):
            for folder in (self.root, self.blobs, self.root / "locks", self.root / "trust"):
                make_folder(folder)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold what one run at a time may hold.

        Raises:
            LockedError: another run is at work.
            StateError: the state folder cannot be written.

        """
        self.prepare()
        with _locked(self.root / "locks" / "host.lock", what="update of this host"):
            yield


class Place(msgspec.Struct, frozen=True):
    """Where one engine's generations, state, history and quarantine lie."""

    name: str
    host: HostPlace
    folder: Path
    generations: Generations
    state: StateFile
    quarantine: QuarantineFile
    history: History
    keep_generations: int

    @classmethod
    def of(cls, host: HostPlace, engine: EngineSettings) -> "Place":
        """Take the place of an engine from its settings."""
        own = host.root / "engines" / engine.name
        return cls(
            name=engine.name,
            host=host,
            folder=own,
            generations=Generations(Path(engine.folder) if engine.folder else own),
            state=StateFile(own / "state.json"),
            quarantine=QuarantineFile(own / "quarantine.json"),
            history=History(own / "history.jsonl"),
            keep_generations=engine.keep_generations,
        )

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the engine's generations.

        Raises:
            LockedError: another command changes or proves them.

        """
        self.host.prepare()
        with on_disk(self.folder):
            make_folder(self.folder)
        path = self.host.root / "locks" / f"engine-{self.name}.lock"
        with _locked(path, what=f"engine {self.name}"):
            yield

    def in_force(self, state: EngineState) -> Generation | None:
        """Return the generation ``current`` points at, if it is one of ours."""
        return state.find(self.generations.in_force())

    def previous(self, state: EngineState) -> Generation | None:
        """Return the generation that was in force before, if it is still there."""
        found = state.find(state.previous)
        return found if found and self.generations.path(found.name).is_dir() else None

    def next_number(self, state: EngineState) -> int:
        """Return a number no generation has had, also where the state was lost."""
        there = (name.partition("-")[0] for name in self.generations.names())
        return 1 + max([state.last_number, *(int(n) for n in there if n.isdecimal())])

    def marker(self, state: EngineState, name: str) -> MarkerRecord | None:
        """Return a generation's marker, if it is remembered."""
        found = state.find(name)
        return found.marker if found else None

    def prune(self, state: EngineState) -> EngineState:
        """Forget and remove what is too old; the one in force and the one before always stay."""
        names = [generation.name for generation in state.generations]
        newest = names[-max(self.keep_generations, 2) :]
        keep = {*newest, state.previous, self.generations.in_force()}
        left = state.without(frozenset(names) - keep)
        if left != state:
            self.state.save(left)
        self.generations.prune(keep)
        return left


def last_run(host: HostPlace) -> RunReport:
    """Return how the last run ended; one that cannot be read counts as none."""
    try:
        return read(host.last_run, RunReport, NEVER_RUN)
    except StateError:
        return NEVER_RUN


@contextmanager
def _locked(path: Path, *, what: str) -> Iterator[None]:
    with ExitStack() as stack:
        with on_disk(path):
            stack.enter_context(files.lock(path, what=what))
        yield
