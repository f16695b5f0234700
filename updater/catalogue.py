"""What the repositories offer this host, and the bytes that go with it. Loads the TUF library."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Protocol

from keys.credentials import read_credential
from keys.errors import Error, LimitError, SettingsError, StateError, TrustError
from keys.model import release, rollout
from keys.model.ignore import IgnoreList
from keys.model.release import File, Manifest, Pin, Pointer
from keys.trust.channel import Channels
from keys.trust.repository import Repository
from keys.trust.source import MetadataSource
from updater.channels import SITE, ChannelName
from updater.library import Library
from updater.place import HostPlace
from updater.plan import Entitlement, Offer
from updater.settings import Settings
from updater.state import Release

MAX_LOOK_BACK = 500  # manifests read to find the newest one a licence covers
STAND_INS = 3


class Supply(Protocol):
    """The mirrors as one; ``updater.fetch.Fetcher`` is one."""

    def read(self, repository: str, target: str, pin: Pin, *, max_bytes: int) -> bytes:
        """Return a small target's bytes, checked against its pin.

        Raises:
            DigestError, LicenceEndedError, FetchError: as ``blob``.

        """
        ...

    def blob(self, repository: str, target: str, pin: Pin, folder: Path) -> Path:
        """Bring a file into a folder; it appears there only when it is what the pin says.

        Raises:
            LicenceEndedError: the licence does not cover it.
            DigestError: no mirror has these bytes.
            FetchError: no mirror delivered.

        """
        ...


class Catalogue:
    """What is offered in one run. ``refresh`` a repository before its channels are asked for."""

    def __init__(
        self,
        settings: Settings,
        host: HostPlace,
        supply: Supply,
        sources: Mapping[str, MetadataSource],
        *,
        now: datetime,
    ) -> None:
        self._settings = settings
        self._host = host
        self._supply = supply
        self._sources = sources
        self._now = now
        self._library = Library(host.blobs)
        file = settings.credential_file
        self.host_name = read_credential(Path(file)).username if file else ""
        self._repositories = {s.name: self._repository(s.name) for s in settings.repository}
        self._channels = {name: self._open(name) for name in self._repositories}
        self.errors: dict[str, Error] = {}

    def refresh(self, name: str) -> None:
        """Bring a repository up to date; an error is kept under its name.

        A repository nobody trusted yet starts from the settings' root file.
        """
        repository = self._repositories[name]
        try:
            self._bootstrap(name, repository)
            repository.refresh(self._sources[name], now=self._now)
        except Error as exc:
            self.errors[name] = exc

    def failed(self, name: str, error: Error) -> None:
        """Note that a repository is not to be asked in this run."""
        self.errors[name] = error

    def fragment(self) -> bytes | None:
        """Return the settings the site signs for its hosts; no other repository's count.

        Raises:
            TrustError: a role is refused.
            FetchError: no mirror delivered.

        """
        self._expect_fresh(SITE)
        return self._channels[SITE].fragment()

    def settle(self, name: str) -> None:
        """Note that everything a repository offers was acted upon."""
        self._repositories[name].settle()

    def ignores(self) -> IgnoreList | None:
        """Return what the site has its hosts ignore; None where that is not known now.

        No other repository is asked: what a vendor signs never switches a detection off.

        Raises:
            TrustError: a role or the list is refused.
            FetchError: no mirror delivered.

        """
        if SITE not in self._channels:
            return IgnoreList()
        if SITE in self.errors:
            return None
        return self._channels[SITE].ignore_list() or IgnoreList()

    def offer(self, channel: ChannelName, track: str) -> Offer | None:
        """Return what a track offers, or None where it offers nothing.

        Raises:
            SettingsError: the channel holds programs or documents: they are for people.
            TrustError: a role, the pointer or the manifest is refused.
            FetchError: no mirror delivered.

        """
        self._expect_fresh(channel.repository.name)
        pointer = self._pointer(channel, track)
        if pointer is None:
            return None
        manifest = self._channels[channel.repository.name].pointed(channel.name, pointer)
        _expect_definitions(channel, manifest)
        return Offer(
            channel.written,
            Release.of(manifest, pointer.manifest_sha256),
            withdrawn=rollout.withdrawn(pointer),
        )

    def entitled(self, channel: ChannelName, offer: Offer, entitlement: Entitlement) -> Offer:
        """Add the newest older releases that a licence covers to an offer.

        Raises:
            TrustError, FetchError: as ``offer``.

        """
        channels = self._channels[channel.repository.name]
        older = (
            Release.of(manifest, pin.sha256)
            for pin, manifest in islice(channels.manifests(channel.name), MAX_LOOK_BACK)
            if manifest.sequence < offer.pointed.sequence
            and manifest.sequence not in offer.withdrawn
        )
        covered = islice(filter(entitlement.covers, older), STAND_INS)
        return replace(offer, earlier=tuple(covered), entitlement=entitlement)

    def listed(self, channel: ChannelName, wanted: Release) -> tuple[Manifest, tuple[File, ...]]:
        """Return a release's manifest and files: from this host where they are remembered.

        Raises:
            TrustError, FetchError: as ``offer``.

        """
        try:
            return self._library.listed(wanted)
        except (StateError, TrustError):
            self._expect_fresh(channel.repository.name)
            channels = self._channels[channel.repository.name]
            pointer = Pointer(wanted.sequence, wanted.manifest_sha256)
            manifest = channels.pointed(channel.name, pointer)
            return manifest, channels.files(manifest)

    def fetch(self, channel: ChannelName, files: Iterable[File]) -> None:
        """Bring the files that are not there into the library.

        Raises:
            LimitError: together they are larger than ``max_release_bytes``.
            LicenceEndedError, DigestError, FetchError: as ``Supply.blob``.

        """
        wanted = {file.sha256: file for file in files}
        limit = self._settings.limits.max_release_bytes
        if sum(file.length for file in wanted.values()) > limit:
            raise LimitError(f"channel {channel.written}: more than max_release_bytes={limit}")
        for file in wanted.values():
            if not self._library.has(file.pin):
                target = release.file_target(channel.name, file.path)
                self._supply.blob(channel.repository.name, target, file.pin, self._library.folder)

    def _pointer(self, channel: ChannelName, track: str) -> Pointer | None:
        """Return what a track offers this host: where it is pinned, what that names."""
        chooser = channel.repository.policy
        if not chooser:
            found = self._channels[channel.repository.name].pointer(channel.name, track)
        else:
            self._expect_fresh(chooser)
            policy = self._channels[chooser].policy(channel.repository.name, channel.name)
            found = policy.tracks.get(track) if policy else None
        return rollout.pinned(found, self.host_name) if found else None

    def _expect_fresh(self, repository: str) -> None:
        if error := self.errors.get(repository):
            raise error

    def _repository(self, name: str) -> Repository:
        folder = self._host.trust(name)
        return Repository(name, folder / "metadata", folder / "clock.json")

    def _open(self, name: str) -> Channels:
        def read(target: str, pin: Pin, max_bytes: int) -> bytes:
            return self._library.get(
                pin, lambda: self._supply.read(name, target, pin, max_bytes=max_bytes), target
            )

        return Channels(self._repositories[name], self._sources[name], read)

    def _bootstrap(self, name: str, repository: Repository) -> None:
        if (self._host.trust(name) / "metadata" / "root.json").exists():
            return
        settings = next(s for s in self._settings.repository if s.name == name)
        try:
            root = Path(settings.root).read_bytes()
        except OSError as exc:
            raise SettingsError(
                f"repository {name}: root {settings.root}: {exc.strerror or exc}",
                hint="`sigupdate init` fetches and checks the first root",
            ) from exc
        repository.bootstrap(root)


def _expect_definitions(channel: ChannelName, manifest: Manifest) -> None:
    if manifest.content != "definitions":
        raise SettingsError(
            f"channel {channel.written}: release {manifest.sequence} holds {manifest.content}, "
            "which no engine installs",
            hint=f"take it out of the engine's channels; the mirror serves it to people below "
            f"/files/{channel.name}/",
        )
