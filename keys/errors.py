"""One error tree; each branch says whether to try again, how to exit and what to do.

Every message says what happened and to which thing; ``hint`` says what the operator should do.

    Error                    1  failed, the last good state is kept
    ├── UsageError           2  the command line or the settings are wrong
    │   ├── SettingsError    2  a settings file is malformed
    │   └── HandedOverError  2  another machine signs this repository now
    ├── TrustError           3  bytes from outside are not what a trusted key promised
    │   ├── SignatureError   3  too few valid signatures
    │   ├── ExpiredError     3  metadata is past its expiry: a freeze, or a stopped mirror
    │   ├── RollbackError    3  an older version than one already trusted
    │   ├── DigestError      3  length or sha256 differs from the promise
    │   ├── FormatError      3  not what its name says: a block page, a cut file, an LFS pointer
    │   └── NameRefusedError 3  a name that must not reach a file system
    ├── LicenceError         4  no licence in force, or one that was refused
    │   ├── LicenceEndedError 4 the licence ended before what was asked for was published
    │   └── CredentialError  4  the other side rejected the user name or password
    ├── EngineError          5  the engine refused the generation; it was rolled back
    ├── UnprovenError        6  installed, but the engine did not answer: nothing is proven
    ├── FetchError           1  the other side did not deliver (may be tried again)
    │   ├── RefusedError     1  it will answer the same again: TLS, or such an HTTP status
    │   └── LimitError       1  more bytes, entries or seconds than the named limit allows
    ├── HostError            1  this host lacks memory, time or a program (may be tried again)
    ├── StoreError           1  a store failed
    │   ├── UnreachableError 1  it gave no whole answer (may be tried again)
    │   ├── MissingError     1  the named object is not there
    │   └── ConflictError    1  the named object is there already
    └── StateError           1  our own state on disk is unusable
        └── LockedError      1  another process holds the lock (may be tried again)
"""

from typing import ClassVar


class Error(Exception):
    """Any deliberate failure; ``str()`` is one line fit for an operator."""

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint or self.default_hint


class UsageError(Error):
    """The command line or the settings cannot be followed."""

    exit_code = 2


class SettingsError(UsageError):
    """A settings file is malformed; the message carries the file and the key's path."""


class HandedOverError(UsageError):
    """What would sign or change a repository that was handed over; it is served as it is."""

    default_hint = "give the command where the repository is signed now; or hand it back first"


class TrustError(Error):
    """Bytes from outside that no trusted key vouches for; never retried with the same bytes."""

    exit_code = 3
    default_hint = "nothing of it was taken; the last good state stays in force"


class SignatureError(TrustError):
    """Fewer valid signatures than the role's threshold."""


class ExpiredError(TrustError):
    """Signed metadata past its expiry at the reference time."""

    default_hint = "the mirror has stopped re-signing, or someone replays old metadata"


class RollbackError(TrustError):
    """A lower version than one that was trusted before."""


class DigestError(TrustError):
    """Length or sha256 differs from what was signed."""


class FormatError(TrustError):
    """Bytes that are not in the format they pretend to be in; the message says what they are."""


class NameRefusedError(TrustError):
    """A name that must never reach a file system or a URL."""


class LicenceError(Error):
    """No licence is in force for what was asked."""

    exit_code = 4


class LicenceEndedError(LicenceError):
    """What was asked for is newer than the licence; ``ends_on`` is a day in the zone ``tz``."""

    default_hint = "renew the licence; what it covered stays installed and in force"

    def __init__(self, message: str, *, ends_on: str = "", tz: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.ends_on = ends_on
        self.tz = tz


class CredentialError(LicenceError):
    """The other side rejected the user name or the password; not retried by itself."""

    default_hint = "check the user name and the password file, then run the command again"


class EngineError(Error):
    """The engine refused a generation; the previous one is in force again."""

    exit_code = 5


class UnprovenError(Error):
    """Installed, but the engine gave no answer, so nothing is proven."""

    exit_code = 6
    default_hint = "start the engine, then run `sigupdate prove`"


class FetchError(Error):
    """The other side did not deliver."""

    retryable = True


class RefusedError(FetchError):
    """The other side refused in a way that trying again does not change."""

    retryable = False


class LimitError(FetchError):
    """A named limit was reached."""

    retryable = False


class HostError(Error):
    """The host cannot do the step now; neither the release nor the engine is to blame."""

    retryable = True
    default_hint = "nothing was changed; the next run tries again"


class StoreError(Error):
    """A store could not do what was asked."""


class UnreachableError(StoreError):
    """The store gave no answer, or a cut one, or is too busy to give one."""

    retryable = True


class MissingError(StoreError):
    """The named object is not in the store."""


class ConflictError(StoreError):
    """The named object exists already and is never overwritten."""


class StateError(Error):
    """Our own state on disk cannot be used."""


class LockedError(StateError):
    """Another process holds the lock."""

    retryable = True
