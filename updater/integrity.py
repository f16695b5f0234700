"""Is a generation on disk what was installed? Files hashed again, modes and owners looked at."""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from keys.errors import Error, StateError, TrustError
from keys.model.release import File, Pin
from updater import combine
from updater.engines.base import Engine, Marker
from updater.install import FILE_MODE, FOLDER_MODE, on_disk
from updater.library import Library, digest
from updater.place import Place
from updater.state import Generation


class Finding(msgspec.Struct, frozen=True):
    """One thing that is not as it was installed."""

    engine: str
    what: str
    exit_code: int = 1


class Integrity:
    """Compares generations of one engine with the manifests they were made from."""

    def __init__(self, place: Place, engine: Engine) -> None:
        self._place = place
        self._engine = engine
        self._library = Library(place.host.blobs)

    def require(self, generation: Generation, *, hint: str) -> None:
        """Let a kept generation be used again only as it was installed.

        Raises:
            TrustError: bytes of it were changed.
            StateError: something else of it was, or what it was made from is gone.

        """
        try:
            found = list(self.findings(generation))
        except Error as exc:
            found = [self.finding(str(exc), exc.exit_code)]
        if not found:
            return
        worst = max(found, key=lambda one: one.exit_code)
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        kind = TrustError if worst.exit_code == TrustError.exit_code else StateError
        raise kind(
            f"engine {self._place.name}: generation {generation.number} is not what was "
            f"installed, and is not used again: {worst.what}{more}",
            hint=hint,
        )

    def findings(self, generation: Generation) -> Iterator[Finding]:
        """Yield what is wrong with a generation; changed bytes as untrusted (exit code 3).

        Raises:
            Error: what it was made from cannot be read.

        """
        folder = self._place.generations.path(generation.name)
        yield from self._contents(folder, generation)
        yield from self._access(folder)

    def expected(self, generation: Generation) -> Mapping[str, File]:
        """List the files of its releases, by their names in the generation.

        Raises:
            StateError: a manifest or a file list is gone.
            DigestError, TrustError, LimitError: one was damaged.

        """
        files: dict[str, File] = {}
        for channel, release in generation.releases.items():
            _, listed = self._library.listed(release)
            files |= self._engine.layout(channel, listed)
        return files

    def finding(self, what: str, exit_code: int = 1) -> Finding:
        """Say something of this engine."""
        return Finding(self._place.name, what, exit_code)

    # -- steps --------------------------------------------------------------------------------

    def _contents(self, folder: Path, generation: Generation) -> Iterator[Finding]:
        expected = {name: file.sha256 for name, file in self.expected(generation).items()}
        pins = expected | self._own(generation)
        for name, sha256 in pins.items():
            if not (folder / name).is_file():
                yield self.finding(f"{folder / name}: is missing", TrustError.exit_code)
            elif sha256 and digest(folder / name).sha256 != sha256:
                yield self.finding(f"{folder / name}: was changed", TrustError.exit_code)
        overlay = [name for name in _names(folder) if name not in pins]
        if combine.fingerprint({n: digest(folder / n).sha256 for n in overlay}) != (
            generation.overlay
        ):
            named = ", ".join(overlay) or "no file"
            yield self.finding(f"{folder}: the host's own files were changed: {named}")

    def _own(self, generation: Generation) -> dict[str, str]:
        """Pin what was made for this generation: its marker, and the list of what is ignored."""
        record = generation.marker
        marker = Marker.of(record, b"") if record else None
        lists = self._engine.ignore_file(generation.ignored, marker)
        pins = {name: Pin.of(data).sha256 for name, data in lists.items()}
        return pins | ({record.file_name: record.sha256} if record else {})

    def _access(self, folder: Path) -> Iterator[Finding]:
        owner = folder.stat().st_uid
        for path in (folder, *(folder / name for name in _names(folder, folders=True))):
            found = path.lstat()
            mode = FOLDER_MODE if path.is_dir() else FILE_MODE
            if stat.S_ISLNK(found.st_mode):
                yield self.finding(f"{path}: is a symbolic link")
            elif stat.S_IMODE(found.st_mode) != mode:
                yield self.finding(
                    f"{path}: mode {stat.S_IMODE(found.st_mode):04o}, not {mode:04o}"
                )
            elif found.st_uid != owner:
                yield self.finding(f"{path}: belongs to user {found.st_uid}, not {owner}")


def _names(folder: Path, *, folders: bool = False) -> list[str]:
    """List what lies in a generation; hidden names are an engine's own caches."""
    found = []
    with on_disk(folder):
        for root, inner, names in os.walk(folder):
            inner[:] = [name for name in inner if not name.startswith(".")]
            found += [Path(root, name) for name in names if not name.startswith(".")]
            found += [Path(root, name) for name in inner if folders]
    return sorted(path.relative_to(folder).as_posix() for path in found)
