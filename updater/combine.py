"""What goes into one generation: the channels' files, the host's own definitions. Names decided.

Everything here is refused by name before a byte is fetched or a folder made.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import msgspec

from keys.errors import EngineError, LimitError, SettingsError, TrustError, UsageError
from keys.model.names import check_path
from keys.model.release import Assurance, File
from updater.engines.base import IGNORED_STEM, MARKER_PREFIX, Engine

MAX_OVERLAY_FILES = 1000
MAX_OVERLAY_BYTES = 16 << 20
CONTAINERS = frozenset({".cvd", ".cld", ".cud"})  # forms of one and the same database
OVERLAY = "the overlay"


class Part(msgspec.Struct, frozen=True):
    """One channel's share of a generation: name in the folder to file."""

    channel: str
    layout: Mapping[str, File]


class Overlay(msgspec.Struct, frozen=True):
    """The host's own definitions, read once; ``fingerprint`` tells two overlays apart."""

    files: Mapping[str, bytes]
    fingerprint: str


NO_OVERLAY = Overlay({}, "")


def part(
    engine: Engine,
    channel: str,
    files: tuple[File, ...],
    *,
    assurance: Assurance,
    may_suppress: Sequence[str],
) -> Part:
    """Choose the files of a channel that an engine reads.

    Raises:
        EngineError: two of them would get one name.
        TrustError: one of them can switch detections off and the channel may not do that.

    """
    layout = engine.layout(channel, files)
    if not _trusted_to_suppress(channel, assurance, may_suppress):
        for file in layout.values():
            if engine.suppresses(file):
                raise TrustError(
                    f"channel {channel}: file {file.path!r} can switch detections off",
                    hint=f"where you trust it to, add {channel!r} to the engine's may_suppress",
                )
    return Part(channel, layout)


def _trusted_to_suppress(channel: str, assurance: Assurance, may_suppress: Sequence[str]) -> bool:
    official = channel.rpartition("/")[2] == "clamav" and assurance is Assurance.signed
    return official or channel in may_suppress


def combine(parts: Sequence[Part], overlay: Overlay) -> Mapping[str, File]:
    """Join the channels' files under one roof.

    Raises:
        EngineError: two channels bring one name, or one database in two forms.
        UsageError: the overlay does.

    """
    files: dict[str, File] = {}
    owners: dict[str, tuple[str, str]] = {}
    for found in parts:
        for name, file in found.layout.items():
            if clash := owners.get(_key(name)):
                raise EngineError(
                    f"channel {found.channel}: {name!r} clashes with {clash[1]!r} "
                    f"of channel {clash[0]}"
                )
            owners[_key(name)] = (found.channel, name)
            files[name] = file
    for name in overlay.files:
        if clash := owners.get(_key(name)):
            raise UsageError(
                f"the overlay's {name!r} clashes with {clash[1]!r} of channel {clash[0]}",
                hint="rename the file in the overlay folder",
            )
        owners[_key(name)] = (OVERLAY, name)
    return files


def _key(name: str) -> str:
    """Reduce a name to what may exist once: daily.cvd and daily.cld are one database."""
    path = PurePosixPath(name.casefold())
    return str(path.with_suffix("")) + ".c?d" if path.suffix in CONTAINERS else str(path)


def read_overlay(folder: str) -> Overlay:
    """Read the host's own definitions; hidden files are left out.

    Raises:
        SettingsError: the folder cannot be read, or a name in it is refused.
        LimitError: more than ``MAX_OVERLAY_FILES`` or ``MAX_OVERLAY_BYTES``.

    """
    if not folder:
        return NO_OVERLAY
    files: dict[str, bytes] = {}
    total = 0
    for name, path in _walk(Path(folder)):
        files[name] = _read(path, MAX_OVERLAY_BYTES - total)
        total += len(files[name])
        if len(files) > MAX_OVERLAY_FILES:
            raise LimitError(f"overlay {folder}: more than {MAX_OVERLAY_FILES=} files")
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    return Overlay(files, fingerprint(digests))


def _walk(root: Path) -> Iterator[tuple[str, Path]]:
    try:
        if not root.is_dir():
            raise SettingsError(f"overlay {root}: not a folder")
        paths = sorted(path for path in root.rglob("*") if path.is_file())
    except OSError as exc:
        raise SettingsError(f"overlay {root}: {exc.strerror or exc}") from exc
    for path in paths:
        name = path.relative_to(root).as_posix()
        if any(part.startswith(".") for part in name.split("/")):
            continue
        if path.name.startswith((MARKER_PREFIX, IGNORED_STEM)):
            raise SettingsError(
                f"overlay {root}: {name!r}: this name is kept for markers and the like"
            )
        yield check_path(name), path


def _read(path: Path, left: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(left + 1)
    except OSError as exc:
        raise SettingsError(f"overlay {path}: {exc.strerror or exc}") from exc
    if len(data) > left:
        raise LimitError(f"overlay {path}: more than {MAX_OVERLAY_BYTES=} in all")
    return data


def fingerprint(digests: Mapping[str, str]) -> str:
    """Reduce the host's own definitions (name to sha256) to one value; "" for none."""
    listed = "".join(f"{name}\0{digests[name]}\n" for name in sorted(digests))
    return hashlib.sha256(listed.encode()).hexdigest() if listed else ""
