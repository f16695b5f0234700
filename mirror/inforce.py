"""What a running mirror goes by: settings, keys, licences, certificate, hosts and customers.

Each part is made whole from what is on disk and then put in force in one step; a part that cannot
be made leaves the old one in force.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import attrgetter
from pathlib import Path

import structlog

from keys.errors import Error, LicenceError, SettingsError, StateError, UsageError
from keys.model.licence import Licence
from keys.model.standing import LicenceState, reference_time, state_at
from keys.signing.minisign import SidecarSigner
from keys.signing.state import ROOT, TARGETS, State
from keys.trust.tuf_api import Signer
from mirror import check
from mirror import settings as loader
from mirror.facts import read_facts
from mirror.fleet.followed import FollowedDoor
from mirror.fleet.ledger import entitlements, followed_door, record_files
from mirror.keychain import online_keys, open_online_ring, open_sidecar_key
from mirror.licences import Licences
from mirror.rollout import Entitlement
from mirror.settings import LicenceSettings, ServeSettings, Settings
from mirror.site import MirrorSite
from mirror.watch import Subject
from mirror.web import tls
from mirror.web.cache.opening import Served, open_served
from mirror.web.gauges import Facts
from mirror.web.opening import open_repositories
from mirror.web.repository import Repositories
from mirror.web.tls import Certificate

_FIXED = ("store", "serve.listen", "serve.metrics_listen", "serve.shutdown_grace_seconds")


@dataclass(slots=True)
class InForce:
    """One running mirror's state; ``signs`` says that it pulls and signs, too."""

    config: Path
    signs: bool
    clock: Callable[[], datetime]
    settings: Settings
    ring: Mapping[str, Signer]
    sidecar_key: SidecarSigner | None
    records: Mapping[str, tuple[Licence, ...]]
    served: Served
    repositories: Repositories
    certificate: Certificate | None
    changed: list[Callable[[str], None]] = field(default_factory=list)

    @classmethod
    async def start(cls, config: Path, *, signs: bool, clock: Callable[[], datetime]) -> "InForce":
        """Read everything; what keeps only single upstreams from their pulls is logged.

        Raises:
            SettingsError: something keeps the mirror from running; the message lists it all.

        """
        settings = loader.read(config)
        site = MirrorSite(settings, Licences.of(settings).standing)
        blocking = [*check.serving(site), *(check.signing(settings) if signs else ())]
        if blocking:
            raise combined(config, blocking)
        for problem in check.pulling(site, now=clock()) if signs else ():
            structlog.get_logger().error("problem", cause=str(problem), hint=problem.hint)
        for warning in check.warnings(settings):
            structlog.get_logger().warning("warning", cause=str(warning), hint=warning.hint)
        served = await open_served(settings.store)
        return cls(
            config=config,
            signs=signs,
            clock=clock,
            settings=settings,
            ring=open_online_ring(settings) if signs else {},
            sidecar_key=open_sidecar_key(settings) if signs else None,
            records=_records(settings, {})[0] if signs else {},
            served=served,
            repositories=await _open_repositories(settings, served),
            certificate=Certificate(settings.serve.tls) if settings.serve.tls else None,
        )

    @property
    def site(self) -> MirrorSite:
        """The mirror as it is now; what it signs with and goes by is what is in force."""
        return MirrorSite(
            self.settings,
            self._standing,
            self._entitlements,
            ring=lambda _settings: self.ring,
            sidecar_key=lambda _settings: self.sidecar_key,
        )

    @property
    def serve(self) -> ServeSettings:
        """The listener's settings."""
        return self.settings.serve

    def _standing(self, settings: LicenceSettings, now: datetime) -> LicenceState:
        records = self.records.get(settings.name, ())
        if not records:
            raise LicenceError(f"licence {settings.name}: none is in force")
        return state_at(records, reference_time(now, records))

    def _entitlements(self) -> Iterable[Entitlement]:
        if self.settings.serve.access != "licences":
            return ()
        return entitlements(self.settings, self.clock())

    def facts(self) -> Facts:
        """Tell what metrics show; reads the upstreams' memories."""
        snapshots = {name: one.snapshot for name, one in self.repositories.by_name.items()}
        facts = read_facts(self.site, snapshots, now=self.clock())
        reachable = {name: not one.unreachable for name, one in self.repositories.by_name.items()}
        return replace(facts, cache=self.served.facts(), reachable=reachable)

    def subjects(self) -> tuple[Subject, ...]:
        """List what is watched."""
        always = (
            Subject("settings", lambda: [self.config], self.reload_settings),
            Subject("certificate", self._certificate_files, self.reload_certificate),
            Subject("access", self._access_files, self.reload_access),
        )
        if not self.signs:
            return always
        return (
            *always,
            Subject("keys", self._key_files, self.reload_keys),
            Subject("licences", self._licence_files, self.reload_licences),
        )

    async def reload_settings(self) -> None:
        """Follow a changed settings file.

        Raises:
            SettingsError: it has a problem that was not there before, or needs a restart.

        """
        settings = loader.read(self.config)
        self._refuse_new_problems(settings)
        _refuse_fixed(self.settings, settings)
        ring = await self._checked_ring(settings) if self.signs else {}
        sidecar_key = open_sidecar_key(settings) if self.signs else None
        self.repositories = await _open_repositories(settings, self.served)
        self.records = _records(settings, self.records)[0] if self.signs else {}
        self.settings, self.ring, self.sidecar_key = settings, ring, sidecar_key
        await self.reload_certificate()
        self._tell("settings")

    def _refuse_new_problems(self, settings: Settings) -> None:
        now = self.clock()
        before, after = (
            check.problems(MirrorSite(one, Licences.of(one).standing), signs=self.signs, now=now)
            for one in (self.settings, settings)
        )
        known = {str(problem) for problem in before}
        if found := [problem for problem in after if str(problem) not in known]:
            raise combined(self.config, found)

    async def reload_certificate(self) -> None:
        """Use a changed certificate for new connections.

        Raises:
            SettingsError: certificate and key cannot be used.

        """
        if self.certificate and self.settings.serve.tls:
            self.certificate.take(tls.load(self.settings.serve.tls))

    async def reload_access(self) -> None:
        """Follow changed records of hosts and customers.

        Raises:
            StateError, StoreError: they are unusable.

        """
        door = await followed_door(self.settings)
        known = self.repositories
        self.repositories = replace(known, gate=known.gate.with_door(door))

    async def follow_access(self) -> bool:
        """Follow records that another machine changed; tell whether they were.

        Raises:
            StoreError: nobody knows.
            StateError: they are unusable.

        """
        door = self.repositories.gate.door
        return isinstance(door, FollowedDoor) and await door.follow()

    async def reload_keys(self) -> None:
        """Sign with changed keys.

        Raises:
            UsageError: they cannot be opened, or are not those the repository trusts.

        """
        ring = await self._checked_ring(self.settings)
        self.ring, self.sidecar_key = ring, open_sidecar_key(self.settings)
        self._tell("keys")

    async def _checked_ring(self, settings: Settings) -> Mapping[str, Signer]:
        ring = open_online_ring(settings)
        held = {signer.public_key.keyid for signer in ring.values()}
        state = State.verified((await self.site.repository().in_force()).metadata)
        for role in state:
            if role in {ROOT, TARGETS}:
                continue
            authorised = state.delegator(role).get_delegated_role(role)
            if len(held & set(authorised.keyids)) < authorised.threshold:
                raise UsageError(
                    f"{online_keys(settings)}: not the keys that sign the role {role}",
                    hint="the folder must hold the keys the repository was made with",
                )
        return ring

    async def reload_licences(self) -> None:
        """Go by changed licence files; a changed credential counts at the next pull.

        Raises:
            LicenceError: one of them is none; the others count.

        """
        self.records, refused = _records(self.settings, self.records)
        self._tell("licences")
        if refused:
            raise refused[0]

    def _tell(self, what: str) -> None:
        for listener in self.changed:
            listener(what)

    def _certificate_files(self) -> list[Path]:
        tls = self.settings.serve.tls
        return [Path(tls.cert), Path(tls.key)] if tls else []

    def _access_files(self) -> list[Path]:
        return record_files(self.settings.folder)

    def _key_files(self) -> list[Path]:
        passphrase = self.settings.signing.passphrase_file
        return [online_keys(self.settings), *([Path(passphrase)] if passphrase else [])]

    def _licence_files(self) -> list[Path]:
        licences = (
            name
            for one in self.settings.licence
            for name in (one.file, one.issuer, one.password_file)
            if name
        )
        feeds = (name for one in self.settings.upstream for name in one.credential_files)
        return [Path(name) for name in (*licences, *feeds)]


