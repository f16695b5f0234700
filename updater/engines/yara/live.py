"""Rules that stay current in a running scanner: swapped when ``current`` moves, no scan lost.

A thread loads the new generation while the old one goes on scanning; the swap is one assignment.
It is woken by the file system where that works (watchdog), and looks by itself every
``poll_seconds`` where it does not. A generation that cannot be loaded leaves the old one in force.

yara-x holds the interpreter while it loads compiled rules (about a second for 6,000 of them):
scans wait that long, and none is lost.
"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from keys.errors import Error, UnprovenError
from updater.engines.yara import watch
from updater.engines.yara.load import load
from updater.engines.yara.matches import NOTHING_LOADED, Match, scan
from updater.engines.yara.sources import DEFAULT_EXTERNALS

if TYPE_CHECKING:
    from updater.engines.yara.compiled import Ruleset

RETRY_SECONDS = 30.0  # until a generation that did not load is tried again
_log = logging.getLogger("sigupdate.yara")


@dataclass(frozen=True, slots=True)
class _InForce:
    """A generation and its rules, replaced together."""

    generation: str
    ruleset: "Ruleset"


class LiveRules:
    """The rules of an engine's folder, the one that holds ``current``; use it in any thread.

    ``externals`` are the names the engine's settings declare. With ``probe_socket`` (a path or
    ``HOST:PORT``) it answers clamd's protocol there, so that ``sigupdate`` can prove what runs.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        externals: Sequence[str] = DEFAULT_EXTERNALS,
        poll_seconds: float = 2.0,
        inotify: bool = True,
        probe_socket: str = "",
        build_timeout_seconds: float = 300.0,
    ) -> None:
        self._folder = Path(folder)
        self._externals = tuple(externals)
        self._poll_seconds = poll_seconds
        self._inotify = inotify
        self._probe_socket = probe_socket
        self._build_timeout_seconds = build_timeout_seconds
        self._in_force: _InForce | None = None
        self._error = ""
        self._tried = ("", 0.0)  # the generation that did not load, and when
        self._wake = threading.Event()
        self._looked = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._keep_current, name="live-rules", daemon=True)
        self._open = ExitStack()

    # -- life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to follow ``current``; return at once.

        Raises:
            UsageError: ``probe_socket`` cannot be listened on.

        """
        if self._probe_socket:
            from updater.engines.yara.service import Service  # noqa: PLC0415 - only where wanted

            self._open.enter_context(Service(self, self._probe_socket))
        self._thread.start()

    def close(self) -> None:
        """Stop following; scans under way end with the rules they began with."""
        self._open.close()
        self._closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def __enter__(self) -> Self:
        """Start, and wait until what ``current`` points at is loaded or has failed to."""
        self.start()
        self._looked.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- use -----------------------------------------------------------------------------------

    @property
    def generation(self) -> str:
        """Name the generation whose rules scan now, "" before the first."""
        return self._in_force.generation if self._in_force else ""

    @property
    def count(self) -> int:
        """Tell how many rules scan now."""
        return self._in_force.ruleset.count if self._in_force else 0

    @property
    def error(self) -> str:
        """Say why the generation ``current`` points at is not in force, "" where it is."""
        return self._error

    def reload(self) -> None:
        """Look at ``current`` now, and try again what did not load; return at once."""
        self._tried = ("", 0.0)
        self._wake.set()

    def scan(
        self,
        data: bytes,
        *,
        externals: Mapping[str, str] | None = None,
        timeout_seconds: float = 60.0,
    ) -> tuple[Match, ...]:
        """Scan bytes with the rules in force when the scan begins.

        Raises:
            UnprovenError: no rules are loaded yet, or the time was up.

        """
        in_force = self._in_force
        if in_force is None:
            reason = self._error or f"{self._folder / 'current'}: nothing is installed yet"
            raise UnprovenError(f"{NOTHING_LOADED}: {reason}")
        return scan(in_force.ruleset, data, externals or {}, timeout_seconds=timeout_seconds)

    # -- the thread ----------------------------------------------------------------------------

    def _keep_current(self) -> None:
        watcher = watch.Watcher(self._folder, self._wake.set) if self._inotify else None
        while not self._closing:
            self._wake.clear()
            if watcher:
                watcher.ensure()
            self._look()
            self._looked.set()
            self._wake.wait(self._poll_seconds)
        if watcher:
            watcher.stop()

    def _look(self) -> None:
        """Load what ``current`` points at, unless it is in force or has just failed."""
        try:
            name = (self._folder / "current").readlink().name
        except OSError:
            return  # not installed yet, or taken away: what is loaded stays
        failed, since = self._tried
        recently = name == failed and time.monotonic() - since < RETRY_SECONDS
        if name == self.generation:
            self._error = ""
        elif not recently:
            self._load(name)

    def _load(self, name: str) -> None:
        folder = self._folder / "generations" / name
        try:
            ruleset = load(folder, self._externals, timeout_seconds=self._build_timeout_seconds)
        except (Error, OSError) as exc:
            self._tried = (name, time.monotonic())
            self._error = f"generation {name}: {exc}"
            _log.error("%s; %s stays", self._error, self.generation or "nothing")
            return
        self._in_force = _InForce(name, ruleset)
        self._error = ""
        _log.info("generation %s: %d rules", name, ruleset.count)
