"""A founded site repository in a temporary folder, and what publishing does to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from keys.credentials import Secret
from keys.model.release import Pin, blob_name
from keys.signing.ceremony import Founding, Plan, compose, write
from keys.signing.keyring import open_ring
from keys.signing.layout import Layout
from keys.signing.publisher import Changes, Publisher, RoleFile

PASSPHRASE = Secret("correct horse battery")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Site:
    """A mirror's folder; every method reads it from disk as another process would."""

    layout: Layout
    founding: Founding = field(repr=False)

    @classmethod
    def found(cls, folder: Path, plan: Plan | None = None, *, now: datetime = NOW) -> "Site":
        founding = compose(
            plan or Plan(root_threshold=1, root_keys=1),
            offline_passphrase=PASSPHRASE,
            online_passphrase=PASSPHRASE,
            now=now,
        )
        write(founding, Layout(folder))
        return cls(Layout(folder), founding)

    def publisher(self, **expiry: timedelta) -> Publisher:
        return Publisher(self.layout.read(), open_ring(self.layout.online, PASSPHRASE), expiry)

    def changes(self, targets: Mapping[str, Mapping[str, bytes]]) -> Changes:
        pins = {
            role: {path: Pin.of(data) for path, data in files.items()}
            for role, files in targets.items()
        }
        return Changes(pins, self.layout.taken())

    def publish(
        self, targets: Mapping[str, Mapping[str, bytes]], *, now: datetime = NOW
    ) -> tuple[RoleFile, ...]:
        """Sign, then write blobs and metadata in publish order."""
        produced = self.publisher().publish(self.changes(targets), now=now)
        for files in targets.values():
            for path, data in files.items():
                place = self.layout.repository / "targets" / blob_name(path, Pin.of(data).sha256)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(data)
        self.write(produced)
        return produced

    def write(self, produced: tuple[RoleFile, ...]) -> None:
        for file in produced:
            (self.layout.metadata / file.name).write_bytes(file.data)
