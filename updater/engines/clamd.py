"""The engine clamd: loads through clamscan, reloads and proves over clamd's own socket."""

import os
from collections.abc import Mapping
from pathlib import Path

from keys.errors import EngineError, Error, HostError, UnprovenError
from keys.model.release import File
from updater.engines import clamscan, databases, instream, memory
from updater.engines.base import Loaded, Marker, Verdict
from updater.engines.clamd_config import ClamdConfig
from updater.engines.marker import fresh
from updater.engines.process import run
from updater.settings import EngineSettings

UNOFFICIAL = ".UNOFFICIAL"  # what clamd adds to the name of every definition that is not ClamAV's
UNKNOWN_VERSION = "ClamAV"
_VERSION_TIMEOUT_SECONDS = 10.0
_READABLE_BY_ALL = 0o004


class ClamdEngine:
    """One clamd; ``folder`` is where ``current`` and the generations stand."""

    kind = "clamd"
    proves = True

    def __init__(self, settings: EngineSettings, folder: Path) -> None:
        self._settings = settings
        self._current = folder / "current"
        self._address = instream.Address.parse(settings.socket)

    def layout(self, channel: str, files: tuple[File, ...]) -> Mapping[str, File]:
        """Name the databases flatly; see ``updater.engines.databases``."""
        return databases.layout(channel, files)

    def suppresses(self, file: File) -> bool:
        """Tell whether the file's kind can switch off what other files detect."""
        return databases.extension(file.path) in databases.SUPPRESSING

    def marker(self, generation: int) -> Marker:
        """Make a body signature of a random text; no file type hides it."""
        seed = fresh(generation)
        return Marker(
            name=seed.name + UNOFFICIAL,
            sample=seed.sample,
            file_name=f"{seed.stem}.ndb",
            definition=f"{seed.name}:0:*:{seed.text.encode('ascii').hex()}\n".encode("ascii"),
        )

    def version(self) -> str:
        """Tell ClamAV's version, from clamd or else from clamscan; never the databases'."""
        try:
            reply = self._ask("VERSION")
        except UnprovenError:
            reply = self._clamscan_version()
        return reply.partition("/")[0].strip() or UNKNOWN_VERSION

    def _clamscan_version(self) -> str:
        try:
            program = [self._settings.clamscan, "--version"]
            return run(program, timeout_seconds=_VERSION_TIMEOUT_SECONDS).output
        except HostError:
            return UNKNOWN_VERSION

    def test(self, folder: Path, marker: Marker | None) -> Loaded:
        """Load the folder with clamscan, at low priority; every database must load."""
        sizes = _sizes(folder)
        databases.check_duplicates(sizes)
        needed = memory.needed_bytes(sizes, self._settings.memory_per_definition_byte)
        memory.check(needed, memory.read_available())
        return clamscan.load(
            self._settings.clamscan,
            folder,
            sizes.keys(),
            marker=marker,
            timeout_seconds=self._settings.test_timeout_seconds,
        )

    def reload(self) -> None:
        """Send RELOAD; a clamd that is loading already drops it, so look for the marker."""
        self._expect("RELOAD", "RELOADING")

    def probe(self) -> None:
        """Send PING; a wedged clamd still answers it."""
        self._expect("PING", "PONG")

    def findings(self) -> tuple[str, ...]:
        """Read the configuration named by ``clamd_config``, if one is."""
        if not self._settings.clamd_config:
            return ()
        path = Path(self._settings.clamd_config)
        try:
            found = ClamdConfig.load(path).findings(self._current)
            return tuple(f"{path}: {finding}" for finding in found)
        except Error as exc:
            return (str(exc),)

    def scan(self, data: bytes, *, timeout_seconds: float) -> tuple[Verdict, str]:
        """Send the bytes by INSTREAM."""
        return instream.scan(self._address, data, timeout_seconds=timeout_seconds)

    def _expect(self, command: str, answer: str) -> None:
        reply = self._ask(command)
        if reply != answer:
            raise UnprovenError(f"{self._address}: {command}: answered {reply[:200]!r}")

    def _ask(self, command: str) -> str:
        return instream.ask(
            self._address, command, timeout_seconds=self._settings.scan_timeout_seconds
        )


def _sizes(folder: Path) -> dict[str, int]:
    """List the databases of a folder; the engine's user must be able to read each.

    Raises:
        EngineError: a file only its owner or group can read.

    """
    sizes: dict[str, int] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if databases.extension(entry.name) in databases.LOADED:
                status = entry.stat()
                if not status.st_mode & _READABLE_BY_ALL:
                    raise EngineError(f"{entry.name}: clamd's user cannot read it")
                sizes[entry.name] = status.st_size
    return sizes
