"""A host that believes in one repository, for tests of the trust client."""

from datetime import datetime
from pathlib import Path

from keys.model.release import Pin
from keys.trust.limits import MetadataLimits
from keys.trust.repository import Repository
from keys.trust.source import MetadataSource
from keys.trust.view import Freshness, Refresh
from tests.tuf_repository import SignedRepository, now


class Host:
    """A trusted copy in a folder; each call is a new process as far as it can tell."""

    def __init__(self, folder: Path, limits: MetadataLimits | None = None) -> None:
        self.metadata = folder / "metadata"
        self.clock = folder / "clock.json"
        self.limits = limits or MetadataLimits()

    @classmethod
    def trusting(cls, folder: Path, server: SignedRepository) -> "Host":
        host = cls(folder)
        host.repository().bootstrap(server.first_root)
        return host

    def repository(self) -> Repository:
        return Repository("site", self.metadata, self.clock, limits=self.limits)

    def refresh(self, source: MetadataSource, *, at: datetime | None = None) -> Refresh:
        return self.repository().refresh(source, now=at or now())

    def load(self, *, at: datetime | None = None) -> Freshness:
        return self.repository().load(now=at or now())

    def find(
        self, target: str, source: MetadataSource, *, at: datetime | None = None
    ) -> Pin | None:
        repository = self.repository()
        repository.refresh(source, now=at or now())
        return repository.find(target, source)

    def trusted(self, role: str) -> bytes | None:
        path = self.metadata / f"{role}.json"
        return path.read_bytes() if path.exists() else None

    def everything(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.metadata)): path.read_bytes()
            for path in sorted(self.metadata.rglob("*.json"))
        }
