"""The licence files that were ever in force under one name, and what may join them.

A file that joined stays, so a renewal that came early is held beside the one it follows, and an
older file cannot come back. The credential that goes with a licence lies elsewhere and is never
touched. A vendor's own file is kept as opaque bytes.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from keys import files
from keys.errors import LicenceError, StateError
from keys.model.licence import Licence
from keys.trust.licence import Issuers, read_file, verify

MAX_HELD = 1000
_SUFFIX = ".lic"
_OPAQUE_SUFFIX = ".opaque"


@dataclass(frozen=True, slots=True)
class LicenceStore:
    """The files of one licence, in a folder of their own."""

    folder: Path

    def records(self, issuers: Issuers) -> tuple[Licence, ...]:
        """Return what is held, verified anew; nothing before the first file joined.

        Raises:
            LicenceError: a file is none of a pinned issuer.
            StateError: the folder is unusable.

        """
        paths = self._paths(_SUFFIX)
        return tuple(verify(read_file(path), issuers, str(path)) for path in paths)

    def with_file(self, data: bytes, issuers: Issuers, what: str) -> tuple[Licence, ...]:
        """Return what is held once this file joins; writes nothing.

        Raises:
            LicenceError: it is not signed by a pinned issuer, or may not join: see ``joined``.
            StateError: the folder is unusable.

        """
        return joined(self.records(issuers), verify(data, issuers, what), what)

    def admit(self, data: bytes, issuers: Issuers, what: str) -> tuple[Licence, ...]:
        """Let a file join; one that is held already changes nothing.

        Raises:
            LicenceError, StateError: as ``with_file``; nothing was changed.

        """
        records = self.with_file(data, issuers, what)
        self._keep(data.replace(b"\r\n", b"\n"), _SUFFIX, 0o644)
        return records

    def admit_opaque(self, data: bytes) -> str:
        """Keep a vendor's own file, unread; return its sha256.

        Raises:
            StateError: the folder is unusable.

        """
        self._keep(data, _OPAQUE_SUFFIX, 0o600)  # it may hold a password
        return hashlib.sha256(data).hexdigest()

    def _paths(self, suffix: str) -> list[Path]:
        try:
            paths = sorted(path for path in self.folder.iterdir() if path.suffix == suffix)
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise StateError(f"{self.folder}: {exc.strerror or exc}") from exc
        if len(paths) > MAX_HELD:
            raise StateError(f"{self.folder}: more than MAX_HELD={MAX_HELD} files")
        return paths

    def _keep(self, data: bytes, suffix: str, mode: int) -> None:
        path = self.folder / f"{hashlib.sha256(data).hexdigest()}{suffix}"
        try:
            if not path.exists():
                files.make_folder(self.folder)
                files.write(path, data, mode=mode)
        except OSError as exc:
            raise StateError(f"{path}: {exc.strerror or exc}") from exc


def joined(held: Sequence[Licence], licence: Licence, what: str) -> tuple[Licence, ...]:
    """Return the records held once this one joins; the newest of its serial may be it already.

    Raises:
        LicenceError: not newer than one of its serial, another organisation's, or a renewal
            issued when it could be renewed no longer.

    """
    same = [one for one in held if one.identity == licence.identity]
    if same and max(same, key=lambda one: one.sequence) == licence:
        return tuple(held)
    what = f"{what}: licence {licence.serial}"
    newest = max((one.sequence for one in same), default=0)
    if licence.sequence <= newest:
        raise LicenceError(
            f"{what}: sequence {licence.sequence} is not newer than {newest}, which is held",
            hint="an older file of a licence is never taken again",
        )
    if others := {one.organisation for one in held} - {licence.organisation}:
        raise LicenceError(f"{what}: is of {licence.organisation!r}, not {others.pop()!r}")
    last = max((one.renewable_until for one in same), default=None)
    if last is not None and licence.today(licence.issued_at) > last:
        raise LicenceError(
            f"{what}: issued after {last}, when it could be renewed no longer",
            hint="a new licence with a serial of its own must be bought",
        )
    return (*held, licence)
