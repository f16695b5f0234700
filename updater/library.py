"""Blobs by sha256 on this host: manifests, file lists and files; what is kept and what goes.

Bytes come in only after their pin was checked. What a manifest on disk says is believed because
its sha256 was remembered when trusted metadata vouched for it.
"""

import contextlib
import hashlib
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from keys import files
from keys.errors import DigestError, StateError, TrustError
from keys.model import release
from keys.model.release import File, Manifest, Pin
from updater.install import FILE_MODE, on_disk
from updater.state import Release

UNFINISHED = frozenset({".part", ".etag"})
PART_MAX_AGE_SECONDS = 7 * 86400
SPARE_MAX_AGE_SECONDS = 86400  # of a blob that the next run may still want
_PIECE_BYTES = 1 << 20


class Library:
    """The folder of blobs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, pin: Pin) -> Path:
        """Tell where a blob lies."""
        return self.folder / pin.sha256

    def has(self, pin: Pin) -> bool:
        """Tell whether a blob is there; one whose bytes changed on this host is removed.

        Raises:
            StateError: it cannot be read, or not be removed.

        """
        path = self.path(pin)
        with on_disk(path):
            if not path.is_file():
                return False
            if digest(path) == pin:
                return True
            path.unlink()
        return False

    def get(self, pin: Pin, fetch: Callable[[], bytes], what: str) -> bytes:
        """Return a small blob, fetched and kept when it is not there or damaged.

        Raises:
            DigestError: what was fetched is not what the pin promises.

        """
        with contextlib.suppress(OSError, DigestError):
            return pin.check(self.path(pin).read_bytes(), what)
        data = pin.check(fetch(), what)
        with on_disk(self.folder):
            files.write(self.path(pin), data, mode=FILE_MODE)
        return data

    def manifest(self, known: Release) -> Manifest:
        """Return the manifest of a release this host remembers.

        Raises:
            StateError: it is not on disk any more.
            DigestError, TrustError: the file was damaged.

        """
        path = self.folder / known.manifest_sha256
        data = self._read(path)
        if hashlib.sha256(data).hexdigest() != known.manifest_sha256:
            raise DigestError(f"{path}: not the bytes its name promises")
        return release.decode(data, Manifest, str(path))

    def files(self, manifest: Manifest) -> tuple[File, ...]:
        """Return the file list of a manifest.

        Raises:
            StateError: it is not on disk any more.
            DigestError, TrustError, LimitError: the file was damaged.

        """
        path = self.path(manifest.file_list)
        data = manifest.file_list.check(self._read(path), str(path))
        return release.decode_file_list(data, str(path))

    def listed(self, known: Release) -> tuple[Manifest, tuple[File, ...]]:
        """Return a remembered release's manifest and files."""
        manifest = self.manifest(known)
        return manifest, self.files(manifest)

    def collect(
        self, releases: Iterable[Release], *, spare: bool = False, now: float | None = None
    ) -> int:
        """Remove the blobs no kept release names; return how many.

        With ``spare`` those fetched within ``SPARE_MAX_AGE_SECONDS`` stay: a run that did not
        come to its end left them for the next. Where the list of a kept release is gone, nothing
        is removed.
        """
        keep: set[str] = set()
        for known in releases:
            try:
                manifest, named = self.listed(known)
            except (StateError, TrustError):
                return 0
            keep |= {known.manifest_sha256, manifest.file_list.sha256}
            keep |= {file.sha256 for file in named}
        now = now or time.time()
        oldest_blob = now - SPARE_MAX_AGE_SECONDS if spare else math.inf
        return self._remove(keep, oldest_blob, oldest_part=now - PART_MAX_AGE_SECONDS)

    def _remove(self, keep: set[str], oldest_blob: float, *, oldest_part: float) -> int:
        removed = 0
        with on_disk(self.folder):
            for path in self.folder.iterdir():
                if path.name in keep or not path.is_file():
                    continue
                unfinished = path.suffix in UNFINISHED or path.name.startswith(".")
                if path.stat().st_mtime < (oldest_part if unfinished else oldest_blob):
                    path.unlink(missing_ok=True)
                    removed += 1
        return removed

    def _read(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as exc:
            raise StateError(f"{path}: {exc.strerror or exc}") from exc


def digest(path: Path) -> Pin:
    """Hash a file of any size."""
    hashed, length = hashlib.sha256(), 0
    with on_disk(path), path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            hashed.update(piece)
            length += len(piece)
    return Pin(hashed.hexdigest(), length)
