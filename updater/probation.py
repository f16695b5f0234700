"""Which fragment of the site's settings a run uses, and what the run's end says of it."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from keys.errors import LimitError, SettingsError, StateError, TrustError
from keys.model.release import Pin
from updater import remote_settings
from updater.engines import kinds
from updater.fragments import FragmentFile, Known, Received
from updater.report import RunReport
from updater.settings import Settings


class Chosen(msgspec.Struct, frozen=True):
    """Settings for one command: the file's with a fragment's below them, or the file's alone.

    ``objections`` are fragments that cannot be used with this file, each with the cause.
    """

    settings: Settings
    used: Received | None = None
    layer: Mapping[str, Any] = msgspec.field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    objections: tuple[tuple[Received, str], ...] = ()


def choose(local: dict[str, Any], known: Known, what: str, *, trying: bool) -> Chosen:
    """Choose the fragment: the one on probation where ``trying``, else the good one.

    Raises:
        SettingsError: the file itself.

    """
    settings = remote_settings.own(local, what)
    objections: list[tuple[Received, str]] = []
    for found in (known.candidate if trying else None, known.in_force):
        if found is None:
            continue
        try:
            taken = remote_settings.take(local, found.values, f"fragment {found.sequence}")
            _check_engines(taken.settings)
        except SettingsError as exc:
            objections.append((found, str(exc)))
        else:
            return Chosen(taken.settings, found, taken.layer, taken.left_out, tuple(objections))
    return Chosen(settings, objections=tuple(objections))


def _check_engines(settings: Settings) -> None:
    for engine in settings.engine:
        kinds.make(engine, Path(engine.folder or settings.state))


class Probation:
    """The fragments in one run. Call it under the host's lock.

    ``active`` tells that the run tries what is on probation and may judge it.
    """

    def __init__(
        self, file: FragmentFile, chosen: Chosen | None = None, *, active: bool = False
    ) -> None:
        self._file = file
        self._chosen = chosen
        self._active = active
        self.notes: list[str] = []

    def begin(self, now: datetime) -> None:
        """Set aside what cannot be used, and count the attempt."""
        if self._chosen is None:
            return
        known = self._file.known()
        for found, cause in self._chosen.objections:
            known = self._refused(known, found.sequence, found.sha256, cause, now)
        if self._active:
            known = msgspec.structs.replace(known, left_out=self._chosen.left_out)
            if self._chosen.used == known.trying is not None:
                known = msgspec.structs.replace(known, attempts=known.attempts + 1)
        if known != Known():
            self._keep(known)

    def is_settled(self) -> bool:
        """Tell whether the site was asked what it publishes, and nothing waits to be tried."""
        return self._file.exists()

    def meets(self, data: bytes | None, host: str, now: datetime) -> None:
        """Take in what the site publishes now; bytes that are no fragment are refused.

        Raises:
            StateError: the disk refuses.

        """
        known = self._file.known()
        if data is not None:
            sha256 = Pin.of(data).sha256
            try:
                known = known.met(Received.of(data, host))
            except TrustError as exc:
                if known.refused is None or known.refused.sha256 != sha256:
                    known = self._refused(known, 0, sha256, str(exc), now)
        self._file.save(known)

    def refuses(self, error: LimitError, now: datetime) -> None:
        """Note that what the site publishes now is larger than this host reads."""
        known = self._file.known()
        if known.refused is None or known.refused.cause != str(error):
            self._keep(self._refused(known, 0, "", str(error), now))

    def concludes(self, run: RunReport) -> bool:
        """Judge by a run's end; tell whether it was the last one, or another has to follow."""
        if not self._active or self._chosen is None:
            return True
        known = self._file.known()
        after = known.ended(self._chosen.used, run)
        if after.refused and after.refused != known.refused:
            self.notes.append(f"fragment {after.refused.sequence}: {after.refused.cause}")
        if not self._keep(after):
            return True
        tried = self._chosen.used == known.trying
        return after.trying is None or (tried and after.broke is None)

    def _keep(self, known: Known) -> bool:
        """Make it durable; a disk that refuses keeps no engine from being updated and proven."""
        try:
            self._file.save(known)
        except StateError as exc:
            self.notes.append(str(exc))
            return False
        return True

    def _refused(
        self, known: Known, sequence: int, sha256: str, cause: str, now: datetime
    ) -> Known:
        self.notes.append(f"fragment {sequence or 'of the site'}: {cause}")
        return known.refuse(sequence, sha256, cause, now)
