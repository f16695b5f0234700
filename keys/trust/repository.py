"""A repository this host believes in: refreshed from a source, or read from disk alone."""

import contextlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path

from keys import files
from keys.errors import MissingError, RollbackError, SignatureError, StateError, TrustError
from keys.model.release import Pin
from keys.trust import delegations, roles
from keys.trust.clock import Clock, Known, Reference
from keys.trust.copy import TrustedCopy
from keys.trust.delegations import Delegations
from keys.trust.limits import MetadataLimits
from keys.trust.offline import Offline
from keys.trust.source import MetadataSource
from keys.trust.tuf_api import (
    Root,
    Signature,
    TargetFile,
    Targets,
    Timestamp,
    UnsignedMetadataError,
)
from keys.trust.view import Freshness, Refresh, View, expired
from keys.trust.workflow import Workflow


class Repository:
    """One TUF repository by its trusted copy: ``bootstrap`` once, then ``refresh`` or ``load``.

    The trusted copy lies in ``metadata_folder``; what is known about time in ``clock_file``.
    """

    def __init__(
        self,
        name: str,
        metadata_folder: Path,
        clock_file: Path,
        *,
        limits: MetadataLimits = MetadataLimits(),  # noqa: B008 - frozen
    ) -> None:
        self.name = name
        self._folder = metadata_folder
        self._copy = TrustedCopy(name, metadata_folder)
        self._clock = Clock(clock_file)
        self._limits = limits
        self._view: View | None = None
        self._loaded: dict[str, tuple[Root | Targets, Targets]] = {}

    def bootstrap(self, root: bytes) -> None:
        """Trust a root given by the operator; one that is trusted already changes nothing.

        Raises:
            RollbackError: a newer root is trusted, and this one is not among its ancestors.
            TrustError: not a root, not signed by its own keys, or not the trusted one.

        """
        what = f"repository {self.name}: the given root"
        metadata = roles.parse(root, Root, what)
        given = roles.verify(metadata, metadata.signed, Root.type, what)
        with self._locked():
            trusted = self._copy.read(Root.type)
            if trusted is not None and self._supersedes(trusted, root, given.version, what):
                return
            self._copy.keep_root(given.version, root)

    def _supersedes(self, trusted: bytes, root: bytes, version: int, what: str) -> bool:
        """Tell whether the given root is the trusted one or one of its ancestors."""
        if trusted == root or self._copy.past_root(version) == root:
            return True
        current = self._copy.root().version
        if current > version:
            raise RollbackError(f"{what}: is version {version}, but {current} is trusted")
        if current == version:
            raise TrustError(
                f"{what}: another root of version {version} is trusted",
                hint=f"to start over with this one, remove {self._folder}",
            )
        return False

    def refresh(self, source: MetadataSource, *, now: datetime) -> Refresh:
        """Bring the top-level roles up to date by the client workflow.

        Raises:
            TrustError: what the source served is refused; the trusted copy stays.
            ExpiredError: the newest there is has expired.
            FetchError, LimitError: the source did not deliver.
            LockedError: another process refreshes this copy.
            StateError: no root is trusted yet, or the disk refuses.

        """
        with self._locked():
            reference = self._clock.known().reference(now)
            workflow = self._workflow(source, reference)
            root = workflow.root()
            timestamp = workflow.timestamp(root)
            snapshot = workflow.snapshot(root, timestamp)
            targets = workflow.targets(root, snapshot, Targets.type, root)
            self._enter(View(root, timestamp, snapshot, targets, reference, offline=False))
            expires = self._remember(changed=workflow.changed)
        return Refresh(workflow.changed, timestamp.version, expires, reference.time)

    def load(self, *, now: datetime) -> Freshness:
        """Verify the trusted copy without a source; nothing is written.

        Raises:
            TrustError: a file is not what its delegator's keys vouch for.
            StateError: the copy is incomplete.

        """
        known = self._clock.known()
        reference = known.reference(now)
        offline = Offline(self.name, self._copy)
        root = self._copy.root()
        timestamp = offline.timestamp(root)
        snapshot = offline.snapshot(root, timestamp)
        targets = offline.targets(snapshot, Targets.type, root)
        view = View(root, timestamp, snapshot, targets, reference, offline=True)
        self._enter(view)
        expiries = {**known.expiries, **view.expiries()}
        reasons = (*offline.gaps, *expired(expiries, reference))
        return Freshness(
            not reasons, reasons, timestamp.version, min(expiries.values()), reference.time
        )

    def find(self, target: str, source: MetadataSource) -> Pin | None:
        """Find what a target's bytes must be, or None when no role that may list it does.

        Delegated roles are fetched as needed. After ``load`` the source is not asked, and an
        expired role still vouches for what it lists.

        Raises:
            TrustError, LimitError: a role on the way is refused, or there are too many.
            StateError: neither ``refresh`` nor ``load`` was called.

        """
        file = self.find_listing(target, source)
        return None if file is None else delegations.pin(target, file)

    def find_listing(self, target: str, source: MetadataSource) -> TargetFile | None:
        """As ``find``, with whatever digests the role lists: for repositories of others."""
        return self._delegations(source).find(target)

    def targets_of(self, role: str, source: MetadataSource, *, via: str) -> Mapping[str, Pin]:
        """List the targets of a role, reached by the delegations for the path ``via``.

        Targets that the role may not speak for are left out.

        Raises:
            MissingError: no delegation leads to the role.
            TrustError, LimitError, StateError: as ``find``.

        """
        listed = self._delegations(source).targets_of(role, via=via)
        if listed is None:
            raise MissingError(f"repository {self.name}: no role {role!r} speaks for {via}")
        return {path: delegations.pin(path, file) for path, file in listed.items()}

    def vouch(
        self, role: str, data: bytes, signatures: Mapping[str, str], source: MetadataSource, *,
        via: str,
    ) -> None:  # fmt: skip
        """Check that the keys of a role, reached by ``via``, signed bytes that are no metadata.

        Signatures are in hex, by key.

        Raises:
            SignatureError: fewer of its keys did than its threshold, or nobody delegates it.
            TrustError, LimitError, StateError: as ``find``.

        """
        delegator = self._delegations(source).delegator_of(role, via=via)
        if delegator is None:
            raise SignatureError(f"repository {self.name}: no role {role!r} speaks for {via}")
        found = {keyid: Signature(keyid, signature) for keyid, signature in signatures.items()}
        try:
            delegator.verify_delegate(role, data, found)
        except UnsignedMetadataError as exc:
            raise SignatureError(f"repository {self.name}: {exc}") from exc

    @property
    def consistent_snapshot(self) -> bool:
        """Whether targets lie under names that hold their digest."""
        return bool(self._in_force.root.consistent_snapshot)

    def witness(self, signed_at: datetime) -> None:
        """Raise the floor of the reference time to a time that a trusted key has signed.

        After ``load`` nothing is written.
        """
        if not self._in_force.offline:
            self._clock.witness(signed_at)

    def settle(self) -> None:
        """Remember that all there is was read and acted upon, up to the present timestamp.

        Until then ``freshness.unchanged`` says False, so that a run cut short is finished.

        """
        data = self._copy.required(Timestamp.type)
        if not self._in_force.offline:
            self._clock.settle(Pin.of(data).sha256)

    def _delegations(self, source: MetadataSource) -> Delegations:
        load = partial(self._load, source=source)
        return Delegations(self._in_force.root, load, self._limits.max_delegations)

    def _load(self, role: str, delegator: Root | Targets, source: MetadataSource) -> Targets:
        """Return a role verified against this very delegator, never against another one's word."""
        verified_by, loaded = self._loaded.get(role, (None, None))
        if loaded is not None and verified_by is delegator:
            return loaded
        view = self._in_force
        if view.offline:
            targets = Offline(self.name, self._copy).targets(view.snapshot, role, delegator)
        else:
            workflow = self._workflow(source, view.reference)
            targets = workflow.targets(view.root, view.snapshot, role, delegator)
            self._clock.loaded(role, targets.expires)
        self._loaded[role] = (delegator, targets)
        return targets

    def _enter(self, view: View) -> None:
        self._view = view
        self._loaded = {Targets.type: (view.root, view.targets)}

    @property
    def _in_force(self) -> View:
        if self._view is None:
            raise StateError(f"repository {self.name}: neither refreshed nor loaded")
        return self._view

    def _workflow(self, source: MetadataSource, reference: Reference) -> Workflow:
        return Workflow(self.name, self._copy, source, reference, self._limits)

    def _remember(self, *, changed: bool) -> datetime:
        """Note when the roles in use expire; a change is unsettled until someone says so."""
        known, view = self._clock.known(), self._in_force
        delegated = {role: at for role, at in known.expiries.items() if view.lists(role)}
        top_level = view.expiries()
        self._clock.refreshed(
            Known(
                floor=known.floor,
                expiries=delegated | top_level,
                root_version=view.root.version,
                settled="" if changed else known.settled,
            )
        )
        return min(top_level.values())

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with contextlib.ExitStack() as held:
            try:
                files.make_folder(self._folder)
                lock = files.lock(self._folder / ".lock", what=f"repository {self.name}")
                held.enter_context(lock)
            except OSError as exc:
                raise StateError(f"{self._folder}: {exc.strerror or exc}") from exc
            yield
