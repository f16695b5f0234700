"""The contract of an engine: load test, reload, and scan requests that prove what runs.

An engine reads one folder, ``current``. A definition made on the host, the marker, is unique to
one generation in file name and content: an engine that finds it runs that generation.
Engines are made from settings by ``updater.engines.kinds.make``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from keys.model.release import File

MARKER_PREFIX = "sigmirror-marker-"  # of a marker's file name; no channel may use it


class Verdict(Enum):
    """What a scan said."""

    found = "found"
    clean = "clean"


@dataclass(frozen=True, slots=True)
class Marker:
    """A definition made on this host for one generation.

    ``sample`` are the bytes that hit it; ``name`` is what the engine then reports;
    ``file_name`` and ``definition`` are the file to put into the generation.
    """

    name: str
    sample: bytes
    file_name: str
    definition: bytes


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the loader said of a staged generation."""

    signatures: int
    detail: str = ""


class Engine(Protocol):
    """One scanner on this host.

    No method changes a generation; a hidden file in it may be an engine's own cache.
    """

    kind: str
    proves: bool  # False: takes no host-made definition, so at most `probed`
    scans: bool  # False: cannot be asked to scan, so no sample can be checked

    def layout(self, channel: str, files: tuple[File, ...]) -> Mapping[str, File]:
        """Choose the files the engine reads: name inside the generation folder -> file.

        Raises:
            EngineError: two files would get one name, or one has a marker's name.

        """
        ...

    def suppresses(self, file: File) -> bool:
        """Tell whether a file can switch detections off."""
        ...

    def marker(self, generation: int) -> Marker:
        """Make a fresh marker; two calls never give the same one."""
        ...

    def version(self) -> str:
        """Tell the engine's own version, for quarantine keys and the history."""
        ...

    def test(self, folder: Path, marker: Marker | None) -> Loaded:
        """Load a staged generation with the engine's own loader, beside the running engine.

        Raises:
            EngineError: any file was refused or skipped; the message names it. The same files
                and the same engine always give it.
            HostError: this host cannot test now (memory, time, a missing program).

        """
        ...

    def reload(self) -> None:
        """Tell the running engine to read ``current`` again; returns before it has.

        Raises:
            UnprovenError: the engine is down.

        """
        ...

    def probe(self) -> None:
        """Ask the running engine for a sign of life, which proves nothing about definitions.

        Raises:
            UnprovenError: the engine is down.

        """
        ...

    def findings(self) -> tuple[str, ...]:
        """List what in this host's own settings can break a reload or hide the marker."""
        ...

    def scan(self, data: bytes, *, timeout_seconds: float) -> tuple[Verdict, str]:
        """Scan bytes with the *running* engine; the text is the name of what was found.

        Raises:
            UnprovenError: no connection, or no answer in time.

        """
        ...
