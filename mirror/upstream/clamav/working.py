"""The working folder: what a driver brought, in the vendor's own names; nothing of it is believed.

Nobody but the driver writes here and nobody serves from here. Headers are read to know what to
ask for next; belief begins with copies elsewhere.
"""

import contextlib
import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from keys import files
from keys.errors import StateError, TrustError
from keys.trust.vendor.cvd import read_header
from keys.trust.vendor.header import HEADER_BYTES, Header
from mirror.upstream.clamav.layout import CdiffName, cvd_name, cvd_sign_name, sign_name

_REFUSED = ".refused"  # of a cdiff: the sha256 of the bytes that were refused
_OURS = {".cvd", ".cld", ".cdiff", ".sign", _REFUSED}
_LEFT_BEHIND = ("tmp.*", f"{files.TEMPORARY_PREFIX}*")  # by freshclam, by us


class Working:
    """The folder of one upstream, with the databases it is for."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder = folder
        self.names = tuple(names)

    def make(self) -> None:
        """Make the folder.

        Raises:
            StateError: the disk refuses.

        """
        try:
            files.make_folder(self.folder)
        except OSError as exc:
            raise StateError(f"{self.folder}: {exc.strerror or exc}") from exc

    def header(self, name: str) -> Header | None:
        """Return what a database's header says; None when there is none that can be read."""
        try:
            with (self.folder / cvd_name(name)).open("rb") as file:
                return read_header(file.read(HEADER_BYTES), cvd_name(name))
        except (OSError, TrustError):
            return None

    def versions(self) -> dict[str, int]:
        """Tell which version of each database lies here, by its header."""
        headers = {name: self.header(name) for name in self.names}
        return {name: header.version for name, header in headers.items() if header}

    def cdiffs(self, name: str) -> list[CdiffName]:
        """List a database's cdiffs, oldest first."""
        found = (CdiffName.parse(path.name) for path in self.folder.glob(f"{name}-*.cdiff"))
        return sorted(cdiff for cdiff in found if cdiff and cdiff.name == name)

    def holds(self, file_name: str) -> bool:
        """Tell whether a file of this name lies here."""
        return (self.folder / file_name).is_file()

    def has_signs(self, name: str) -> bool:
        """Tell whether a database, or a cdiff of it, came with a detached signature."""
        return any(self.folder.glob(f"{name}-*.sign"))

    def awaits_sign(self) -> bool:
        """Tell whether a database lacks its signature though its vendor makes them."""
        return any(
            self.has_signs(name) and not self.holds(cvd_sign_name(name, version))
            for name, version in self.versions().items()
        )

    def prune(self, *, keep_cdiffs: int) -> None:
        """Remove what no database needs any more: old cdiffs, signatures of what is gone."""
        needed = set[str]().union(*(self._needed(name, keep_cdiffs) for name in self.names))
        for path in self.folder.iterdir():
            if path.suffix in _OURS and path.name not in needed:
                path.unlink(missing_ok=True)
        for pattern in _LEFT_BEHIND:
            for path in self.folder.glob(pattern):
                _remove(path)

    def _needed(self, name: str, keep_cdiffs: int) -> set[str]:
        """Name what belongs to a database as it lies here."""
        needed = {cvd_name(name)}
        if header := self.header(name):
            needed.add(cvd_sign_name(name, header.version))
        for cdiff in self.cdiffs(name)[-keep_cdiffs:] if keep_cdiffs else ():
            needed |= {str(cdiff), sign_name(cdiff)}
        return needed | {self._mark(cdiff).name for cdiff in self._refused(name)[-keep_cdiffs:]}

    def keep(self, path: Path) -> None:
        """Take a finished file in, in place of one of its name."""
        self.drop(path.name)
        files.link_or_copy(path, self.folder / path.name)

    def drop(self, file_name: str) -> None:
        """Remove a refused file, so that the next pull brings it anew, and remember its bytes."""
        path = self.folder / file_name
        if cdiff := CdiffName.parse(file_name):
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                files.write(self._mark(cdiff), digest.encode())
        path.unlink(missing_ok=True)

    def was_refused(self, cdiff: CdiffName, data: bytes) -> bool:
        """Tell whether exactly these bytes of a cdiff were refused before."""
        try:
            return self._mark(cdiff).read_text() == hashlib.sha256(data).hexdigest()
        except (OSError, UnicodeDecodeError):
            return False

    def holes(self, name: str) -> list[CdiffName]:
        """List a database's cdiffs that were refused and are not here, oldest first."""
        return [cdiff for cdiff in self._refused(name) if not self.holds(str(cdiff))]

    def _refused(self, name: str) -> list[CdiffName]:
        names = (path.name.removesuffix(_REFUSED) for path in self.folder.glob(f"*{_REFUSED}"))
        return sorted(one for one in map(CdiffName.parse, names) if one and one.name == name)

    def _mark(self, cdiff: CdiffName) -> Path:
        return self.folder / f"{cdiff}{_REFUSED}"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
