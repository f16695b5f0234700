"""A working engine for tests: it loads text definitions from ``current`` and scans with them.

A definition file ``*.db`` holds lines ``name:text``; a sample that contains the text is found.
``*.ign`` lists names that are not reported. A line without ``:`` is broken: the loader refuses it.
It does on request what real engines do: it is down, dies or hangs at a reload, drops a reload.
"""

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from keys.errors import EngineError, UnprovenError
from keys.model.release import File
from updater.engines.base import IGNORED_STEM, MARKER_PREFIX, Loaded, Marker, Verdict


class RecordingEngine:
    kind = "recording"

    def __init__(self, folder: Path, *, proves: bool = True, running: bool = True) -> None:
        self.proves = proves
        self.scans = True
        self.ignores = True
        self.refuses_lists = False
        self.heeds_lists = True
        self.current = folder / "current"
        self.calls: list[str] = []
        self.engine_version = "1.0"
        self.drop_reloads = 0  # so many reloads are answered and not done
        self.refuse_together: set[str] = set()  # names of definitions no generation may join
        self.dies_on = ""  # name of a definition that kills the engine when it is reloaded
        self.hangs_on = ""
        self.reads_elsewhere = False
        self.hanging = False
        self._loaded: dict[str, str] | None = None
        if running:
            self.start()

    # -- what a test does to it ---------------------------------------------------------------

    def start(self) -> None:
        """Cold start: what an engine reads when its process begins."""
        self._loaded = _load(self.current) if self.current.is_dir() else {}
        self.hanging = False

    def stop(self) -> None:
        self._loaded = None

    def detects(self, text: str) -> bool:
        return self.scan(text.encode(), timeout_seconds=1)[0] is Verdict.found

    # -- the contract -------------------------------------------------------------------------

    def layout(self, channel: str, files: tuple[File, ...]) -> Mapping[str, File]:
        names: dict[str, File] = {}
        for file in files:
            name = file.path.rpartition("/")[2]
            if not name.endswith((".db", ".ign", ".cvd", ".cld")):
                continue
            if name in names or name.startswith(MARKER_PREFIX):
                raise EngineError(f"channel {channel}: two files named {name!r}")
            names[name] = file
        return names

    def suppresses(self, file: File) -> bool:
        return file.path.endswith(".ign")

    def marker(self, generation: int) -> Marker:
        text = secrets.token_hex(32)
        name = f"marker_{generation}_{text[:8]}"
        stem = f"{MARKER_PREFIX}{generation}-{text[:8]}"
        return Marker(name, text.encode(), f"{stem}.db", f"{name}:{text}\n".encode())

    def ignore_file(
        self, ignored: Mapping[str, Sequence[str]], marker: Marker | None
    ) -> Mapping[str, bytes]:
        names = [name for listed in ignored.values() for name in listed]
        decoy = [marker.decoy_name] if marker and ignored else []
        lines = "".join(f"{name}\n" for name in (*names, *decoy))
        return {f"{IGNORED_STEM}.ign": lines.encode()} if ignored else {}

    def version(self) -> str:
        return self.engine_version

    def test(self, folder: Path, marker: Marker | None) -> Loaded:
        self.calls.append("test")
        loaded = _load(folder)
        if self.refuses_lists and list(folder.glob(f"{IGNORED_STEM}*")):
            raise EngineError(f"{folder.name}: a list")
        if self.refuse_together and self.refuse_together <= loaded.keys():
            raise EngineError(f"{folder.name}: {sorted(self.refuse_together)} do not go together")
        if marker and loaded.get(marker.name) != marker.sample.decode():
            raise EngineError(f"{folder.name}: the marker was not loaded")
        return Loaded(len(loaded))

    def reload(self) -> None:
        self.calls.append("reload")
        self._expect_running()
        if self.drop_reloads or self.reads_elsewhere:
            self.drop_reloads = max(0, self.drop_reloads - 1)
            return
        try:
            loaded = _load(self.current, heeding=self.heeds_lists)
        except EngineError:
            return  # as clamd: the old definitions stay, only the log tells
        if self.dies_on in loaded:
            self.stop()
        self.hanging = self.hangs_on in loaded
        if self._loaded is not None:
            self._loaded = loaded

    def probe(self) -> None:
        self._expect_running()

    def findings(self) -> tuple[str, ...]:
        return ()

    def scan(self, data: bytes, *, timeout_seconds: float) -> tuple[Verdict, str]:
        self.calls.append("scan")
        loaded = self._expect_running()
        if self.hanging:
            raise UnprovenError(f"no answer in {timeout_seconds} s")
        text = data.decode(errors="replace")
        for name, wanted in loaded.items():
            if wanted in text:
                return Verdict.found, name
        return Verdict.clean, ""

    def _expect_running(self) -> dict[str, str]:
        if self._loaded is None:
            raise UnprovenError("connection refused")
        return self._loaded


def _load(folder: Path, *, heeding: bool = True) -> dict[str, str]:
    definitions: dict[str, str] = {}
    ignored: set[str] = set()
    for path in sorted(folder.iterdir()):
        lines = path.read_text().splitlines() if path.suffix in {".db", ".ign"} else []
        for line in lines:
            name, colon, text = line.partition(":")
            if path.suffix == ".ign":
                ignored.add(line)
            elif not colon:
                raise EngineError(f"{path.name}: broken line {line!r}")
            else:
                definitions[name] = text
    return {name: text for name, text in definitions.items() if name not in ignored or not heeding}
