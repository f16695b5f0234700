"""What every engine promises, whatever it is; each kind runs this with a scanner of its own."""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import pytest

from keys import files
from keys.errors import EngineError, UnprovenError
from keys.model.release import File
from updater.engines.base import MARKER_PREFIX, Engine, Loaded, Marker, Verdict
from updater.prove import CLEAN_SAMPLE, Patience, Prover, Samples
from updater.state import MarkerRecord, Proved

PATIENCE = Patience(scan_seconds=5, reload_seconds=20)


class Scanner(ABC):
    """An engine, its folder, and the scanner that runs."""

    engine: Engine
    good: str  # a definition it loads
    broken: str  # one it refuses
    extension: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "generations").mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def start(self) -> None:
        """Start the scanner; it reads ``current``."""

    @abstractmethod
    def stop(self) -> None:
        """Stop it, if it runs."""

    def stage(self, number: int, texts: Mapping[str, str]) -> tuple[Path, Marker]:
        """Lay out a generation with a marker."""
        folder = self.folder / "generations" / f"{number}-{number:08x}"
        shutil.rmtree(folder, ignore_errors=True)
        marker = self.engine.marker(number)
        listed = {file(name): text for name, text in texts.items()}
        layout = self.engine.layout("a", tuple(listed))
        for name, chosen in layout.items():
            place(folder / name, listed[chosen].encode())
        place(folder / marker.file_name, marker.definition)
        return folder, marker

    def test(self, number: int, texts: Mapping[str, str]) -> Loaded:
        return self.engine.test(*self.stage(number, texts))

    def put_in_force(self, number: int) -> MarkerRecord:
        folder, marker = self.stage(number, {f"rules{self.extension}": self.good})
        self.engine.test(folder, marker)
        files.point(self.folder / "current", f"generations/{folder.name}")
        return MarkerRecord(marker.name, marker.sample, marker.file_name)

    @property
    def prover(self) -> Prover:
        return Prover(self.engine, Samples(), PATIENCE)


def file(path: str) -> File:
    return File(path, "0" * 64, 1)


def place(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o444)


class EngineContract:
    """Every engine passes this; a subclass makes the fixture ``scanner``."""

    def test_no_marker_is_ever_made_twice(self, scanner: Scanner) -> None:
        markers = [scanner.engine.marker(1) for _ in range(20)]
        for part in ("name", "sample", "file_name", "definition"):
            assert len({getattr(marker, part) for marker in markers}) == 20
        assert all(marker.file_name.startswith(MARKER_PREFIX) for marker in markers)

    def test_a_release_cannot_bring_a_marker(self, scanner: Scanner) -> None:
        forged = file(f"{MARKER_PREFIX}1{scanner.extension}")
        with pytest.raises(EngineError, match="marker"):
            scanner.engine.layout("a", (forged,))

    def test_two_channels_never_share_a_name(self, scanner: Scanner) -> None:
        listed = (file(f"rules{scanner.extension}"),)
        layouts = [scanner.engine.layout(channel, listed).keys() for channel in ("a", "b")]
        assert len(layouts[0] | layouts[1]) == 2

    def test_a_good_generation_passes_and_is_not_changed(self, scanner: Scanner) -> None:
        folder, marker = scanner.stage(1, {f"rules{scanner.extension}": scanner.good})
        before = _contents(folder)
        scanner.engine.test(folder, marker)
        assert _contents(folder) == before

    def test_one_broken_file_among_good_ones_is_refused_by_name(self, scanner: Scanner) -> None:
        texts = {f"good{n}{scanner.extension}": scanner.good for n in range(3)}
        for _ in range(2):
            with pytest.raises(EngineError, match="broken3"):
                scanner.test(1, {**texts, f"broken3{scanner.extension}": scanner.broken})

    def test_each_generation_is_proven_by_its_own_marker(self, scanner: Scanner) -> None:
        first = scanner.put_in_force(1)
        scanner.start()
        assert scanner.prover.reload_and_wait(first, None).result is Proved.proven
        second = scanner.put_in_force(2)
        assert scanner.prover.reload_and_wait(second, first).result is Proved.proven
        for data, expected in (
            (second.sample, Verdict.found),
            (first.sample, Verdict.clean),
            (CLEAN_SAMPLE, Verdict.clean),
        ):
            assert scanner.engine.scan(data, timeout_seconds=5)[0] is expected

    def test_an_engine_that_is_down_proves_nothing(self, scanner: Scanner) -> None:
        marker = scanner.put_in_force(1)
        scanner.stop()
        for ask in (scanner.engine.probe, scanner.engine.reload):
            with pytest.raises(UnprovenError):
                ask()
        assert scanner.prover.look(marker, None).result is Proved.unproven


def _contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Read what is not hidden."""
    found = (path for path in folder.rglob("[!.]*") if path.is_file())
    return {str(path): (path.read_bytes(), path.stat().st_mode) for path in found}
