"""Is a task the site's? Signed by the keys of its role ``policy``, by a trusted copy in force."""

from datetime import datetime

from keys.errors import ExpiredError
from keys.model.task import SignedTask, Task, decode_task
from keys.trust.repository import Repository
from keys.trust.source import Nowhere

ROLE = "policy"
VIA = "policy/tasks"  # a path that the role may speak for; no such target exists


class TaskTrust:
    """Verifies tasks by one repository's trusted copy, as it lies on the disk; nothing is asked."""

    def __init__(self, repository: Repository, *, now: datetime) -> None:
        """Take a trusted copy.

        Raises:
            ExpiredError: metadata has expired: keys that were taken back may be in it.
            TrustError, StateError: the copy cannot be verified.

        """
        self._repository = repository
        found = repository.load(now=now)
        if not found.fresh:
            raise ExpiredError(found.reasons[0])
        self.reference = found.reference

    def verified(self, signed: SignedTask, what: str) -> Task:
        """Return what the site signed.

        Raises:
            SignatureError: not signed by enough keys of the role ``policy``.
            FormatError: signed, and not a task this program knows.

        """
        self._repository.vouch(ROLE, signed.signed_bytes, signed.signatures, Nowhere(), via=VIA)
        return decode_task(signed.payload, what)
