"""One mirror as its settings describe it: its store, its signer, its upstreams' pulls.

Everything is opened anew for each use, so files that changed on disk count at once.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from keys.errors import Error, SettingsError, StateError, UsageError
from keys.model.release import LICENCE_STATUS_TARGET, LicenceEnd, LicenceStatus, encode
from keys.model.standing import LicenceState, suspended
from keys.signing.delegations import CHANNELS
from keys.signing.layout import SITE
from keys.signing.publisher import Publisher
from keys.signing.state import SNAPSHOT, TIMESTAMP
from mirror.destination import Destination
from mirror.edition import Editions, Order
from mirror.feeds import UpstreamSettings
from mirror.holds import Holds
from mirror.ingest import Ingest
from mirror.journal import Journal
from mirror.keychain import Ring, SidecarKey, open_online_ring, open_sidecar_key
from mirror.policy import Policies
from mirror.publish import Publishing
from mirror.pulls import PullState
from mirror.repository import StoredRepository
from mirror.rollout import Entitlement
from mirror.settings import LicenceSettings, Settings
from mirror.storage import Store, open_store
from mirror.tracks import Tracks
from mirror.upstream.base import Upstream
from mirror.upstreams import open_upstream

Standing = Callable[[LicenceSettings, datetime], LicenceState]
"""Tell where a licence stands; LicenceError when its file is no licence."""


@dataclass(frozen=True, slots=True)
class MirrorSite:
    """The collaborators of one mirror.

    ``standing`` reads this site's own licences; ``entitlements`` tells what its customers'
    licences still cover, so that those releases are kept; ``ring`` opens the online keys, and
    ``sidecar_key`` the one that signs plain files.
    """

    settings: Settings
    standing: Standing
    entitlements: Callable[[], Iterable[Entitlement]] = tuple
    ring: Ring = open_online_ring
    sidecar_key: SidecarKey = open_sidecar_key

    @property
    def folder(self) -> Path:
        """The mirror's folder."""
        return self.settings.folder

    @property
    def store(self) -> Store:
        """Where repositories lie."""
        return open_store(self.settings.store)

    @property
    def repositories(self) -> tuple[str, ...]:
        """The names of the repositories this mirror serves."""
        passed = (upstream.name for upstream in self.settings.upstream if upstream.kind == "tuf")
        return (SITE, *passed)

    def repository(self, name: str = SITE) -> StoredRepository:
        """Open one of them."""
        return StoredRepository(self.store, name)

    async def check_in_charge(self) -> None:
        """Make sure that this mirror signs, before anything is pulled for it.

        Raises:
            HandedOverError: another one signs instead.

        """
        await self.repository().check_in_charge()

    @property
    def editions(self) -> Editions:
        """The site repository's next editions."""
        return Editions(self.repository(), self._publisher, self.journal)

    @property
    def journal(self) -> Journal:
        """The publish log."""
        return Journal(self.folder / "state" / "publish.jsonl")

    @property
    def holds(self) -> Holds:
        """What is held."""
        return Holds(self.folder / "held", self.journal)

    @property
    def publishing(self) -> Publishing:
        """What publishes releases."""
        return Publishing(
            self.editions,
            keep_releases=self.settings.keep_releases,
            entitlements=self.entitlements,
            sidecars=lambda: self.sidecar_key(self.settings),
        )

    def tracks(self, channel: str) -> Tracks:
        """Open the tracks of a channel, written ``NAME`` or ``REPOSITORY/NAME``.

        Raises:
            UsageError: no such repository.

        """
        repository, _, name = channel.rpartition("/")
        if repository in {"", SITE}:
            return Tracks(name, self.publishing, self.policies)
        if repository not in self.repositories:
            known = ", ".join(self.repositories)
            raise UsageError(f"channel {channel}: no such repository", hint=f"known: {known}")
        return Tracks(name, self.publishing, self.policies, self.repository(repository))

    @property
    def policies(self) -> Policies:
        """What publishes the site's choices."""
        return Policies(self.editions)

    def _publisher(self, metadata: Mapping[str, bytes]) -> Publisher:
        expiry = self.settings.expiry
        return Publisher(
            metadata,
            self.ring(self.settings),
            {
                CHANNELS: timedelta(seconds=expiry.channels_seconds),
                SNAPSHOT: timedelta(seconds=expiry.snapshot_seconds),
                TIMESTAMP: timedelta(seconds=expiry.timestamp_seconds),
            },
        )

    def pull_state(self, name: str) -> PullState:
        """Open what is remembered of an upstream."""
        return PullState(self.folder / "state" / "upstreams", name)

    def upstream_settings(self, name: str) -> UpstreamSettings:
        """Return the settings of an upstream.

        Raises:
            SettingsError: none has this name.

        """
        for upstream in self.settings.upstream:
            if upstream.name == name:
                return upstream
        known = ", ".join(upstream.name for upstream in self.settings.upstream) or "none"
        raise SettingsError(f"upstream {name!r}: not in the settings", hint=f"configured: {known}")

    def ingest(self, name: str) -> Ingest:
        """Open one upstream for one pull.

        Raises:
            SettingsError, UsageError: its settings or its password file cannot be followed.

        """
        settings = self.upstream_settings(name)
        licence = self.licence(settings)
        return Ingest(
            settings=settings,
            upstream=self._upstream(settings, licence),
            to=self.destination(settings),
            state=self.pull_state(name),
            quarantine=self.folder / "quarantine" / name,
            licence=lambda now: self.standing(licence, now) if licence else None,
            credential_files=_credential_files(settings, licence),
        )

    def destination(self, upstream: UpstreamSettings) -> Destination:
        """Open the way to publishing for one upstream."""
        return Destination(
            settings=upstream,
            publishing=self.publishing,
            policies=self.policies,
            holds=self.holds,
            cascaded=self.repository(upstream.name),
            canary=self.settings.canary,
        )

    def licence(self, upstream: UpstreamSettings) -> LicenceSettings | None:
        """Return the licence that an upstream is bound to, if any.

        Raises:
            SettingsError: none has that name.

        """
        if not upstream.licence:
            return None
        for licence in self.settings.licence:
            if licence.name == upstream.licence:
                return licence
        raise SettingsError(
            f"upstream {upstream.name}: licence: {upstream.licence!r} is not in the settings"
        )

    def _upstream(self, settings: UpstreamSettings, licence: LicenceSettings | None) -> Upstream:
        return open_upstream(
            settings,
            licence,
            folder=self.folder / "state" / "upstreams" / settings.name,
            last=lambda: self.pull_state(settings.name).read().version,
            cascaded=self.repository(settings.name),
        )

    async def renew(self, *, by: Order, now: datetime) -> tuple[str, ...]:
        """Sign anew what is due, and say where this site's licences stand; return the roles.

        Raises:
            Error: as of ``Editions.renew``.

        """
        if self.settings.serve.access != "open":
            status = encode(self._licence_status(now))
            await self.policies.put({LICENCE_STATUS_TARGET: status}, by=by, now=now)
        return await self.editions.renew(by, now=now)

    def _licence_status(self, now: datetime) -> LicenceStatus:
        """Tell hosts the dates of the licences that can be read, in the settings' order."""
        found = self.standings(now).items()
        return LicenceStatus(
            tuple(
                LicenceEnd(name, state.ends_on.isoformat(), state.licence.tz, state.licence.feeds)
                for name, state in found
                if isinstance(state, LicenceState)
            )
        )

    def _suspended(self, licence: LicenceSettings, state: LicenceState) -> LicenceState:
        """Tell of a licence whose credential a vendor rejects that it is suspended since then.

        Pulls do not go by it: one by hand, or with another credential, is how it ends.
        """
        for upstream in self.settings.upstream:
            if upstream.licence == licence.name and (since := self._stopped_at(upstream.name)):
                state = suspended(state, state.licence.today(since))
        return state

    def _stopped_at(self, upstream: str) -> datetime | None:
        try:
            return self.pull_state(upstream).read().stopped_at
        except StateError:  # the upstream's own status tells of it
            return None

    def standings(self, now: datetime) -> dict[str, LicenceState | Error]:
        """Tell where each of this site's licences stands, suspended ones included."""
        found: dict[str, LicenceState | Error] = {}
        for licence in self.settings.licence:
            try:
                found[licence.name] = self._suspended(licence, self.standing(licence, now))
            except Error as exc:
                found[licence.name] = exc
        return found


def _credential_files(
    settings: UpstreamSettings, licence: LicenceSettings | None
) -> tuple[Path, ...]:
    names = [*settings.credential_files]
    if licence is not None:
        names += [licence.file, licence.issuer, licence.password_file]
    return tuple(Path(name) for name in names if name)
