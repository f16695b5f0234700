"""Is what lies on disk what was installed? Every file hashed again, modes and owners looked at."""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from keys.errors import Error, TrustError
from keys.model.release import File, Pin
from updater import combine
from updater.engines.base import Engine, Marker
from updater.install import FILE_MODE, FOLDER_MODE, on_disk
from updater.library import Library, digest
from updater.place import HostPlace, Place
from updater.settings import Settings
from updater.state import Generation


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it was installed."""

    engine: str
    what: str
    exit_code: int = 1


class Verifier:
    """Compares one engine's generation in force with the manifests it was made from."""

    def __init__(self, place: Place, engine: Engine) -> None:
        self._place = place
        self._engine = engine
        self._library = Library(place.host.blobs)

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong, the worst included as untrusted (exit code 3)."""
        try:
            self._place.history.check()
            generation = self._place.in_force(self._place.state.load())
            if generation is None:
                yield self._finding("nothing is installed")
                return
            folder = self._place.generations.path(generation.name)
            expected = self._expected(generation)
            yield from self._contents(folder, generation, expected)
            yield from self._access(folder)
            yield from self._blobs(expected)
        except Error as exc:
            yield self._finding(str(exc), exc.exit_code)

    def _expected(self, generation: Generation) -> Mapping[str, File]:
        files: dict[str, File] = {}
        for channel, release in generation.releases.items():
            _, listed = self._library.listed(release)
            files |= self._engine.layout(channel, listed)
        return files

    def _contents(
        self, folder: Path, generation: Generation, expected: Mapping[str, File]
    ) -> Iterator[Finding]:
        pins = {name: file.pin for name, file in expected.items()} | self._ignoring(generation)
        for name, pin in pins.items():
            if not (folder / name).is_file():
                yield self._finding(f"{folder / name}: is missing", TrustError.exit_code)
            elif digest(folder / name) != pin:
                yield self._finding(f"{folder / name}: was changed", TrustError.exit_code)
        marker = generation.marker.file_name if generation.marker else ""
        if marker and not (folder / marker).is_file():
            yield self._finding(f"{folder / marker}: the marker is missing")
        own = [name for name in _names(folder) if name not in pins and name != marker]
        if combine.fingerprint({n: digest(folder / n).sha256 for n in own}) != generation.overlay:
            named = ", ".join(own) or "no file"
            yield self._finding(f"{folder}: the host's own files were changed: {named}")

    def _ignoring(self, generation: Generation) -> dict[str, Pin]:
        """Write the list of what is ignored once more."""
        record = generation.marker
        marker = Marker.of(record, b"") if record else None
        files = self._engine.ignore_file(generation.ignored, marker)
        return {name: Pin.of(data) for name, data in files.items()}

    def _access(self, folder: Path) -> Iterator[Finding]:
        owner = folder.stat().st_uid
        for path in (folder, *(folder / name for name in _names(folder, folders=True))):
            found = path.lstat()
            mode = FOLDER_MODE if path.is_dir() else FILE_MODE
            if stat.S_ISLNK(found.st_mode):
                yield self._finding(f"{path}: is a symbolic link")
            elif stat.S_IMODE(found.st_mode) != mode:
                yield self._finding(
                    f"{path}: mode {stat.S_IMODE(found.st_mode):04o}, not {mode:04o}"
                )
            elif found.st_uid != owner:
                yield self._finding(f"{path}: belongs to user {found.st_uid}, not {owner}")

    def _blobs(self, expected: Mapping[str, File]) -> Iterator[Finding]:
        for file in {file.sha256: file for file in expected.values()}.values():
            path = self._library.path(file.pin)
            if not path.is_file():
                yield self._finding(f"{path}: is missing")
            elif digest(path) != file.pin:
                yield self._finding(f"{path}: was changed", TrustError.exit_code)

    def _finding(self, what: str, exit_code: int = 1) -> Finding:
        return Finding(self._place.name, what, exit_code)


def metadata_findings(settings: Settings, host: HostPlace, *, now: datetime) -> Iterator[Finding]:
    """Verify the trusted metadata of every repository again, from disk alone."""
    from keys.trust.repository import Repository  # noqa: PLC0415 - loads the TUF library

    for one in settings.repository:
        folder = host.trust(one.name)
        repository = Repository(one.name, folder / "metadata", folder / "clock.json")
        what = f"repository {one.name}"
        try:
            for reason in repository.load(now=now).reasons:
                yield Finding(what, reason)
        except Error as exc:
            yield Finding(what, str(exc), exc.exit_code)


def _names(folder: Path, *, folders: bool = False) -> list[str]:
    """List what lies in a generation; hidden names are an engine's own caches."""
    found = []
    with on_disk(folder):
        for root, inner, names in os.walk(folder):
            inner[:] = [name for name in inner if not name.startswith(".")]
            found += [Path(root, name) for name in names if not name.startswith(".")]
            found += [Path(root, name) for name in inner if folders]
    return sorted(path.relative_to(folder).as_posix() for path in found)
