"""Host credentials: a name and a random token; only the token's SHA-256 is kept.

Two tokens are valid at once while a rotation overlaps, so no host is ever locked out by one.
"""

import hashlib
import hmac
import re
import secrets
from datetime import datetime, timedelta
from typing import Annotated

import msgspec

from keys.credentials import Secret
from keys.errors import UsageError
from keys.model.release import Instant, Sha256, Wire

TOKEN_BYTES = 32
MAX_HOSTS = 100_000

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_NOBODY = "0" * 64  # no token hashes to it; compared when the name is unknown


class Token(Wire, frozen=True):
    """One accepted token: its digest, and when it stops to count."""

    sha256: Sha256
    created: Instant
    ends: Instant | None = None

    def counts(self, now: datetime) -> bool:
        """Tell whether the token is still accepted."""
        return self.ends is None or now < self.ends


class Host(Wire, frozen=True):
    """One scanner host; the newest token stands first."""

    created: Instant
    tokens: Annotated[tuple[Token, ...], msgspec.Meta(min_length=1, max_length=2)]

    @property
    def rotated(self) -> datetime:
        """When its newest token was made."""
        return self.tokens[0].created


class Hosts(Wire, frozen=True):
    """Every host by name: the content of ``state/hosts.json``."""

    hosts: Annotated[dict[str, Host], msgspec.Meta(max_length=MAX_HOSTS)] = msgspec.field(
        default_factory=dict
    )

    def admits(self, name: str, token: str, *, now: datetime) -> bool:
        """Tell whether this name and token are a host's; takes as long for an unknown name."""
        found = hashlib.sha256(token.encode()).hexdigest()
        host = self.hosts.get(name)
        valid = [t.sha256 for t in host.tokens if t.counts(now)] if host else []
        return any(hmac.compare_digest(found, known) for known in valid or [_NOBODY])

    def add(self, name: str, *, now: datetime) -> tuple["Hosts", Secret]:
        """Admit a new host; return its token, which is shown only this once.

        Raises:
            UsageError: the name is taken or cannot be a host's name.

        """
        if not _NAME.fullmatch(name):
            raise UsageError(f"host {name!r}: not a host name", hint="use letters, digits, . _ -")
        if name in self.hosts:
            raise UsageError(f"host {name}: exists", hint=f"use `sigmirror host rotate {name}`")
        if len(self.hosts) >= MAX_HOSTS:
            raise UsageError(f"host {name}: more than MAX_HOSTS={MAX_HOSTS} hosts")
        token, secret = _make_token(now)
        return self._with(name, Host(created=now, tokens=(token,))), secret

    def rotate(self, name: str, *, now: datetime, overlap: timedelta) -> tuple["Hosts", Secret]:
        """Give a host a new token; the one in use counts until ``overlap`` has passed.

        Raises:
            UsageError: there is no such host.

        """
        host = self._known(name)
        token, secret = _make_token(now)
        current = host.tokens[0]
        ends = min(now + overlap, current.ends) if current.ends else now + overlap
        kept = (msgspec.structs.replace(current, ends=ends),) if overlap else ()
        return self._with(name, Host(created=host.created, tokens=(token, *kept))), secret

    def remove(self, name: str) -> "Hosts":
        """Admit a host no longer.

        Raises:
            UsageError: there is no such host.

        """
        self._known(name)
        return Hosts({other: host for other, host in self.hosts.items() if other != name})

    def _known(self, name: str) -> Host:
        if name not in self.hosts:
            raise UsageError(f"host {name!r}: unknown", hint="see `sigmirror host list`")
        return self.hosts[name]

    def _with(self, name: str, host: Host) -> "Hosts":
        return Hosts({**self.hosts, name: host})


def _make_token(now: datetime) -> tuple[Token, Secret]:
    text = secrets.token_urlsafe(TOKEN_BYTES)
    return Token(hashlib.sha256(text.encode()).hexdigest(), now), Secret(text)
