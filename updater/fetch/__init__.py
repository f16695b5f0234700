"""Fetching from mirrors: metadata and manifests into memory, blobs to disk."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from keys.credentials import read_credential
from keys.errors import LimitError
from keys.model.release import Pin, blob_name
from updater.fetch.blob import Blob, Progress, silent
from updater.fetch.connection import Way
from updater.fetch.mirrors import Mirrors
from updater.fetch.pace import Pace, Traffic
from updater.fetch.small import Small
from updater.settings import Settings

__all__ = ["Fetcher", "Progress", "Traffic", "Way"]


class Fetcher:
    """The mirrors of one run: ordered, limited, counted.

    ``traffic`` counts its requests and bytes. Not safe for several threads at once.
    """

    def __init__(
        self,
        mirrors: Sequence[str],
        way: Way = Way(),  # noqa: B008 - frozen
        *,
        progress: Progress = silent,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare; the first connection is made by the first request.

        Raises:
            SettingsError: a mirror's address, or a credential that would go out in clear.

        """
        self.traffic = Traffic()
        self._limits = way.limits
        self._progress = progress
        pace = Pace(way.limits, self.traffic, clock=clock, sleep=sleep)
        self._mirrors = Mirrors(mirrors, way, pace, self.traffic)

    @classmethod
    def of(cls, settings: Settings, *, progress: Progress = silent) -> Self:
        """Build from a host's settings.

        Raises:
            SettingsError: the credential file, or a mirror's address.

        """
        file = settings.credential_file
        way = Way(
            credential=read_credential(Path(file)) if file else None,
            ca_file=settings.ca_file,
            proxy=settings.proxy,
            limits=settings.limits,
        )
        return cls(settings.mirrors, way, progress=progress)

    def metadata(self, repository: str) -> "Metadata":
        """Return the metadata source of a repository of these mirrors."""
        return Metadata(self, f"r/{repository}/metadata/")

    def read(self, repository: str, target: str, pin: Pin, *, max_bytes: int) -> bytes:
        """Return a small target's bytes, checked against its pin.

        Raises:
            DigestError: no mirror has the signed bytes.
            LimitError: longer than ``max_bytes``.
            MissingError, FetchError: no mirror delivered.
            CredentialError, LicenceEndedError: a mirror refused.

        """
        if pin.length > max_bytes:
            raise LimitError(f"{target}: {pin.length} bytes, more than the limit of {max_bytes}")
        small = Small(target, max_bytes=max_bytes, pin=pin)
        self._mirrors.fetch(target_path(repository, target, pin), small)
        return small.data

    def blob(self, repository: str, target: str, pin: Pin, folder: Path) -> Path:
        """Return the file below ``folder`` that holds a target, fetched unless it is there.

        Raises:
            StateError: the disk is full or not writable.
            LimitError: longer than ``max_release_bytes``.
            Error: as ``read``.

        """
        return self.blob_at(target_path(repository, target, pin), target, pin, folder)

    def blob_at(self, path: str, what: str, pin: Pin, folder: Path) -> Path:
        """As ``blob``, for a path below the mirrors' addresses."""
        if pin.length > self._limits.max_release_bytes:
            raise LimitError(
                f"{what}: {pin.length} bytes, "
                f"more than max_release_bytes={self._limits.max_release_bytes}"
            )
        blob = Blob(folder, pin, what, progress=self._progress)
        if not blob.is_there():
            blob.pick_up()
            if not blob.finish_early():
                self._mirrors.fetch(path, blob)
        return blob.path

    def read_path(self, path: str, *, max_bytes: int) -> bytes:
        """Return a small file below the mirrors' addresses; its bytes are believed by nobody.

        A mirror that has no next root is believed at once: it is the usual answer, and the
        expiry of the present one bounds what a lie can do.

        Raises:
            MissingError, FetchError, LimitError: no mirror delivered.

        """
        limit = min(max_bytes, self._limits.max_metadata_bytes)
        small = Small(path, max_bytes=limit)
        self._mirrors.fetch(path, small, first_answer=path.endswith(".root.json"))
        return small.data

    def post(self, path: str, body: bytes) -> tuple[int, float, bytes]:
        """Send a body to a path below the mirrors' addresses; as ``Mirrors.post``."""
        return self._mirrors.post(path, body)

    def close(self) -> None:
        """Close every connection."""
        self._mirrors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Metadata:
    """The metadata files below one folder of the mirrors: a ``MetadataSource``."""

    def __init__(self, fetcher: Fetcher, folder: str) -> None:
        self._fetcher = fetcher
        self._folder = folder

    def read(self, name: str, *, max_bytes: int) -> bytes:
        """Return a metadata file; as promised by ``MetadataSource``."""
        return self._fetcher.read_path(self._folder + name, max_bytes=max_bytes)


def target_path(repository: str, target: str, pin: Pin) -> str:
    """Tell where a target lies below a mirror's address."""
    return f"r/{repository}/targets/{quote_target(blob_name(target, pin.sha256))}"


def quote_target(name: str) -> str:
    """Write a target's name as part of a URL."""
    return quote(name, safe="/@")
