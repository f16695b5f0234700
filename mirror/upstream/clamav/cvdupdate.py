"""Driver: cvdupdate, the program the vendor's network is made for, in its own environment.

It keeps whole databases, cdiffs and .sign files; it checks none of them, writes in place and asks
its TXT record before anything else. What it believes to hold stands in its state file; a refused
file that was removed from the working folder is fetched again.
"""

import asyncio
import re
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import msgspec

from keys import files
from keys.errors import FetchError, StateError
from mirror.feeds import UpstreamSettings
from mirror.upstream.base import Pull
from mirror.upstream.clamav import program
from mirror.upstream.clamav.drivers import Advertised, Surroundings, ask_record
from mirror.upstream.clamav.layout import RECORD_FIELDS, cvd_name

MAX_STATE_BYTES = 1 << 20
MAX_ATTEMPTS = 3
KEPT_LOGS = 3
INSTALLED_AT = "/opt/cvdupdate/bin/cvd"
INSTALL = "python3 -m venv /opt/cvdupdate && /opt/cvdupdate/bin/pip install cvdupdate"

# How its HTTP library tells of one request: origin "GET path HTTP/1.1" status length
_REQUEST = re.compile(
    r'(?P<origin>https?://\S+) "GET (?P<path>\S+) HTTP/[\d.]+" (?P<status>\d{3}) (?P<length>\d+)?'
)


def find_cvdupdate(settings: UpstreamSettings) -> str:
    """Locate the program.

    Raises:
        SettingsError: it is not installed.

    """
    hint = f"install it in an environment of its own: {INSTALL}"
    return program.locate(settings.program, "cvd", INSTALLED_AT, hint=hint)


class _Database(msgspec.Struct):
    """One database in its state file."""

    url: str
    retry_after: float = msgspec.field(name="retry after", default=0)
    last_modified: float = msgspec.field(name="last modified", default=0)
    last_checked: float = msgspec.field(name="last checked", default=0)
    dns_field: int = msgspec.field(name="DNS field", default=0)
    local_version: int = msgspec.field(name="local version", default=0)
    cdiffs: list[str] = msgspec.field(name="CDIFFs", default_factory=list)


class _State(msgspec.Struct, omit_defaults=True):
    """Its state file; ``uuid`` is how the vendor's network counts installations."""

    dbs: dict[str, _Database] = {}
    uuid: str = ""


class CvdUpdate:
    """Runs ``cvd update`` with settings and folders of our own."""

    lacks: tuple[str, ...] = ()

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._settings = around.settings
        self._folder = around.working.folder.parent / "cvdupdate"
        self._config = self._folder / "config.json"
        self._state = self._folder / "state.json"

    async def advertised(self) -> Advertised:
        """Ask the record the program will ask; without an answer it would do nothing."""
        versions = await ask_record(self._around)
        return Advertised(versions, f"dns {self._settings.dns}", "answered")

    async def bring(self, advertised: Advertised, pull: Pull) -> None:  # noqa: ARG002 - it asks itself
        """Run it once and tell its troubles as ours."""
        await asyncio.to_thread(self._prepare)
        executable = find_cvdupdate(self._settings)
        ran = await program.run(
            [executable, "update", "--config", str(self._config), "--verbose"],
            folder=self._folder,
            limits=program.Limits.of(self._settings),
            redactor=self._around.access.redactor,
            ca_file=self._settings.ca_file,
        )
        for found in self._own_requests(ran.output):
            self._note(found, pull)
        if ran.code:
            raise FetchError(f"cvdupdate: exit {ran.code}: {ran.told('ERROR', 'WARNING')}")

    def _prepare(self) -> None:
        """Write its settings and state; a state that cannot be read is begun anew."""
        try:
            self._write()
        except OSError as exc:
            raise StateError(f"{exc.filename or self._folder}: {exc.strerror or exc}") from exc

    def _write(self) -> None:
        files.make_folder(self._folder)
        settings = {
            "nameserver": self._around.resolver.address,
            "max retry": MAX_ATTEMPTS,
            "log directory": str(self._folder / "logs"),
            "rotate logs": True,
            "# logs to keep": KEPT_LOGS,
            "db directory": str(self._around.working.folder),
            "rotate cdiffs": True,
            "# cdiffs to keep": max(self._settings.keep_cdiffs, 1),
            "state file": str(self._state),
        }
        before = self._read_state()
        state = _State(
            {cvd_name(name): self._database(name, before) for name in self._settings.databases},
            before.uuid,
        )
        files.write(self._config, msgspec.json.encode(settings))
        files.write(self._state, msgspec.json.encode(state))

    def _database(self, name: str, before: _State) -> _Database:
        """Tell it where a database is and what we hold of it.

        Without a field in the record it asks with If-Modified-Since of its last download, which
        hides a file that was made before that: so it is told of no such time.
        """
        known = before.dbs.get(cvd_name(name))
        return _Database(
            url=f"{self._around.base}/{cvd_name(name)}",
            retry_after=known.retry_after if known else 0,
            dns_field=RECORD_FIELDS.get(name, 0),
            local_version=self._around.working.versions().get(name, 0),
            cdiffs=[str(cdiff) for cdiff in self._around.working.cdiffs(name)],
        )

    def _read_state(self) -> _State:
        try:
            with self._state.open("rb") as file:
                return msgspec.json.decode(file.read(MAX_STATE_BYTES), type=_State)
        except (FileNotFoundError, msgspec.DecodeError):
            return _State()

    def _own_requests(self, output: str) -> Iterator[re.Match[str]]:
        """Find the requests to the vendor; it also asks elsewhere for a newer program."""
        host = urlsplit(self._around.base).hostname
        for found in _REQUEST.finditer(output):
            if urlsplit(found["origin"]).hostname == host:
                yield found

    def _note(self, found: re.Match[str], pull: Pull) -> None:
        """Take one exchange into the transcript, and stop at one that sends us away."""
        self._around.note(
            f"{found['origin']}{found['path']}", int(found["status"]), int(found["length"] or 0),
            retry_after=f"{self._wait_seconds():.0f}", pull=pull,
        )  # fmt: skip

    def _wait_seconds(self) -> float:
        """Tell how long the vendor wants it to stay away, by its own clock and state."""
        ends = max((one.retry_after for one in self._read_state().dbs.values()), default=0.0)
        return max(ends - time.time(), 0.0)
