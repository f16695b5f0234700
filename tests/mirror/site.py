"""A mirror with a founded site repository, and a client that believes only what it verifies."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from keys.errors import MissingError
from keys.model.release import Assurance, File, Manifest, Pin, Provenance, blob_name, file_target
from keys.signing.keyring import open_ring
from keys.signing.minisign import SidecarSigner, open_sidecar_signer
from keys.signing.publisher import Publisher
from keys.trust.channel import Channels
from keys.trust.repository import Repository
from mirror.edition import Editions, Order
from mirror.holds import Holds
from mirror.journal import Journal
from mirror.policy import Policies
from mirror.publish import Publishing
from mirror.repository import StoredRepository
from mirror.storage import FilesystemStore
from mirror.upstream.base import Candidate
from tests.keys import signing_site
from tests.keys.signing_site import PASSPHRASE

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BY = Order("tester")


def candidate(folder: Path, contents: Mapping[str, bytes], release: str = "r") -> Candidate:
    """Write files and describe them as a verified release."""
    for path, data in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    files = tuple(
        File(path, Pin.of(data).sha256, len(data)) for path, data in sorted(contents.items())
    )
    return Candidate(release, None, Assurance.none, Provenance("test"), folder, files)


@dataclass(frozen=True)
class Mirror:
    """The folder of a mirror, as any process would open it."""

    folder: Path

    @classmethod
    def found(cls, folder: Path, *, now: datetime = NOW) -> "Mirror":
        signing_site.Site.found(folder, now=now)
        return cls(folder)

    @property
    def store(self) -> FilesystemStore:
        return FilesystemStore(self.folder)

    @property
    def repository(self) -> StoredRepository:
        return StoredRepository(self.store, "site")

    @property
    def journal(self) -> Path:
        return self.folder / "state" / "publish.jsonl"

    def sign(self, metadata: Mapping[str, bytes], **expiry: timedelta) -> Publisher:
        return Publisher(metadata, open_ring(self.folder / "keys/online", PASSPHRASE), expiry)

    def sidecar_key(self) -> SidecarSigner | None:
        return open_sidecar_signer(self.folder / "keys/online", PASSPHRASE)

    @property
    def editions(self) -> Editions:
        return Editions(self.repository, self.sign, Journal(self.journal))

    @property
    def policies(self) -> Policies:
        return Policies(self.editions)

    @property
    def holds(self) -> Holds:
        return Holds(self.folder / "held", Journal(self.journal))

    def publishing(self, *, keep: int = 10) -> Publishing:
        return Publishing(self.editions, keep_releases=keep)

    def client(self, folder: Path, *, repository: str = "site") -> "Client":
        return Client(self.folder / "r" / repository, folder)


@dataclass(frozen=True)
class Client:
    """A host that reads a repository's files and verifies them with the production code."""

    served: Path
    folder: Path

    def read(self, name: str, *, max_bytes: int) -> bytes:
        """Serve as the metadata source."""
        try:
            data = (self.served / "metadata" / name).read_bytes()
        except FileNotFoundError:
            raise MissingError(name) from None
        assert len(data) <= max_bytes
        return data

    def blob(self, target: str, pin: Pin, max_bytes: int) -> bytes:
        data = (self.served / "targets" / blob_name(target, pin.sha256)).read_bytes()
        assert len(data) <= max_bytes
        return pin.check(data, target)

    def channels(self, *, now: datetime = NOW) -> Channels:
        """Refresh and return what is offered."""
        repository = Repository("site", self.folder / "metadata", self.folder / "clock.json")
        repository.bootstrap((self.served / "metadata/1.root.json").read_bytes())
        repository.refresh(self, now=now)
        return Channels(repository, self, self.blob)

    def offered(self, channel: str, track: str = "stable", *, now: datetime = NOW) -> Manifest:
        channels = self.channels(now=now)
        pointer = channels.pointer(channel, track)
        assert pointer is not None
        return channels.pointed(channel, pointer)

    def contents(
        self, channel: str, track: str = "stable", *, now: datetime = NOW
    ) -> dict[str, bytes]:
        """Return the offered release's files, every byte checked."""
        channels = self.channels(now=now)
        pointer = channels.pointer(channel, track)
        assert pointer is not None
        files = channels.files(channels.pointed(channel, pointer))
        return {
            file.path: self.blob(file_target(channel, file.path), file.pin, 1 << 30)
            for file in files
        }
