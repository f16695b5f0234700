"""The engine YARA: compiles with yara-x, proves over a scanner's socket or as a new scanner would.

With ``socket`` set, the scanner there is asked: ``sigupdate yara-scanner``, or any program whose
``LiveRules`` has a ``probe_socket``. Without it there is no running engine: what is proven is that
whoever loads ``current`` now scans with it.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from keys.errors import EngineError, Error, SettingsError, UnprovenError
from keys.model.release import File
from updater.engines import instream
from updater.engines.base import MARKER_PREFIX, Loaded, Marker, Verdict
from updater.engines.marker import fresh
from updater.engines.yara import build, compiled
from updater.engines.yara.ignored import FILE_NAME, Ignored
from updater.engines.yara.load import load
from updater.engines.yara.matches import NOTHING_LOADED, names, scan
from updater.engines.yara.sources import holds_rules
from updater.settings import EngineSettings

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


class YaraEngine:
    """One set of rules; ``folder`` is where ``current`` and the generations stand."""

    kind = "yara"
    proves = True
    ignores = True
    scans = True

    def __init__(self, settings: EngineSettings, folder: Path) -> None:
        for name in settings.externals:
            if not _IDENTIFIER.fullmatch(name):
                raise SettingsError(f"engine {settings.name}: externals: {name!r}: not a name")
        self._settings = settings
        self._current = folder / "current"
        self._address = instream.Address.parse(settings.socket) if settings.socket else None
        self._loaded: tuple[str, compiled.Ruleset] | None = None

    def layout(self, channel: str, files: tuple[File, ...]) -> Mapping[str, File]:
        """Keep each file of rules under its channel: ``<channel>/<path>``."""
        chosen = [file for file in files if holds_rules(file.path)]
        for file in chosen:
            if file.path.rpartition("/")[2].startswith(MARKER_PREFIX):
                raise EngineError(f"{channel}: {file.path!r} has the name of a marker")
        return {f"{channel}/{file.path}": file for file in chosen}

    def suppresses(self, file: File) -> bool:  # noqa: ARG002 - the contract's signature
        """Tell that none does: each file is compiled in a namespace of its own."""
        return False

    def marker(self, generation: int) -> Marker:
        """Make a rule for a random text."""
        seed = fresh(generation)
        rule = f'rule {seed.name} {{ strings: $marker = "{seed.text}" condition: $marker }}\n'
        return Marker(seed.name, seed.sample, f"{seed.stem}.yar", rule.encode("ascii"))

    def ignore_file(
        self, ignored: Mapping[str, Sequence[str]], marker: Marker | None
    ) -> Mapping[str, bytes]:
        """List the rules whose matches do not count, each for the files of its channel only."""
        if not ignored:
            return {}
        places = {channel: tuple(names) for channel, names in ignored.items()}
        if marker:
            places[marker.file_name] = (marker.decoy_name,)
        return {FILE_NAME: Ignored(places).encoded()}

    def version(self) -> str:
        """Tell the version of yara-x that compiles here."""
        return f"yara-x {compiled.version()}"

    def test(self, folder: Path, marker: Marker | None) -> Loaded:
        """Compile every file in another process, and scan with what was read back."""
        outcome = build.order(
            build.Order(
                folder=str(folder),
                output=str(folder / compiled.FILE_NAME),
                externals=self._settings.externals,
                marker_name=marker.name if marker else "",
                marker_sample=marker.sample if marker else b"",
                decoy_sample=marker.decoy_sample if marker else b"",
            ),
            timeout_seconds=self._settings.test_timeout_seconds,
        )
        met = frozenset(outcome.ignored)
        return Loaded(outcome.rules, f"yara-x: {outcome.files} files", ignored=met)

    def reload(self) -> None:
        """Tell the scanner to look at ``current`` now; it looks by itself a little later."""
        self._loaded = None
        if self._address:
            self._ask(self._address, "RELOAD", "RELOADING")

    def probe(self) -> None:
        """Send PING, and wait for its answer; without a scanner, load ``current``."""
        if self._address:
            self._ask(self._address, "PING", "PONG")
        else:
            self._ruleset()

    def findings(self) -> tuple[str, ...]:
        """Say what a proof without a running scanner is worth."""
        if self._address:
            return ()
        return ("no socket: proven is what a scanner started now would load, not a running one",)

    def scan(self, data: bytes, *, timeout_seconds: float) -> tuple[Verdict, str]:
        """Have the scanner scan; without one, load ``current`` as an on-demand scanner does."""
        if self._address:
            return _ask_scan(self._address, data, timeout_seconds)
        matches = scan(self._ruleset(), data, {}, timeout_seconds=timeout_seconds)
        return (Verdict.found, names(matches)) if matches else (Verdict.clean, "")

    def _ruleset(self) -> compiled.Ruleset:
        """Load what ``current`` points at, once for each generation."""
        try:
            folder = self._current.resolve(strict=True)
            if self._loaded is None or self._loaded[0] != folder.name:
                seconds = self._settings.test_timeout_seconds
                ruleset = load(folder, self._settings.externals, timeout_seconds=seconds)
                self._loaded = (folder.name, ruleset)
        except (OSError, Error) as exc:
            raise UnprovenError(f"{self._current}: {exc}") from exc
        return self._loaded[1]

    def _ask(self, address: instream.Address, command: str, expected: str) -> None:
        seconds = self._settings.scan_timeout_seconds
        reply = instream.ask(address, command, timeout_seconds=seconds)
        if reply != expected:
            raise UnprovenError(f"{address}: {command}: answered {reply[:200]!r}")


def _ask_scan(
    address: instream.Address, data: bytes, timeout_seconds: float
) -> tuple[Verdict, str]:
    """Send bytes to the scanner; one that waits for its first rules is alive and finds nothing."""
    try:
        return instream.scan(address, data, timeout_seconds=timeout_seconds)
    except UnprovenError as exc:
        if NOTHING_LOADED not in str(exc):
            raise
    return Verdict.clean, ""
