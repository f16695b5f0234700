"""Driver: freshclam, with its own settings and folder; whole databases only.

Scripted updates would leave a .cld that no other freshclam can be served, and its test of the
databases would run an engine on the mirror: both are off.
"""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit, urlunsplit

from keys import files
from keys.errors import FetchError, StateError
from mirror.feeds import UpstreamSettings
from mirror.upstream.answers import BusyError
from mirror.upstream.base import Pull
from mirror.upstream.clamav import program
from mirror.upstream.clamav.drivers import Advertised, Surroundings, ask_record
from mirror.upstream.clamav.native import Native, check_risen

INSTALLED_AT = "/usr/bin/freshclam"
INSTALL = "apt-get install clamav-freshclam"
CONNECT_SECONDS = 30

# What its HTTP library tells of one exchange: "> GET /path HTTP/1.1", "< HTTP/1.1 200 OK", headers.
_SAID = re.compile(
    r"^(?:> GET (?P<path>\S+) HTTP/|< HTTP/[\d.]+ (?P<status>\d{3})"
    r"|< (?P<header>[A-Za-z-]+): (?P<value>.*?)\s*$)",
    re.MULTILINE,
)
_COOLING = re.compile(r"cool-down until after: (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)")


def find_freshclam(settings: UpstreamSettings) -> str:
    """Locate the program.

    Raises:
        SettingsError: it is not installed.

    """
    return program.locate(settings.program, "freshclam", INSTALLED_AT, hint=INSTALL)


@dataclass(slots=True)
class _Said:
    """One request of its output and what was answered."""

    path: str
    status: int = 0
    retry_after: str = ""
    length: str = "0"


class Freshclam:
    """Runs ``freshclam`` once per pull."""

    lacks: tuple[str, ...] = (
        "no cdiffs: whoever updates from here takes whole databases",
        "no .sign files before freshclam 1.5",
    )

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._settings = around.settings
        self._folder = around.working.folder.parent / "freshclam"
        self._config = self._folder / "freshclam.conf"

    async def advertised(self) -> Advertised:
        """Ask the record; a mirror without one is asked as ``native`` does, before each run."""
        if not self._settings.dns:
            return await Native(self._around).advertised()
        return Advertised(await ask_record(self._around), f"dns {self._settings.dns}", "answered")

    async def bring(self, advertised: Advertised, pull: Pull) -> None:
        """Run it once and tell its troubles as ours."""
        if not self._settings.dns:
            held = await asyncio.to_thread(self._around.working.versions)
            check_risen(self._around, advertised, held)
        await asyncio.to_thread(self._prepare)
        executable = find_freshclam(self._settings)
        ran = await program.run(
            [executable, f"--config-file={self._config}", "--stdout", "--verbose",
             *([] if self._settings.dns else ["--no-dns"]),
             *(f"--update-db={name}" for name in self._settings.databases)],
            folder=self._folder,
            limits=program.Limits.of(self._settings),
            redactor=self._around.access.redactor,
            ca_file=self._settings.ca_file,
        )  # fmt: skip
        for said in _said(ran.output):
            self._note(said, pull)
        if cooling := _COOLING.search(ran.output):
            raise self._still_cooling(cooling[1], pull.now)
        if ran.code:
            raise FetchError(f"freshclam: exit {ran.code}: {ran.told('ERROR', 'WARNING')}")

    def _prepare(self) -> None:
        """Write its settings; they hold the password, if there is one."""
        lines = (
            f"DatabaseMirror {self._address()}",
            f"DatabaseDirectory {self._around.working.folder}",
            *((f"DNSDatabaseInfo {self._settings.dns}",) if self._settings.dns else ()),
            "DatabaseOwner root",  # counts for root only, whose own folder it then is
            "ScriptedUpdates no",
            "TestDatabases no",
            "MaxAttempts 1",
            f"ConnectTimeout {CONNECT_SECONDS}",
            f"ReceiveTimeout {self._settings.max_pull_seconds}",
        )
        try:
            files.make_folder(self._folder)
            files.write(self._config, ("\n".join(lines) + "\n").encode(), mode=0o600)
        except OSError as exc:
            raise StateError(f"{self._config}: {exc.strerror or exc}") from exc

    def _address(self) -> str:
        """Write the mirror's address as freshclam wants it, user name and password inside."""
        credential = self._around.credential
        if credential is None:
            return self._around.base
        parts = urlsplit(self._around.base)
        pair = (
            f"{quote(credential.username, safe='')}:{quote(credential.password.reveal(), safe='')}"
        )
        return urlunsplit(parts._replace(netloc=f"{pair}@{parts.netloc}"))

    def _note(self, said: _Said, pull: Pull) -> None:
        """Take one exchange into the transcript, and stop at one that sends us away."""
        parts = urlsplit(self._around.base)
        length = int(said.length) if said.length.isdigit() else 0
        self._around.note(
            f"{parts.scheme}://{parts.netloc}{said.path}", said.status, length,
            retry_after=said.retry_after, pull=pull,
        )  # fmt: skip

    def _still_cooling(self, until: str, now: datetime) -> BusyError:
        """Tell of a cool-down it remembers; its clock is set to UTC."""
        ends = datetime.strptime(until, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        seconds = max((ends - now).total_seconds(), 60.0)
        return BusyError(f"freshclam: asks nothing before {until}Z", seconds=seconds)


def _said(output: str) -> Iterator[_Said]:
    """Read the exchanges of its output, in order."""
    said: _Said | None = None
    for found in _SAID.finditer(output):
        if found["path"]:
            if said:
                yield said
            said = _Said(found["path"])
        elif said:
            _take(said, found)
    if said:
        yield said


def _take(said: _Said, found: re.Match[str]) -> None:
    if found["status"]:
        said.status = int(found["status"])
    elif found["header"].lower() == "retry-after":
        said.retry_after = found["value"]
    elif found["header"].lower() == "content-length":
        said.length = found["value"]
