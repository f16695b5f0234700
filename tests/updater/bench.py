"""One engine on one host without a network: releases are laid straight into the blobs."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from keys.model import release
from keys.model.release import Assurance, File, Manifest, Pin, Provenance
from tests.updater.recording_engine import RecordingEngine
from updater.assemble import Assembled, Assembly, Wanted
from updater.combine import NO_OVERLAY, Overlay, part
from updater.place import HostPlace, Place
from updater.prove import Patience, Prover, Samples
from updater.settings import EngineSettings
from updater.state import EngineState, Generation, Release
from updater.switch import Change, Switch, Word

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    """Time that passes only while someone sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class Bench:
    def __init__(
        self, root: Path, *, channels: tuple[str, ...] = ("a",), keep: int = 3, **engine: bool
    ) -> None:
        self.settings = EngineSettings(
            name="scanner", kind="command", channels=channels, keep_generations=keep
        )
        self.place = Place.of(HostPlace(root), self.settings)
        self.place.host.prepare()
        self.place.folder.mkdir(parents=True, exist_ok=True)
        self.place.generations.prepare()
        self.engine = RecordingEngine(self.place.generations.folder, **engine)
        self.clock = Clock()
        self.samples = Samples()
        self.overlay: Overlay = NO_OVERLAY

    @property
    def prover(self) -> Prover:
        patience = Patience(scan_seconds=1, reload_seconds=60)
        return Prover(self.engine, self.samples, patience, clock=self.clock, sleep=self.clock.sleep)

    @property
    def switch(self) -> Switch:
        return Switch(self.place, self.engine, self.prover, now=NOW)

    @property
    def state(self) -> EngineState:
        return self.place.state.load()

    @property
    def in_force(self) -> Generation:
        found = self.place.in_force(self.state)
        assert found
        return found

    def blob(self, path: str, data: bytes) -> File:
        pin = Pin.of(data)
        blob = self.place.host.blobs / pin.sha256
        blob.unlink(missing_ok=True)  # installed ones are read-only
        blob.write_bytes(data)
        return File(path, pin.sha256, pin.length)

    def manifest(self, channel: str, sequence: int, files: tuple[File, ...]) -> File:
        listed = self.blob("@list", release.encode_file_list(files))
        manifest = Manifest(
            format=1,
            channel=channel,
            sequence=sequence,
            release=f"release {sequence}",
            published=NOW,
            vendor_time=None,
            assurance=Assurance.none,
            engine="",
            provenance=Provenance("test"),
            file_list=listed.pin,
        )
        return self.blob("@manifest", release.encode(manifest))

    def wanted(self, **channels: tuple[int, Mapping[str, str]]) -> Wanted:
        releases, parts = {}, {}
        for channel, (sequence, texts) in channels.items():
            files = tuple(self.blob(path, text.encode()) for path, text in texts.items())
            manifest = self.manifest(channel, sequence, files)
            releases[channel] = Release(sequence=sequence, manifest_sha256=manifest.sha256)
            parts[channel] = part(
                self.engine,
                channel,
                files,
                assurance=Assurance.none,
                may_suppress=self.settings.may_suppress,
            )
        return Wanted(releases, parts, self.overlay)

    def assemble(self, **channels: tuple[int, Mapping[str, str]]) -> Assembled:
        return Assembly(self.place, self.engine, self.wanted(**channels), now=NOW).best()

    def install(self, **channels: tuple[int, Mapping[str, str]]) -> Change:
        generation = self.assemble(**channels).generation
        assert generation
        return self.switch.to(generation, Word.installed)


def definitions(*names: str) -> dict[str, str]:
    """Make a release of one file that finds ``<name>!``."""
    return {"rules.db": "".join(f"{name}:{name}!\n" for name in names)}
