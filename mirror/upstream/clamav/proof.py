"""What a driver brought, copied and proven: a release, or an error that names the file.

Copies are proven, never the working folder: whatever a program does there meanwhile, what was
verified is what is published.
"""

import contextlib
import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from keys.errors import (
    FetchError,
    LimitError,
    RollbackError,
    SignatureError,
    StateError,
    TrustError,
)
from keys.model.release import File
from keys.trust.vendor import rsa
from keys.trust.vendor.cdiff import Cdiff, verify_cdiff
from keys.trust.vendor.container import Container
from keys.trust.vendor.cvd import expand_cvd
from keys.trust.vendor.verdict import Verdict
from mirror.upstream.clamav.layout import (
    CdiffName,
    cld_name,
    cvd_name,
    cvd_sign_name,
    sign_name,
)
from mirror.upstream.clamav.signs import Signs
from mirror.upstream.clamav.steps import Steps
from mirror.upstream.clamav.working import Working


@dataclass(frozen=True, slots=True)
class Proven:
    """One database that passed: what hosts get, and the vendor's own bytes."""

    container: Container
    expanded: File
    originals: tuple[File, ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """One pull's verification.

    ``proven`` is where the databases of the last one are; ``floor``, what none may fall below.
    """

    working: Working
    proven: Working
    quarantine: Path
    signs: Signs
    floor: Mapping[str, int]
    keep_cdiffs: int
    max_bytes: int
    keys: rsa.Keys = field(default=rsa.CLAMAV)

    def run(self) -> tuple[Proven, ...]:
        """Prove every database.

        Raises:
            TrustError: one file is not what the vendor signed; it was removed from the working
                folder.
            FetchError: a database is missing.
            StateError: the disk refuses.

        """
        try:
            return tuple(self._kept(self._database(name)) for name in self.working.names)
        except OSError as exc:
            raise StateError(f"{exc.filename or self.quarantine}: {exc.strerror or exc}") from exc

    def _kept(self, proven: Proven) -> Proven:
        """Keep a proven database: the next one's cdiffs begin there."""
        self.proven.keep(self.quarantine / cvd_name(proven.container.database))
        return proven

    def _database(self, name: str) -> Proven:
        whole = self._copied(cvd_name(name))
        if whole is None:
            raise FetchError(f"{cvd_name(name)}: the vendor delivered none")
        with self._blamed(whole):
            container = self._expanded(name, whole)
        if container.version < self.floor.get(name, 0):
            raise RollbackError(
                f"{whole.name}: version {container.version}, though version {self.floor[name]} "
                "was published before",
                hint="the last good release stays in force; ask who runs that mirror",
            )
        sign = cvd_sign_name(name, container.version)
        originals = (
            *self._with_sign(whole, container.verdict, sign),
            *self._cdiffs(name, container),
        )
        return Proven(container, _file(self.quarantine / cld_name(name)), originals)

    def _copied(self, file_name: str) -> Path | None:
        """Copy a file out of the working folder; None when it is not there.

        Raises:
            LimitError: it is larger than a whole release may be.

        """
        source, target = self.working.folder / file_name, self.quarantine / file_name
        try:
            if source.stat().st_size > self.max_bytes:
                self.working.drop(file_name)
                raise LimitError(f"{file_name}: more than max_release_bytes={self.max_bytes}")
            shutil.copyfile(source, target)
        except FileNotFoundError:
            return None
        return target

    def _expanded(self, name: str, whole: Path) -> Container:
        """Verify a database and write what hosts get, in one pass."""
        target = self.quarantine / cld_name(name)
        with whole.open("rb") as file, target.open("wb") as expanded:
            container = expand_cvd(file, expanded, whole.name, keys=self.keys)
        if container.database != name:
            raise SignatureError(f"{whole.name}: is signed as {container.database}, not as {name}")
        return container

    def _cdiffs(self, name: str, container: Container) -> Iterator[File]:
        """Verify the newest cdiffs up to this version, with their signatures, and where they lead.

        An empty one only says to take the whole database; one without a .sign, where that is
        demanded, cannot be proven. Neither is passed on.
        """
        found = (cdiff for cdiff in self.working.cdiffs(name) if cdiff.version <= container.version)
        with self._steps(name, container) as steps:
            for cdiff in list(found)[-self.keep_cdiffs :] if self.keep_cdiffs else ():
                copied = self._copied(str(cdiff))
                lacks = self.signs.demanded and not self.working.holds(sign_name(cdiff))
                if copied is None or lacks or not copied.stat().st_size:
                    continue
                with self._blamed(copied):
                    checked = self._checked(cdiff, copied)
                    steps.follow(checked, copied.name)
                yield from self._with_sign(copied, checked.verdict, sign_name(cdiff))

    @contextlib.contextmanager
    def _steps(self, name: str, container: Container) -> Iterator[Steps]:
        """Begin at the database that was proven before, if this one is newer."""
        steps = Steps(self.quarantine / f".steps-{name}", container, keys=self.keys)
        before = self.proven.header(name)
        try:
            if before and before.version < container.version:
                steps.begin(self.proven.folder / cvd_name(name))
            yield steps
        finally:
            steps.end()

    def _checked(self, cdiff: CdiffName, copied: Path) -> Cdiff:
        found = verify_cdiff(copied.read_bytes(), copied.name, keys=self.keys)
        if found.version != cdiff.version or found.database not in {"", cdiff.name}:
            raise SignatureError(
                f"{copied.name}: is signed as the step of {found.database or 'some database'} "
                f"to version {found.version}"
            )
        return found

    def _with_sign(self, content: Path, legacy: Verdict, sign_file: str) -> Iterator[File]:
        """Yield a file that passed the older scheme, and its detached signature if it has one."""
        sign = self._copied(sign_file)
        with self._blamed(self.quarantine / sign_file):
            signer = self.signs.check(content, legacy, sign)
        yield _file(content, legacy.signer)
        if sign is not None:
            yield _file(sign, signer)

    @contextlib.contextmanager
    def _blamed(self, copied: Path) -> Iterator[None]:
        """Remove a refused file from the working folder, so that it is asked for again."""
        try:
            yield
        except (TrustError, LimitError):
            self.working.drop(copied.name)
            raise


def _file(path: Path, provenance: str = "") -> File:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return File(path.name, sha256, path.stat().st_size, provenance)
