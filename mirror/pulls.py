"""What is remembered of each upstream between pulls, in ``state/upstreams/<name>.json``."""

import contextlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from keys import files
from keys.errors import Error, StateError

MAX_STATE_BYTES = 1 << 20
STATES = ("ok", "held", "failed", "stopped", "never pulled")
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class Failure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a pull did not succeed."""

    at: datetime
    kind: str
    message: str
    hint: str
    exit_code: int

    @classmethod
    def of(cls, error: Error, *, at: datetime) -> "Failure":
        """Describe an error."""
        return cls(at, type(error).__name__, str(error), error.hint, error.exit_code)


class Pulled(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One upstream's memory.

    ``stopped`` says that the vendor rejects the credential, since ``stopped_at``. ``looks`` is what
    the licence's and the credential's files looked like before the last pull; once they look
    different, a pull is due and allowed.
    ``not_before`` is when the vendor lets us come back, ``next_pull`` when the schedule pulls.
    """

    version: str = ""
    release: str = ""
    last_attempt: datetime | None = None
    last_success: datetime | None = None
    last_change: datetime | None = None
    not_before: datetime | None = None
    next_pull: datetime | None = None
    failure: Failure | None = None
    stopped: bool = False
    stopped_at: datetime | None = None
    looks: str = ""
    requests: int = 0
    received_bytes: int = 0
    note: str = ""  # what was not as it should be on the way, though the last pull went well

    def wait_until(self, now: datetime, *, by_hand: bool) -> datetime | None:
        """Tell until when a pull has to wait; by hand only the vendor's own wish counts."""
        times = [self.not_before] if by_hand else [self.not_before, self.next_pull]
        latest = max((at for at in times if at is not None), default=now)
        return latest if latest > now else None

    def state(self, *, held: bool) -> str:
        """Say in a word how the upstream stands; see ``STATES``."""
        if self.failure:
            return "stopped" if self.stopped else "failed"
        if held:
            return "held"
        return "ok" if self.last_success else "never pulled"

    def differs(self, other: "Pulled") -> bool:
        """Tell whether anything but times differs."""
        return self.timeless() != other.timeless()

    def timeless(self) -> "Pulled":
        """Return this memory without the times of attempts."""
        failure = self.failure and msgspec.structs.replace(self.failure, at=_NEVER)
        return msgspec.structs.replace(self, last_attempt=None, last_success=None, failure=failure)


class Result(msgspec.Struct, frozen=True):
    """What a pull came to.

    ``published``, ``unchanged``, ``held``, ``dropped``, ``waiting``, ``not due`` or ``stopped``.
    ``exit_code`` is that of the failure that still stands where nothing was asked.
    """

    upstream: str
    outcome: str
    release: str = ""
    track: str = ""
    sequence: int = 0
    detail: str = ""
    new_bytes: int = 0
    requests: int = 0
    received_bytes: int = 0
    exit_code: int = 0
    note: str = ""


class PullState:
    """The file of one upstream."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"{name}.json"
        self.lock_path = folder / f"{name}.lock"

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only one on this machine who pulls from this upstream or decides what is held.

        Raises:
            LockedError: another one is at work.
            StateError: the disk refuses.

        """
        with contextlib.ExitStack() as held:
            try:
                files.make_folder(self.lock_path.parent)
                what = f"upstream {self.path.stem}"
                held.enter_context(files.lock(self.lock_path, what=what))
            except OSError as exc:
                raise StateError(f"{self.lock_path}: {exc.strerror or exc}") from exc
            yield

    def read(self) -> Pulled:
        """Return what is remembered; a first pull remembers nothing.

        Raises:
            StateError: the file is unusable.

        """
        try:
            with self.path.open("rb") as file:
                return msgspec.json.decode(file.read(MAX_STATE_BYTES), type=Pulled)
        except FileNotFoundError:
            return Pulled()
        except (OSError, msgspec.DecodeError) as exc:
            raise StateError(
                f"{self.path}: {exc}", hint="remove the file: the next pull writes it anew"
            ) from exc

    def write(self, pulled: Pulled) -> None:
        """Remember.

        Raises:
            StateError: the disk refuses.

        """
        try:
            files.make_folder(self.path.parent)
            files.write(self.path, msgspec.json.encode(pulled))
        except OSError as exc:
            raise StateError(f"{self.path}: {exc.strerror or exc}") from exc


def look(paths: Iterable[Path]) -> str:
    """Tell what files look like from outside, never what is in them."""
    return ";".join(_look(path) for path in paths)


def _look(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return "-"
    return f"{found.st_mtime_ns:x}.{found.st_ino:x}.{found.st_size:x}"
