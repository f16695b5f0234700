"""Invitations: a word that lets one host get a credential of its own, once.

    sigmirror-invitation:1:NAME:SHA256-OF-THE-SITES-FIRST-ROOT:TOKEN

The host makes its credential itself and tells only the SHA-256 of it: an enrolment that is
listened to or sent again gives nothing away, and a host that heard no answer may ask again.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from keys.credentials import Secret, read_secret
from keys.errors import UsageError
from keys.model.release import Sha256, Wire

ENROL_PATH = "v1/enrol"
MAX_ENROLMENT_BYTES = 4096

_HEAD = "sigmirror-invitation:1"
_TEXT = re.compile(
    rf"{_HEAD}:(?P<name>[A-Za-z0-9][A-Za-z0-9._-]{{0,99}})"
    r":(?P<root>[0-9a-f]{64}):(?P<token>[A-Za-z0-9_-]{43})"
)


@dataclass(frozen=True, slots=True)
class Invitation:
    """Whom it is for, the root to trust, and the token that works once."""

    name: str
    root_sha256: str
    token: Secret

    def text(self) -> str:
        """Write it as the one line an operator hands over; it is a secret."""
        return f"{_HEAD}:{self.name}:{self.root_sha256}:{self.token.reveal()}"


class Enrolment(Wire, frozen=True):
    """What a host sends: its invitation's token, and the SHA-256 of the credential it made."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    token: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    sha256: Sha256


def read_invitation(path: Path) -> Invitation:
    """Read an invitation from a file.

    Raises:
        SettingsError: unreadable.
        UsageError: no invitation.

    """
    match = _TEXT.fullmatch(read_secret(path).reveal().strip())
    if match is None:
        raise UsageError(
            f"{path}: not an invitation", hint="it is the line that `sigmirror host invite` prints"
        )
    return Invitation(match["name"], match["root"], Secret(match["token"]))
