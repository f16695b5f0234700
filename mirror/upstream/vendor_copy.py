"""Our own trusted copy of a vendor's repository, and the role files that pass through from it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from keys import files
from keys.errors import MissingError, SettingsError, StateError, TrustError
from keys.model.names import check_channel
from keys.model.release import LICENCE_STATUS_TARGET, Pin
from keys.trust import freshness, roles
from keys.trust.limits import MetadataLimits
from keys.trust.repository import Repository
from keys.trust.source import MetadataSource, Once
from keys.trust.tuf_api import Root, Snapshot, Timestamp

_LIMITS = MetadataLimits()
_FILES_SUFFIX = "-files"
_BELOW_ROOT = ("channels", "policy")


@dataclass(frozen=True, slots=True)
class Verified:
    """A vendor's repository, verified: role files by name, the timestamp last; targets by role."""

    timestamp_version: int
    metadata: Mapping[str, bytes]
    listed: Mapping[str, Mapping[str, Pin]]

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels it has."""
        return tuple(
            role
            for role in self.listed
            if role not in _BELOW_ROOT and not role.endswith(_FILES_SUFFIX)
        )

    def documents(self) -> dict[str, Pin]:
        """List every manifest, pointer and policy."""
        return {
            target: pin
            for role in (*self.channels, "policy")
            for target, pin in self.listed.get(role, {}).items()
        }


class VendorCopy:
    """The trusted copy of one upstream. One process at a time may use it."""

    def __init__(self, name: str, root_file: Path, folder: Path) -> None:
        self._name = name
        self._root_file = root_file
        self._folder = folder
        self._metadata = folder / "metadata"
        self._clock = folder / "clock.json"
        self.repository = Repository(name, self._metadata, self._clock)

    def unchanged(self, source: MetadataSource, *, now: datetime) -> bool:
        """Tell whether the last settled pull still holds; writes nothing."""
        return freshness.unchanged(self._metadata, self._clock, source, now=now)

    def refresh(self, source: MetadataSource, *, now: datetime) -> Verified:
        """Follow the vendor to his newest timestamp, every role of it.

        Raises:
            TrustError: refused; nothing of it passes through.
            FetchError, LimitError, SettingsError, StateError: as of the parts.

        """
        once = Once(source)
        self.repository.bootstrap(self._bootstrap_root())
        refreshed = self.repository.refresh(once, now=now)
        if not self.repository.consistent_snapshot:
            raise TrustError(f"upstream {self._name}: its repository has no consistent snapshots")
        snapshot = roles.parse(self._role("snapshot"), Snapshot, self._what("snapshot")).signed
        listed = dict(self._listed(snapshot, once))
        metadata = {
            **dict(self._roots(once)),
            **{f"{n}.{roles.file_name(role)}": data for role, n, data in self._targets(snapshot)},
            f"{snapshot.version}.snapshot.json": self._role("snapshot"),
            f"{refreshed.timestamp_version}.timestamp.json": self._role("timestamp"),
        }
        return Verified(refreshed.timestamp_version, metadata, listed)

    def settle(self) -> None:
        """Note that everything up to the present timestamp is published."""
        self.repository.settle()

    def timestamp_version(self, data: bytes) -> int:
        """Read the version of a timestamp nobody believes yet."""
        return roles.parse(data, Timestamp, self._what("timestamp")).signed.version

    def _bootstrap_root(self) -> bytes:
        try:
            with self._root_file.open("rb") as file:
                return file.read(_LIMITS.max_root_bytes)
        except OSError as exc:
            raise SettingsError(
                f"upstream {self._name}: root: {self._root_file}: {exc.strerror or exc}",
                hint="get the vendor's root.json by a way you trust, and name it here",
            ) from exc

    def _listed(
        self, snapshot: Snapshot, source: MetadataSource
    ) -> Iterator[tuple[str, Mapping[str, Pin]]]:
        """Load every role the snapshot lists; one no delegation leads to is nobody's."""
        for name in snapshot.meta:
            role = name.removesuffix(".json")
            if role == "targets":
                continue
            try:
                yield role, self.repository.targets_of(role, source, via=_path_of(role))
            except MissingError:
                continue

    def _targets(self, snapshot: Snapshot) -> Iterator[tuple[str, int, bytes]]:
        """Return the targets roles as served, those below first."""
        names = [name.removesuffix(".json") for name in snapshot.meta]
        above = ("channels", "targets")
        for role in (*(name for name in names if name not in above), *above):
            if role in names and (self._metadata / roles.file_name(role)).exists():
                yield role, snapshot.meta[f"{role}.json"].version, self._role(role)

    def _role(self, role: str) -> bytes:
        path = self._metadata / roles.file_name(role)
        try:
            return path.read_bytes()
        except OSError as exc:
            raise StateError(f"{path}: {exc.strerror or exc}") from exc

    def _roots(self, source: MetadataSource) -> Iterator[tuple[str, bytes]]:
        """Return every root from 1 on, so that no host is stranded with an old one."""
        newest = roles.parse(self._role("root"), Root, self._what("root")).signed.version
        history = self._metadata / "root_history"
        known = {
            name: path.read_bytes()
            for name in (f"{number}.root.json" for number in range(1, newest + 1))
            if (path := history / name).exists()
        }
        first = newest - len(known) + 1
        before = [f"{number}.root.json" for number in range(1, first)]
        ancestors = [(name, self._ancestor(name, source)) for name in before]
        for (_, older), (name, newer) in pairwise([*ancestors, *known.items()][:first]):
            parsed = roles.parse(older, Root, self._what("root"))
            roles.next_root(newer, parsed.signed, self._what(name))
        yield from ancestors
        yield from known.items()

    def _ancestor(self, name: str, source: MetadataSource) -> bytes:
        path = self._folder / "ancestors" / name
        if path.exists():
            return path.read_bytes()
        data = source.read(name, max_bytes=_LIMITS.max_root_bytes)
        files.make_folder(path.parent)
        files.write(path, data)
        return data

    def _what(self, name: str) -> str:
        return f"upstream {self._name}: {name}"


def _path_of(role: str) -> str:
    """Name a target that only this role, or one above it, may list."""
    if role in _BELOW_ROOT:
        return LICENCE_STATUS_TARGET
    if role.endswith(_FILES_SUFFIX):
        return f"{role.removesuffix(_FILES_SUFFIX)}/files/any"
    return f"{check_channel(role)}/releases/1.json"
