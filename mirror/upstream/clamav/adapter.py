"""ClamAV databases: a driver brings them, our own verification makes a release of them.

What hosts get is the .cld each database expands to; the vendor's own bytes travel beside it for
the native layout. A database's version never goes down.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import msgspec

from keys import files
from keys.errors import FetchError, StateError
from keys.model.release import Assurance, Provenance
from keys.trust.vendor import rsa
from keys.trust.vendor.anchors import Anchors
from mirror.feeds import UpstreamSettings
from mirror.upstream.base import Candidate, Feed, Offer, Pull
from mirror.upstream.clamav import layout
from mirror.upstream.clamav.drivers import Advertised, Driver, Surroundings
from mirror.upstream.clamav.proof import Proof, Proven
from mirror.upstream.clamav.signs import UNPROVEN, Signs
from mirror.upstream.clamav.working import Working

MAX_MEMORY_BYTES = 1 << 20
_UNKNOWN = "?"  # stands for a version that only a fetch tells


class ClamavUpstream:
    """Releases of ClamAV databases, brought by one driver."""

    kind = "clamav"
    passes_through = False
    remote = True

    def __init__(
        self, feed: Feed, around: Surroundings, driver: Driver, anchors: Anchors | None,
        *, keys: rsa.Keys = rsa.CLAMAV,
    ) -> None:  # fmt: skip
        self.name = around.settings.name
        self.transcript = around.transcript
        self.lacks = driver.lacks if anchors else (*driver.lacks, UNPROVEN)
        self._around = around
        self._driver = driver
        self._anchors = anchors
        self._keys = keys
        self._last = feed.last
        self._proven = Working(feed.folder / "proven", around.working.names)
        self._memory = _Memory(feed.folder / "published.json")
        self._advertised: Advertised | None = None
        self._versions: Mapping[str, int] = {}

    async def check(self, *, now: datetime) -> Offer:  # noqa: ARG002 - of the contract
        """Ask the record, or the mirror for what every database begins with."""
        found = self._advertised = await self._driver.advertised()
        known = len(found.versions) == len(self._settings.databases)
        awaited = await asyncio.to_thread(self._around.working.awaits_sign)
        return Offer(
            version=layout.tell(found.versions) if known else self._last or _UNKNOWN,
            address=found.address,
            status=found.status,
            assurance=Assurance.signed,
            unchanged=None if known and not awaited else False,
            note=found.note,
        )

    async def fetch(self, quarantine: Path, pull: Pull) -> Candidate:
        """Let the driver work, then prove copies of all that it has brought."""
        await asyncio.to_thread(self._around.working.make)
        advertised = self._advertised or await self._driver.advertised()
        await self._driver.bring(advertised, pull)
        await asyncio.to_thread(self._check_in_sync, advertised.versions)
        proven = await asyncio.to_thread(self._prove, quarantine, pull.now)
        self._versions = {one.container.database: one.container.version for one in proven}
        return self._candidate(proven, quarantine)

    async def settle(self) -> None:
        """Remember what is published: no database goes back behind it."""
        await asyncio.to_thread(self._memory.write, self._versions)

    @property
    def _settings(self) -> UpstreamSettings:
        return self._around.settings

    def _check_in_sync(self, advertised: Mapping[str, int]) -> None:
        """Refuse what is older than the vendor says: his mirror is not in sync, or not his.

        Raises:
            FetchError: naming the first such database.

        """
        held = self._around.working.versions()
        for name, version in advertised.items():
            if name in held and held[name] < version:
                raise FetchError(
                    f"{layout.cvd_name(name)}: version {held[name]} came, though {version} is "
                    "advertised: the mirror is not in sync",
                    hint="nothing was changed; the next pull asks again",
                )

    def _prove(self, quarantine: Path, now: datetime) -> tuple[Proven, ...]:
        settings, working = self._settings, self._around.working
        self._proven.make()
        proven = Proof(
            working=working,
            proven=self._proven,
            quarantine=quarantine,
            signs=Signs(settings.signatures, self._anchors, now),
            floor=self._floor(),
            keep_cdiffs=settings.keep_cdiffs,
            max_bytes=settings.max_release_bytes,
            keys=self._keys,
        ).run()
        working.prune(keep_cdiffs=settings.keep_cdiffs)
        return proven

    def _floor(self) -> Mapping[str, int]:
        """Return the newest version of each database that was published from here."""
        remembered = (self._memory.read(), layout.told(self._last))
        names = {name for versions in remembered for name in versions}
        return {name: max(versions.get(name, 0) for versions in remembered) for name in names}

    def _candidate(self, proven: tuple[Proven, ...], quarantine: Path) -> Candidate:
        return Candidate(
            release="-".join(f"{name}-{number}" for name, number in self._versions.items()),
            vendor_time=max(one.container.built for one in proven),
            assurance=Assurance.signed,
            provenance=Provenance(self.kind, self._around.shown, layout.tell(self._versions)),
            folder=quarantine,
            files=tuple(one.expanded for one in proven),
            originals=tuple(file for one in proven for file in one.originals),
            signatures=sum(one.container.signatures for one in proven),
        )


class _Memory:
    """The versions last published, in a small file; without it the last pull's word counts."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Mapping[str, int]:
        try:
            with self._path.open("rb") as file:
                return msgspec.json.decode(file.read(MAX_MEMORY_BYTES), type=dict[str, int])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as exc:
            raise StateError(
                f"{self._path}: {exc}", hint="remove the file: the next pull writes it anew"
            ) from exc

    def write(self, versions: Mapping[str, int]) -> None:
        try:
            files.write(self._path, msgspec.json.encode({**self.read(), **versions}))
        except OSError as exc:
            raise StateError(f"{self._path}: {exc.strerror or exc}") from exc
