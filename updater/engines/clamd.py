"""The engine clamd: loads through clamscan, reloads and proves over clamd's own socket."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from keys.errors import EngineError, Error, HostError, UnprovenError
from keys.model.ignore import bare
from keys.model.release import File
from updater.engines import databases, instream, memory
from updater.engines.base import IGNORED_STEM, Loaded, Marker, Verdict
from updater.engines.marker import fresh
from updater.settings import EngineSettings

UNOFFICIAL = ".UNOFFICIAL"  # what clamd adds to the name of every definition that is not ClamAV's
UNKNOWN_VERSION = "ClamAV"
IGNORE_FILE = f"{IGNORED_STEM}.ign2"
_VERSION_TIMEOUT_SECONDS = 10.0
_VERSION = re.compile(r"ClamAV [^/\s]{1,40}")  # what follows a "/" is of its databases
_READABLE_BY_ALL = 0o004


class ClamdEngine:
    """One clamd; ``folder`` is where ``current`` and the generations stand."""

    kind = "clamd"
    proves = True
    ignores = True
    scans = True

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

    def ignore_file(
        self, ignored: Mapping[str, Sequence[str]], marker: Marker | None
    ) -> Mapping[str, bytes]:
        """Write an .ign2 of plain names, which hold for whatever database has them."""
        if not ignored:
            return {}
        names = {name for listed in ignored.values() for name in listed}
        decoys = {bare(marker.decoy_name)} if marker else set()
        lines = "".join(f"{name}\n" for name in sorted(names | decoys))
        return {IGNORE_FILE: lines.encode("ascii")}

    def version(self) -> str:
        """Tell ClamAV's version, from clamd or else from clamscan; never the databases'."""
        try:
            return _version(self._ask("VERSION")) or self._clamscan_version()
        except UnprovenError:
            return self._clamscan_version()

    def _clamscan_version(self) -> str:
        from updater.engines.process import run  # noqa: PLC0415 - a run that finds nothing new does without

        try:
            program = [self._settings.clamscan, "--version"]
            finished = run(program, timeout_seconds=_VERSION_TIMEOUT_SECONDS)
            return _version(finished.output) or UNKNOWN_VERSION
        except HostError:
            return UNKNOWN_VERSION

    def test(self, folder: Path, marker: Marker | None) -> Loaded:
        """Load the folder with clamscan, at low priority; every database must load."""
        from updater.engines import clamscan  # noqa: PLC0415 - a run that finds nothing new does without

        sizes = _sizes(folder)
        databases.check_duplicates(sizes)
        needed = memory.needed_bytes(sizes, self._settings.memory_per_definition_byte)
        memory.check(needed, memory.read_available())
        return clamscan.load(
            self._settings.clamscan,
            folder,
            sizes.keys(),
            marker=marker,
            ignored=_ignored(folder),
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
        from updater.engines.clamd_config import ClamdConfig  # noqa: PLC0415 - a run that finds nothing new does without

        path = Path(self._settings.clamd_config)
        try:
            found = ClamdConfig.load(path).findings(self._current, self._settings.socket)
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


def _ignored(folder: Path) -> frozenset[str]:
    """Read which names a generation ignores."""
    try:
        return frozenset((folder / IGNORE_FILE).read_text("ascii").split())
    except FileNotFoundError:
        return frozenset()


def _version(reply: str) -> str:
    """Read the program's version; "" from what is no ClamAV."""
    found = _VERSION.match(reply)
    return found[0] if found else ""


def _sizes(folder: Path) -> dict[str, int]:
    """List the databases of a folder; the engine's user must be able to read each.

    Raises:
        EngineError: there is a folder in it, which clamd would leave out without a word.
        HostError: a file only its owner or group can read.

    """
    sizes: dict[str, int] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                raise EngineError(f"{entry.name}: clamd reads no folder inside its folder")
            if databases.extension(entry.name) in databases.LOADED:
                status = entry.stat()
                if not status.st_mode & _READABLE_BY_ALL:
                    raise HostError(f"{entry.path}: clamd's user cannot read it")
                sizes[entry.name] = status.st_size
    return sizes
