"""What is known of a host before anything is decided."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from keys.errors import LimitError, StateError, UsageError
from updater.engines.databases import CONTAINERS, LOADED, extension
from updater.setup import dropins, layout
from updater.setup.host import Absent, AnyEntry, Folder, Host, Regular
from updater.setup.journal import Journal
from updater.setup.layout import Account, Layout

OFFICIAL = frozenset({"main", "daily", "bytecode", "safebrowsing"})


@dataclass(frozen=True, slots=True)
class Facts:
    """The entries that set-up may touch, and the accounts they will belong to."""

    entries: Mapping[str, AnyEntry]
    definitions: Mapping[str, AnyEntry]  # the admin's own, by their name in Debian's folder
    user: Account
    admin: tuple[int, int]  # uid and gid of whoever sets up: root's, but on a copy of a host
    journal: Journal

    def entry(self, path: str) -> AnyEntry:
        """Return what stands at a path."""
        return self.entries.get(path, Absent())

    def file(self, data: bytes) -> Regular:
        """Describe a file of the administrator's that everybody may read."""
        return Regular(data, 0o644, *self.admin)

    def folder(self) -> Folder:
        """Describe a folder of the administrator's that everybody may enter."""
        return Folder(0o755, *self.admin)


def gather(host: Host, place: Layout, journal: Journal) -> Facts:
    """Read everything that ``plan`` decides on.

    Raises:
        UsageError: the updater's user does not exist, or clamd is not installed.

    """
    user = layout.account(host, place.user)
    if user is None:
        raise UsageError(
            f"user {place.user!r} does not exist",
            hint=f"adduser --system --group --no-create-home --home {place.state} {place.user}",
        )
    if not isinstance(host.read(place.clamd_config), Regular):
        raise UsageError(
            f"{place.clamd_config}: no such file", hint="apt-get install clamav-daemon"
        )
    definitions = dict(_definitions(host))
    paths = {*_fixed_paths(place), *(f"{place.overlay}/{name}" for name in definitions)}
    entries = {path: host.read(path) for path in sorted(paths)}
    return Facts(entries, definitions, user, (os.geteuid(), os.getegid()), journal)


def _definitions(host: Host) -> Iterator[tuple[str, AnyEntry]]:
    for name in host.names(layout.DATABASES):
        if extension(name) in LOADED and not _is_official(name):
            try:
                yield name, host.read(f"{layout.DATABASES}/{name}")
            except (StateError, LimitError):
                yield name, Absent()


def _fixed_paths(place: Layout) -> Iterator[str]:
    wanted = (*dropins.paths(), *dropins.masks(), place.folder, place.state, place.overlay)
    yield from wanted
    yield from (str(parent) for path in wanted for parent in PurePosixPath(path).parents)
    yield from (place.clamd_config, layout.FRESHCLAM_CONFIG, layout.FRESHCLAM_CRON, place.current)


def _is_official(name: str) -> bool:
    return extension(name) in CONTAINERS and PurePosixPath(name).stem in OFFICIAL