def combined(config: Path, problems: list[Error]) -> SettingsError:
    """Put several problems into one error."""
    lines = "; ".join(str(problem) for problem in problems)
    hint = next((problem.hint for problem in problems if problem.hint), "")
    return SettingsError(f"{config}: {lines}", hint=hint)


def _records(
    settings: Settings, known: Mapping[str, tuple[Licence, ...]]
) -> tuple[dict[str, tuple[Licence, ...]], list[Error]]:
    """Read every licence; one that is refused leaves what was known of it."""
    records, refused = dict[str, tuple[Licence, ...]](), list[Error]()
    for one in settings.licence:
        try:
            records[one.name] = Licences.of(settings).remember(one)
        except (LicenceError, StateError) as exc:
            refused.append(exc)
            records[one.name] = known.get(one.name, ())
    return records, refused


def _refuse_fixed(old: Settings, new: Settings) -> None:
    for key in _FIXED:
        value = attrgetter(key)
        if value(old) != value(new):
            raise SettingsError(f"{key}: a change needs a restart")
    if (old.serve.tls is None) != (new.serve.tls is None):
        raise SettingsError("serve.tls: switching TLS on or off needs a restart")


async def _open_repositories(settings: Settings, served: Served) -> Repositories:
    names = MirrorSite(settings, Licences.of(settings).standing).repositories
    return await open_repositories(settings, served, names)
