"""A site that signs tasks, and the trusted copy of a host that follows it; nothing is served."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from keys.errors import MissingError
from keys.model.release import encode
from keys.model.task import Handed, SignedTask, Task
from keys.signing.ceremony import Plan
from keys.signing.keyring import open_ring
from keys.signing.layout import Layout
from keys.signing.state import State
from keys.signing.task import sign_task
from keys.trust.repository import Repository
from keys.trust.tuf_api import Signer
from tests.keys.signing_site import PASSPHRASE, Site

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def task(**more: object) -> Task:
    """Write a task that is due now, for a day."""
    base = Task(
        id="0123456789abcdef", kind="prove", hosts=("mx*",), at=NOW,
        window_seconds=86400, ends=NOW + DAY, reason="audit",
    )  # fmt: skip
    return msgspec.structs.replace(base, **more)


@dataclass(frozen=True)
class Folder:
    """The metadata folder of a site, as a source."""

    layout: Layout

    def read(self, name: str, *, max_bytes: int) -> bytes:
        del max_bytes
        try:
            return (self.layout.metadata / name).read_bytes()
        except FileNotFoundError as exc:
            raise MissingError(name) from exc


@dataclass(frozen=True)
class Scene:
    """One site, and the trusted copy of one host below ``state``."""

    site: Site
    state: Path

    @classmethod
    def made(cls, folder: Path) -> "Scene":
        plan = Plan(root_threshold=1, root_keys=1, separate_online_keys=True)
        scene = cls(Site.found(folder / "mirror", plan, now=NOW), folder / "state")
        root = (scene.site.layout.metadata / "1.root.json").read_bytes()
        scene.repository().bootstrap(root)
        scene.refresh()
        return scene

    def repository(self) -> Repository:
        folder = self.state / "trust/site"
        return Repository("site", folder / "metadata", folder / "clock.json")

    def refresh(self, now: datetime = NOW) -> None:
        repository, source = self.repository(), Folder(self.site.layout)
        repository.refresh(source, now=now)
        repository.find("inhouse/tracks/stable.json", source)
        repository.witness(NOW)

    @property
    def signers(self) -> Mapping[str, Signer]:
        return open_ring(self.site.layout.online, PASSPHRASE)

    def sign(self, one: Task) -> SignedTask:
        return sign_task(one, State.verified(self.site.layout.read()), self.signers.values())

    def handed(self, one: Task, due: datetime | None = None) -> bytes:
        return encode(Handed(task=self.sign(one), due=due or one.at))

    def signed_by(self, key: str, one: Task) -> SignedTask:
        """Sign with another key of the site, which may do anything else."""
        signed = self.sign(one)
        signature = self.signers[key].sign(signed.signed_bytes)
        return SignedTask(payload=signed.payload, signatures={signature.keyid: signature.signature})


def elsewhere(scene: Scene, folder: Path) -> Scene:
    """Return another site that signs for the same host."""
    return replace(scene, site=Site.found(folder, Plan(root_threshold=1, root_keys=1), now=NOW))
