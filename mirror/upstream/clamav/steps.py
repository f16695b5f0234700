"""Cdiffs followed as freshclam follows them: each must lead to the vendor's next database."""

import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import BinaryIO

from keys.errors import DigestError, TrustError
from keys.trust.vendor import rsa
from keys.trust.vendor.cdiff import Cdiff
from keys.trust.vendor.container import Container
from keys.trust.vendor.cvd import expand_cvd
from keys.trust.vendor.header import HEADER_BYTES
from keys.trust.vendor.patch import apply_cdiff
from keys.trust.vendor.unpacked import verify_unpacked


class Steps:
    """The way from a database that was proven before to another one, in a folder of its own."""

    def __init__(self, folder: Path, goal: Container, *, keys: rsa.Keys) -> None:
        self._folder = folder
        self._goal = goal
        self._keys = keys
        self._at = 0  # nowhere

    def begin(self, before: Path) -> None:
        """Unpack the database the way begins at; one that does not verify begins none."""
        self._folder.mkdir()
        with tempfile.TemporaryFile(dir=self._folder.parent) as expanded:
            try:
                with before.open("rb") as file:
                    container = expand_cvd(file, expanded, before.name, keys=self._keys)
            except TrustError:
                return
            expanded.seek(HEADER_BYTES)
            _unpack(expanded, self._folder)
        self._at = container.version

    def follow(self, cdiff: Cdiff, name: str) -> None:
        """Go one step, if the way has come to where it begins.

        Raises:
            DigestError: it leads to something that the vendor did not sign as that version.

        """
        if cdiff.version != self._at + 1:
            return
        try:
            apply_cdiff(cdiff, self._folder, name)
            found = verify_unpacked(self._folder, name, keys=self._keys)
        except TrustError as exc:
            raise DigestError(f"{name}: does not lead on from version {self._at}: {exc}") from exc
        arrived = found.version == self._goal.version
        if found.version != cdiff.version or (arrived and not _are_same(found, self._goal)):
            raise DigestError(f"{name}: does not lead to the vendor's version {cdiff.version}")
        self._at = found.version

    def end(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _unpack(expanded: BinaryIO, folder: Path) -> None:
    """Write the members of a verified database; their names are plain."""
    with tarfile.open(fileobj=expanded, mode="r|") as tar:
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None, "a verified database holds files only"  # noqa: S101
            with (folder / member.name).open("wb") as target:
                shutil.copyfileobj(content, target)


def _are_same(one: Container, other: Container) -> bool:
    return set(one.members) == set(other.members)
