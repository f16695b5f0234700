"""A large file fetched to disk: hashed as it comes, resumed where it broke off.

The bytes grow in ``<sha256>.part`` beside the blob's place and become ``<sha256>`` only when
length and digest are the signed ones. ``<sha256>.etag`` holds the server's strong entity tag, so
that a resume (RFC 9110, 14.2 and 13.1.5) notices bytes that changed in between.
"""

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from keys import files
from keys.errors import DigestError, FetchError, StateError
from keys.model.release import Pin
from updater.fetch import answers
from updater.fetch.pace import READ_BYTES, TooLongError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

KEEP_FREE_BYTES = 1 << 20
_NOT_SATISFIABLE = 416

Progress = Callable[[str, int, int], None]
"""Told (what, bytes there are, bytes there will be) as a blob grows."""


def silent(what: str, done: int, total: int) -> None:
    """Report no progress."""
    del what, done, total


class Blob:
    """One blob on its way into ``folder``."""

    def __init__(self, folder: Path, pin: Pin, what: str, *, progress: Progress = silent) -> None:
        self.path = folder / pin.sha256
        self._part = folder / f"{pin.sha256}.part"
        self._etag = folder / f"{pin.sha256}.etag"
        self._pin = pin
        self._what = what
        self._progress = progress
        self._resumed = False
        self._hash = hashlib.sha256()
        self.done = 0

    def is_there(self) -> bool:
        """Tell whether the finished blob lies in its place, of the right length."""
        return self.path.is_file() and self.path.stat().st_size == self._pin.length

    def pick_up(self) -> None:
        """Take over what an earlier run left, and see that the rest finds room.

        Raises:
            StateError: the disk has too little room, or cannot be written.

        """
        with _disk(self._part):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._adopt()
            free = shutil.disk_usage(self.path.parent).free
        needed = self._pin.length - self.done
        if needed + KEEP_FREE_BYTES > free:
            raise StateError(
                f"{self.path.parent}: disk full: {self._what} needs {needed} bytes more, "
                f"{free} are free",
                hint="make room on this file system, then run again",
            )

    def _adopt(self) -> None:
        if not self._part.exists() or self._part.stat().st_size > self._pin.length:
            self._start_over()
            return
        with self._part.open("rb") as file:
            while piece := file.read(READ_BYTES):
                self._hash.update(piece)
                self.done += len(piece)
        self._resumed = self.done > 0

    def finish_early(self) -> bool:
        """Finish without a request when an earlier run left all the bytes."""
        if self.done < self._pin.length or not self._resumed:
            return False
        try:
            self.finish()
        except FetchError:
            return False
        return True

    def headers(self) -> Mapping[str, str]:
        """Ask for what is missing, unless the bytes changed since."""
        if not 0 < self.done < self._pin.length:
            return {}
        headers = {"Range": f"bytes={self.done}-"}
        if self._etag.exists():
            headers["If-Range"] = self._etag.read_text()
        return headers

    def wants(self, status: int) -> bool:
        """Understand that there is nothing at the place a resume asked for."""
        return status == _NOT_SATISFIABLE and self.done > 0

    def take(self, response: "BaseHTTPResponse", pieces: Callable[[int], Iterator[bytes]]) -> None:
        """Take an answer's bytes, and put the blob in its place when it is complete.

        Raises:
            FetchError: it broke off, or what a resume built on has changed.
            DigestError: from its first byte on it is not what was signed.
            StateError: the disk is full.

        """
        with _disk(self._part, on_full=self._start_over):
            self._place(response)
            try:
                self._append(pieces(self._pin.length - self.done))
            except TooLongError as exc:
                self._start_over()
                raise DigestError(
                    f"{self._what}: more than the {self._pin.length} bytes that were signed"
                ) from exc
        self.finish()

    def _place(self, response: "BaseHTTPResponse") -> None:
        """Decide by the answer where its first byte belongs."""
        if response.status == 206:
            if answers.range_start(response.headers) == (self.done, self._pin.length):
                self._resumed = True
                return
            self._start_over()
            raise FetchError(f"{self._what}: another range than the one asked for")
        self._start_over()
        if response.status == _NOT_SATISFIABLE:
            raise FetchError(f"{self._what}: shorter than what is here; starting from zero")
        if tag := answers.strong_etag(response.headers):
            self._etag.write_text(tag)

    def _append(self, pieces: Iterator[bytes]) -> None:
        with self._part.open("ab") as file:
            for piece in pieces:
                self._write(file, piece)

    def _write(self, file: BinaryIO, piece: bytes) -> None:
        file.write(piece)
        self._hash.update(piece)
        self.done += len(piece)
        self._progress(self._what, self.done, self._pin.length)

    def finish(self) -> None:
        """Put a complete blob in its place.

        Raises:
            FetchError, DigestError: as ``take``.

        """
        if self.done < self._pin.length:
            raise FetchError(f"{self._what}: broke off at {self.done} of {self._pin.length} bytes")
        if (self.done, self._hash.hexdigest()) != (self._pin.length, self._pin.sha256):
            self._refuse()
        with _disk(self._part):
            files.promote(self._part, self.path)
        self._etag.unlink(missing_ok=True)

    def _refuse(self) -> None:
        """Drop wrong bytes: try once more if they were put together from two answers."""
        resumed, length, digest = self._resumed, self.done, self._hash.hexdigest()
        self._start_over()
        if resumed:
            raise FetchError(f"{self._what}: changed while it was fetched; starting from zero")
        raise DigestError(
            f"{self._what}: {length} bytes, sha256 {digest}; "
            f"expected {self._pin.length} bytes, sha256 {self._pin.sha256}"
        )

    def _start_over(self) -> None:
        self._part.unlink(missing_ok=True)
        self._etag.unlink(missing_ok=True)
        self._hash = hashlib.sha256()
        self._resumed = False
        self.done = 0


@contextlib.contextmanager
def _disk(path: Path, *, on_full: Callable[[], None] | None = None) -> Iterator[None]:
    """Turn the disk's errors into ours; a full disk gets back what this blob took."""
    try:
        yield
    except OSError as exc:
        if exc.errno in {errno.ENOSPC, errno.EDQUOT} and on_full:
            on_full()
        raise StateError(
            f"{path}: {os.strerror(exc.errno or errno.EIO)}",
            hint="nothing was installed; see that this file system is writable and has room",
        ) from exc
