"""What lies in clamd's folder: each database, by whom it is signed, and samples made of it."""

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from keys.errors import Error, LimitError, StateError
from keys.trust.vendor.cld import verify_cld
from keys.trust.vendor.container import Container
from keys.trust.vendor.content import opened
from keys.trust.vendor.cvd import verify_cvd
from keys.trust.vendor.header import HEADER_BYTES
from updater.engines import databases
from updater.plain.samples import FORMS, MAX_SAMPLES, Sample, last_of, may_matter, of_rules

MAX_FILES = 1000
MAX_LINE_BYTES = 1 << 20
MAX_LOOSE_BYTES = 1 << 30  # of a loose file whose lines are read
PART_BYTES = 1 << 20
MAX_RULES_BYTES = 1 << 20
RULES = frozenset({".yar", ".yara"})
_VERIFY = {".cvd": verify_cvd, ".cld": verify_cld}
_SILENCING = frozenset({".ign", ".ign2"})


@dataclass(frozen=True, slots=True)
class Database:
    """One file clamd reads. ``signed_by`` is empty where no vendor's signature is in it.

    ``problem`` says why it cannot be read or is not what its vendor signed; ``refused`` which.
    """

    name: str
    length: int
    changed: datetime  # its content, name or rights: the time no program can set
    signed_by: str = ""
    version: int = 0
    built: datetime | None = None
    signatures: int | None = None
    samples: tuple[Sample, ...] = ()
    problem: str = ""
    refused: bool = False

    @property
    def form(self) -> str:
        """Its extension."""
        return databases.extension(self.name)


@dataclass(frozen=True, slots=True)
class Folder:
    """Everything clamd reads there; ``changed`` is when a file came or went last."""

    path: Path
    changed: datetime
    databases: tuple[Database, ...]


def read(path: Path) -> Folder:
    """Look at a folder; what cannot be read is told of the file it is.

    Raises:
        StateError: the folder cannot be read.
        LimitError: more than ``MAX_FILES``.

    """
    try:
        changed = _instant(path.stat().st_mtime)
        with os.scandir(path) as entries:
            names = sorted(e.name for e in entries if _is_read(e))
    except OSError as exc:
        raise StateError(f"{path}: {exc.strerror or exc}") from exc
    if len(names) > MAX_FILES:
        raise LimitError(f"{path}: more than {MAX_FILES=}")
    ignored = frozenset(name for one in names for name in _ignored(path / one))
    return Folder(path, changed, tuple(_database(path / name, ignored) for name in names))


def _is_read(entry: "os.DirEntry[str]") -> bool:
    return databases.extension(entry.name) in databases.LOADED and not entry.is_dir()


def _database(path: Path, ignored: frozenset[str]) -> Database:
    plain = Database(path.name, 0, _instant(0))
    try:
        links = [one.lstat().st_ctime for one in (path, path.parent) if one.is_symlink()]
        status = path.stat()
        plain = Database(path.name, status.st_size, _instant(max(status.st_ctime, *links, 0)))
        return _looked_into(path, plain, ignored)
    except (Error, tarfile.TarError) as exc:
        refused = not isinstance(exc, (StateError, LimitError))
        return Database(path.name, plain.length, plain.changed, problem=str(exc), refused=refused)
    except OSError as exc:
        reason = exc.strerror or str(exc)
        return Database(path.name, plain.length, plain.changed, problem=reason)


def _looked_into(path: Path, plain: Database, ignored: frozenset[str]) -> Database:
    verify = _VERIFY.get(plain.form)
    if verify is None:
        made = _loose(path, plain.form, ignored)
        return Database(path.name, plain.length, plain.changed, samples=tuple(made))
    found: Container = verify(path, path.name)
    made = _members(path, plain.form, ignored)
    return Database(
        path.name, plain.length, plain.changed, found.verdict.signer, found.version, found.built,
        found.signatures, tuple(made[:MAX_SAMPLES]),
    )  # fmt: skip


def _members(path: Path, form: str, ignored: frozenset[str]) -> list[Sample]:
    """Make samples of a database that was verified."""
    made: list[Sample] = []
    with opened(path) as file:
        file.seek(HEADER_BYTES)
        with tarfile.open(fileobj=file, mode="r|gz" if form == ".cvd" else "r|") as archive:
            for member in archive:
                kind = databases.extension(member.name)
                text = archive.extractfile(member) if kind in FORMS else None
                made += last_of(kind, _lines(text, kind), ignored) if text else []
    return made


def _loose(path: Path, form: str, ignored: frozenset[str]) -> list[Sample]:
    if path.stat().st_size > MAX_LOOSE_BYTES:
        return []
    with path.open("rb") as file:
        if form in RULES:
            return of_rules(file.read(MAX_RULES_BYTES))
        return last_of(form, _lines(file, form), ignored)


def _lines(file: IO[bytes], form: str) -> Iterator[bytes]:
    """Yield lines, but none of a part in which no line can matter: digests come by the million."""
    while part := file.read(PART_BYTES):
        part += file.readline(MAX_LINE_BYTES)
        if may_matter(form, part):
            yield from part.splitlines()


def _ignored(path: Path) -> list[str]:
    """List the names a file of ignored definitions holds, as far as it can be read."""
    if databases.extension(path.name) not in _SILENCING:
        return []
    try:
        text = path.read_bytes()[:MAX_LINE_BYTES].decode("ascii", "replace")
    except OSError:
        return []
    return [line.partition(":")[0].strip() for line in text.splitlines()]


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)
