"""An archive from outside into a folder of plain files, without being fooled.

Members are read one after the other and only those that are wanted are written. Folders, hidden
names and what the patterns leave out are passed over; a wanted member that is no plain file is
refused by name.
"""

import contextlib
import hashlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, Self

from keys.errors import FetchError, FormatError, NameRefusedError, StateError
from keys.model.names import check_path, check_unique
from keys.model.release import File
from mirror.feeds import UpstreamSettings
from mirror.upstream import tarball, zipped
from mirror.upstream.base import ignore_bytes
from mirror.upstream.members import Limits, Member

Kind = Literal["tar.gz", "zip"]

_READERS = {"tar.gz": tarball.members, "zip": zipped.members}
_CLASHES = (FileExistsError, NotADirectoryError, IsADirectoryError)


@dataclass(frozen=True, slots=True)
class ArchiveRules:
    """Which members to take, and how much an archive may hold.

    ``strip`` leading folders are left out first. A pattern without a slash is held against the
    name, one with a slash against the whole path; ``*`` also stands for slashes.
    """

    include: tuple[str, ...] = ()  # empty: all
    exclude: tuple[str, ...] = ()
    strip: int = 0
    max_files: int = 100_000  # members, folders and those passed over included
    max_bytes: int = 4 << 30  # of all members
    max_ratio: int = 200  # unpacked to packed bytes

    @classmethod
    def of(cls, settings: UpstreamSettings) -> Self:
        """Return the rules of an upstream."""
        return cls(
            include=settings.include,
            exclude=settings.exclude,
            strip=settings.strip,
            max_files=settings.max_files,
            max_bytes=settings.max_release_bytes,
            max_ratio=settings.max_archive_ratio,
        )

    def path_of(self, member: Member) -> str:
        """Return the path a member is written to; empty when it is passed over.

        Raises:
            NameRefusedError: a path that leads out of the archive, whether wanted or not; or one
                that is wanted and no release may hold, or no plain file.

        """
        parts = member.name.removesuffix("/").split("/")
        parts = [part for part in parts if part != "."]
        if ".." in parts or member.name.startswith("/"):
            raise NameRefusedError(f"member {member.name!r}: leads out of the archive")
        path = "/".join(parts[self.strip :])
        if member.kind == "folder" or not self._wants(path):
            return ""
        if member.kind != "file":
            raise NameRefusedError(f"member {member.name!r}: is {member.kind}")
        return check_path(path)

    def _wants(self, path: str) -> bool:
        hidden = any(part.startswith(".") for part in path.split("/"))
        if not path or hidden or _matches(path, self.exclude):
            return False
        return not self.include or _matches(path, self.include)


def _matches(path: str, patterns: tuple[str, ...]) -> bool:
    name = path.rpartition("/")[2]
    return any(fnmatchcase(path if "/" in one else name, one) for one in patterns)


def unpack(
    source: Path, kind: Kind, folder: Path, rules: ArchiveRules, *,
    on_bytes: Callable[[int], None] = ignore_bytes,
) -> tuple[File, ...]:  # fmt: skip
    """Unpack an archive's wanted members into an empty folder; return them sorted by path.

    On an error the folder may hold some of them. ``on_bytes`` hears of the bytes written.

    Raises:
        FormatError: no archive of this kind, cut off, damaged, disguised, or with nothing wanted.
        NameRefusedError: a member by its name: links, devices, paths that lead out or clash.
        LimitError: a limit of the rules was reached.
        FetchError, StateError: the archive cannot be read, or the folder not be written.

    """
    try:
        packed = source.stat().st_size
    except OSError as exc:
        raise FetchError(f"{source}: {exc.strerror or exc}") from exc
    limits = Limits(source.name, packed, rules.max_files, rules.max_bytes, rules.max_ratio)
    try:
        files = _take(_READERS[kind](source, limits), folder, rules, on_bytes)
    except NameRefusedError as exc:
        raise NameRefusedError(f"{source.name}: {exc}") from exc
    if not files:
        raise FormatError(
            f"{source.name}: none of its {limits.members} members is wanted",
            hint="compare include, exclude and strip with what the archive holds",
        )
    return tuple(sorted(files, key=lambda file: file.path))


def _take(
    found: Generator[Member, None, None],
    folder: Path,
    rules: ArchiveRules,
    on_bytes: Callable[[int], None],
) -> list[File]:
    with contextlib.closing(found):
        files = [
            _write(member, path, folder, on_bytes)
            for member in found
            if (path := rules.path_of(member))
        ]
    check_unique(file.path for file in files)
    return files


def _write(member: Member, path: str, folder: Path, on_bytes: Callable[[int], None]) -> File:
    digest = hashlib.sha256()
    try:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as writer:
            for data in member.chunks:
                digest.update(data)
                writer.write(data)
                on_bytes(len(data))
    except _CLASHES as exc:
        reason = "clashes with another member"
        raise NameRefusedError(f"member {member.name!r}: {reason}") from exc
    except OSError as exc:
        raise StateError(f"{exc.filename or folder}: {exc.strerror or exc}") from exc
    return File(path, digest.hexdigest(), member.length)
