"""What of a fetched release is published: its files, and the vendor's own bytes beside them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from keys.errors import FormatError
from keys.model.names import check_unique
from keys.model.release import File, Pin
from mirror.upstream.archives import ArchiveRules, Kind, unpack
from mirror.upstream.http.fetching import Fetched, Fetching


@dataclass(frozen=True, slots=True)
class Contents:
    """Files to install, and what the vendor himself wrote where that is something else."""

    files: tuple[File, ...]
    originals: tuple[File, ...]


def contents(fetched: tuple[Fetched, ...], fetching: Fetching) -> Contents:
    """Unpack archives, keep sidecars; no path is in both halves.

    Raises:
        FormatError, NameRefusedError, LimitError: an archive is none, or breaks a limit.

    """
    kept = tuple(file for one in fetched for file in _sidecars(one, fetching.folder))
    plain = tuple(one.file for one in fetched)
    if fetching.settings.archive == "none":
        return _apart(plain, kept)
    files = tuple(_unpacked(fetched, fetching.settings.archive, fetching))
    return _apart(files, (*plain, *kept))


def _sidecars(one: Fetched, folder: Path) -> Iterator[File]:
    for path, data in one.verified.sidecars.items():
        (folder / path).write_bytes(data)
        pin = Pin.of(data)
        yield File(path, pin.sha256, pin.length)


def _unpacked(fetched: tuple[Fetched, ...], kind: Kind, fetching: Fetching) -> Iterator[File]:
    """Unpack each archive beside the others; the limits count for all of them together."""
    rules, pull = ArchiveRules.of(fetching.settings), fetching.pull
    for one in fetched:
        source = fetching.folder / one.file.path
        found = unpack(source, kind, fetching.folder, rules, on_bytes=pull.on_bytes)
        length = sum(file.length for file in found)
        rules = replace(
            rules,
            max_files=max(rules.max_files - len(found), 0),
            max_bytes=max(rules.max_bytes - length, 0),
        )
        for file in found:
            yield msgspec.structs.replace(file, provenance=one.verified.told)


def _apart(files: tuple[File, ...], originals: tuple[File, ...]) -> Contents:
    check_unique(file.path for file in files)
    taken = {file.path for file in files}
    for original in originals:
        if original.path in taken:
            raise FormatError(f"{original.path}: holds a member of its own name")
    return Contents(files, originals)
