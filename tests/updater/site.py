"""A signed repository served over loopback HTTP, and a host that updates from it."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import msgspec

from tests.loopback import Quiet, Server, running
from tests.tuf_repository import ChannelRepository
from tests.updater.recording_engine import RecordingEngine
from updater.channels import channel_names
from updater.fetch import Fetcher
from updater.place import HostPlace, Place, last_run
from updater.report import RunReport
from updater.settings import EngineSettings, Limits, RepositorySettings, Settings
from updater.turn import Turn
from updater.update import Update

Answer = tuple[int, dict[str, str], bytes]


class Site:
    """Serves a repository's tree below ``/r/site/``; ``override`` answers for some paths."""

    def __init__(self, repository: ChannelRepository) -> None:
        self.repository = repository
        self.requests: list[str] = []
        self.override: Callable[[str], Answer | None] = lambda _: None
        self.url = ""

    def answer(self, path: str) -> Answer:
        self.requests.append(path)
        if (special := self.override(path)) is not None:
            return special
        data = self.repository.files.get(path.removeprefix("/r/site/"))
        return (200, {}, data) if data is not None else (404, {}, b"")


@contextmanager
def served(repository: ChannelRepository) -> Iterator[Site]:
    site = Site(repository)

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, data = site.answer(self.path)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            with contextlib.suppress(ConnectionError):  # a client may give up
                self.end_headers()
                self.wfile.write(data)

    with running(Server(Handler)) as site.url:
        yield site


class ScannerHost:
    """A host with recording engines; ``run`` is one run of the updater."""

    def __init__(self, root: Path, site: Site, **engines: EngineSettings) -> None:
        self.root = root
        self.site = site
        root.mkdir(exist_ok=True)
        (root / "root.json").write_bytes(site.repository.first_root)
        self.limits = Limits(max_attempts=1, connect_timeout_seconds=2, read_timeout_seconds=2)
        self.engine_settings = engines or {"scanner": engine_settings("scanner", "a")}
        self.engines = {
            name: RecordingEngine(self.place(name).generations.folder)
            for name in self.engine_settings
        }

    @property
    def settings(self) -> Settings:
        return Settings(
            mirrors=(self.site.url,),
            state=str(self.root / "state"),
            limits=self.limits,
            repository=(RepositorySettings(name="site", root=str(self.root / "root.json")),),
            engine=tuple(self.engine_settings.values()),
        )

    def place(self, name: str = "scanner") -> Place:
        return Place.of(HostPlace(self.root / "state"), self.engine_settings[name])

    def engine(self, name: str = "scanner") -> RecordingEngine:
        return self.engines[name]

    def run(
        self, *, at: datetime | None = None, ask_engine: bool = True, only: str = ""
    ) -> RunReport:
        at = at or datetime.now(UTC)
        names = [only] if only else list(self.engine_settings)
        turns = [self._turn(name, at, ask_engine) for name in names]
        mirrors = partial(Fetcher.of, self.settings)
        return Update(self.settings, turns, mirrors, now=at, whole=not only).run()

    def last_run(self) -> RunReport:
        return last_run(HostPlace(self.root / "state"))

    def sequences(self, name: str = "scanner") -> Mapping[str, int]:
        place = self.place(name)
        found = place.in_force(place.state.load())
        return {c: r.sequence for c, r in found.releases.items()} if found else {}

    def turn(self, name: str = "scanner") -> Turn:
        return self._turn(name, datetime.now(UTC), ask_engine=True)

    def _turn(self, name: str, at: datetime, ask_engine: bool) -> Turn:
        settings = self.engine_settings[name]
        return Turn(
            settings=settings,
            place=self.place(name),
            engine=self.engines[name],
            channels=channel_names(self.settings, settings.channels),
            now=at,
            ask_engine=ask_engine,
        )


def engine_settings(name: str, *channels: str, **more: object) -> EngineSettings:
    """Write an engine's settings, with little patience."""
    quick: dict[str, object] = {"reload_timeout_seconds": 1, "scan_timeout_seconds": 1.0}
    fields = {"name": name, "kind": "command", "channels": channels, **quick, **more}
    return msgspec.convert(fields, EngineSettings)
