"""The contract of an engine: load test, reload, and scan requests that prove what runs.

An engine reads one folder, ``current``. A definition made on the host, the marker, is unique to
one generation in file name and content: an engine that finds it runs that generation.
Engines are made from settings by ``updater.engines.kinds.make``.
"""

import hashlib
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Protocol

import msgspec

from keys.model.release import File
from updater.state import MarkerRecord

MARKER_PREFIX = "sigmirror-marker-"  # of a marker's file name; no channel may use it
IGNORED_STEM = "sigmirror-ignored"  # of the list's file name


class Verdict(Enum):
    """What a scan said."""

    found = "found"
    clean = "clean"


class Marker(msgspec.Struct, frozen=True):
    """A definition made on this host for one generation.

    ``sample`` are the bytes that hit it; ``name`` is what the engine then reports;
    ``file_name`` and ``definition`` are the file to put into the generation. Where signatures are
    ignored, the file defines a decoy, too, that is ignored with them: an engine that finds its
    sample does not follow the list.
    """

    name: str
    sample: bytes
    file_name: str
    definition: bytes
    decoy_name: str = ""
    decoy_sample: bytes = b""

    @classmethod
    def of(cls, record: MarkerRecord, definition: bytes) -> "Marker":
        """Make a marker again from what is remembered of it."""
        return cls(
            record.name, record.sample, record.file_name, definition, record.decoy_name,
            record.decoy_sample,
        )  # fmt: skip

    def record(self) -> MarkerRecord:
        """Return what is needed to look for it again."""
        return MarkerRecord(
            self.name, self.sample, self.file_name, self.decoy_name, self.decoy_sample,
            hashlib.sha256(self.definition).hexdigest(),
        )  # fmt: skip

    def with_decoy(self, decoy: "Marker") -> "Marker":
        """Add a second definition to the file, one that is to be ignored."""
        return msgspec.structs.replace(
            self,
            definition=self.definition + decoy.definition,
            decoy_name=decoy.name,
            decoy_sample=decoy.sample,
        )


class Loaded(msgspec.Struct, frozen=True):
    """What the loader said of a staged generation."""

    signatures: int
    detail: str = ""
    ignored: frozenset[str] | None = None  # names it has definitions of; None: it cannot tell


class Engine(Protocol):
    """One scanner on this host.

    No method changes a generation; a hidden file in it may be an engine's own cache.
    """

    kind: str
    proves: bool  # False: takes no host-made definition, so at most `probed`
    ignores: bool  # False: takes no list of signatures to ignore
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

    def ignore_file(
        self, ignored: Mapping[str, Sequence[str]], marker: Marker | None
    ) -> Mapping[str, bytes]:
        """Write the file of a generation that lets the engine ignore signatures, and the decoy.

        ``ignored`` holds names by channel. Nothing where the engine takes no such list.
        """
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
