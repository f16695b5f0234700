"""The fragments of settings this host knows: the good one, the one on probation, the refused one.

A new fragment is on probation until a run with it ends well. Where a run ends worse with it than
the one before did, the next run goes without it: if that one ends better, the fragment is set aside
and the good one stays in force.
"""

from pathlib import Path

import msgspec

from keys.errors import StateError
from keys.model.fragment import FRAGMENT_TARGET, Fragment, Value
from keys.model.release import Instant, Pin, Wire, decode
from keys.model.report import SettingsTold
from updater import report, state

MAX_ATTEMPTS = 3  # runs with a new fragment that never came to their end
MAX_TEXT = 2000
MAX_LEFT_OUT = 50


class Received(Wire, frozen=True):
    """What one fragment says to this host, under the name it had then."""

    sequence: int
    sha256: str
    host: str
    values: dict[str, Value] = msgspec.field(default_factory=dict)

    @classmethod
    def of(cls, data: bytes, host: str) -> "Received":
        """Read the bytes a trusted role vouches for.

        Raises:
            TrustError: they are no fragment.

        """
        found = decode(data, Fragment, FRAGMENT_TARGET)
        return cls(found.sequence, Pin.of(data).sha256, host, found.addressed(host))


class Refused(Wire, frozen=True):
    """A fragment this host does not use, and why."""

    sequence: int  # 0 where the bytes do not say
    sha256: str
    cause: str
    at: Instant


class Known(Wire, frozen=True):
    """Everything remembered; every change gives a new value."""

    in_force: Received | None = None
    trying: Received | None = None
    attempts: int = 0  # runs with ``trying`` that were begun and did not end
    before: int = 0  # exit code of the run before it
    broke: report.Trouble | None = None  # how a run with it ended, until one without it did, too
    refused: Refused | None = None
    left_out: tuple[str, ...] = ()

    @property
    def candidate(self) -> Received | None:
        """The fragment the next run is to try."""
        usable = self.broke is None and self.attempts < MAX_ATTEMPTS
        return self.trying if usable else None

    def met(self, found: Received) -> "Known":
        """Note what the site publishes now; what is known already is not tried again."""
        refused = self.refused and self.refused.sha256 == found.sha256
        if found == self.trying or (refused and not self.trying):
            return self
        if found == self.in_force:
            return msgspec.structs.replace(self, trying=None, broke=None, refused=None)
        if not (found.values or self.in_force or self.trying):
            return msgspec.structs.replace(self, in_force=found)
        return msgspec.structs.replace(self, trying=found, attempts=0, broke=None, refused=None)

    def refuse(self, sequence: int, sha256: str, cause: str, at: Instant) -> "Known":
        """Set a fragment aside, whether it was tried, in force, or neither."""
        return msgspec.structs.replace(
            self,
            in_force=None if self.in_force and self.in_force.sha256 == sha256 else self.in_force,
            trying=None if self.trying and self.trying.sha256 == sha256 else self.trying,
            broke=None,
            attempts=0,
            refused=Refused(sequence, sha256, cause[:MAX_TEXT], at),
        )

    def ended(self, used: Received | None, run: report.RunReport) -> "Known":
        """Note how a run ended that used a fragment, or none."""
        if self.trying is None:
            return self
        if used == self.trying:
            return self._with_it(self.trying, run)
        if self.broke is not None:
            return self._without_it(self.trying, self.broke, run)
        if self.attempts >= MAX_ATTEMPTS:
            cause = f"{self.attempts} runs with it did not come to their end"
            return self.refuse(self.trying.sequence, self.trying.sha256, cause, run.at)
        return msgspec.structs.replace(self, before=run.exit_code)

    def _with_it(self, tried: Received, run: report.RunReport) -> "Known":
        if run.exit_code == 0:
            return msgspec.structs.replace(self, in_force=tried, trying=None, attempts=0)
        if not _worse(run.exit_code, self.before):
            return msgspec.structs.replace(self, attempts=0)
        told = next(
            (t for t in run.all_troubles if t.exit_code == run.exit_code),
            report.Trouble("", "", run.exit_code),
        )
        return msgspec.structs.replace(self, broke=told, attempts=0)

    def _without_it(self, tried: Received, broke: report.Trouble, run: report.RunReport) -> "Known":
        if _worse(broke.exit_code, run.exit_code):
            cause = f"a run with it ended with {broke.exit_code}: {broke.message}"
            return self.refuse(tried.sequence, tried.sha256, cause, run.at)
        before = report.worst((self.before, run.exit_code))
        return msgspec.structs.replace(self, broke=None, before=before)

    def told(self) -> SettingsTold | None:
        """Say it in the words of the wire; nothing where no site ever published one."""
        if not (self.in_force or self.trying or self.refused):
            return None
        return SettingsTold(
            sequence=self.in_force.sequence if self.in_force else 0,
            trying=self.trying.sequence if self.trying else 0,
            refused=self.refused.sequence if self.refused else 0,
            cause=self.refused.cause if self.refused else "",
            left_out=tuple(reason[:MAX_TEXT] for reason in self.left_out[:MAX_LEFT_OUT]),
        )


class FragmentFile:
    """``fragment.json`` in the state of a host."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Known:
        """Read what is known.

        Raises:
            StateError: unreadable or damaged.

        """
        return state.read(self._path, Known, Known())

    def exists(self) -> bool:
        """Tell whether the site was ever asked for a fragment, and what it said is readable."""
        try:
            self.load()
        except StateError:
            return False
        return self._path.exists()

    def save(self, known: Known) -> Known:
        """Make it durable and return it; nothing is written where nothing changed.

        Raises:
            StateError: the disk refuses.

        """
        if not (self.exists() and self.load() == known):
            state.write(self._path, known)
        return known

    def known(self) -> Known:
        """Read what is known; a damaged file counts as nothing, and is written anew."""
        try:
            return self.load()
        except StateError:
            return Known()


def _worse(code: int, other: int) -> bool:
    return code != other and report.worst((code, other)) == code
