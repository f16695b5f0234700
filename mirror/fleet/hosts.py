"""Host credentials: a name and a random token; only the token's SHA-256 is kept.

Two tokens are valid at once while a rotation overlaps, so no host is ever locked out by one.
A host that was invited makes its token itself.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, TypeVar

import msgspec

from keys.credentials import Secret
from keys.errors import CredentialError, UsageError
from keys.model.instant import utc
from keys.model.release import Instant, Sha256, Wire

TOKEN_BYTES = 32
MAX_HOSTS = 100_000
KEPT_AFTER_END = timedelta(days=30)  # an invitation, to tell whoever comes late

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
    """One scanner host, or a pool of them; the newest token stands first."""

    created: Instant
    tokens: Annotated[tuple[Token, ...], msgspec.Meta(min_length=1, max_length=2)]
    pool: bool = False

    @property
    def rotated(self) -> datetime:
        """When its newest token was made."""
        return self.tokens[0].created


class Invited(Wire, frozen=True):
    """One invitation: the digest of its token, its end, and when it was used."""

    sha256: Sha256
    created: Instant
    ends: Instant
    used: Instant | None = None

    def is_open(self, now: datetime) -> bool:
        """Tell whether it can still be used."""
        return self.used is None and now < self.ends


class Hosts(Wire, frozen=True):
    """Every host and invitation by name: the content of ``state/hosts.json``."""

    hosts: Annotated[dict[str, Host], msgspec.Meta(max_length=MAX_HOSTS)] = msgspec.field(
        default_factory=dict
    )
    invitations: Annotated[dict[str, Invited], msgspec.Meta(max_length=MAX_HOSTS)] = msgspec.field(
        default_factory=dict
    )

    def admits(self, name: str, token: str, *, now: datetime) -> bool:
        """Tell whether this name and token are a host's; takes as long for an unknown name."""
        found = _digest(token)
        host = self.hosts.get(name)
        valid = [t.sha256 for t in host.tokens if t.counts(now)] if host else []
        return any(hmac.compare_digest(found, known) for known in valid or [_NOBODY])

    def is_pool(self, name: str) -> bool:
        """Tell whether a name is a pool's."""
        return name in self.hosts and self.hosts[name].pool

    @property
    def singles(self) -> Mapping[str, Host]:
        """The hosts that are no pools."""
        return {name: host for name, host in self.hosts.items() if not host.pool}

    def add(self, name: str, *, now: datetime, pool: bool = False) -> tuple["Hosts", Secret]:
        """Admit a new host, or a pool; return its token, which is shown only this once.

        Raises:
            UsageError: the name is taken or cannot be a host's name.

        """
        after, made = self.add_all([name], now=now, pool=pool)
        return after, made[name]

    def add_all(
        self, names: Sequence[str], *, now: datetime, pool: bool = False
    ) -> tuple["Hosts", Mapping[str, Secret]]:
        """Admit new hosts, all or none; return their tokens, which are shown only this once.

        Raises:
            UsageError: names that are taken, cannot be a host's or stand there twice; all of them.

        """
        self._check_new(names)
        made = {name: _make_token(now) for name in names}
        hosts = {
            name: Host(created=now, tokens=(token,), pool=pool) for name, (token, _) in made.items()
        }
        after = msgspec.structs.replace(self, hosts=self.hosts | hosts)
        return after, {name: secret for name, (_, secret) in made.items()}

    def _check_new(self, names: Sequence[str]) -> None:
        if wrong := [repr(name) for name in names if not _NAME.fullmatch(name)]:
            raise UsageError(
                f"host {', '.join(wrong)}: not a host name", hint="use letters, digits, . _ -"
            )
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise UsageError(f"host {', '.join(twice)}: named twice")
        if taken := [name for name in names if name in self.hosts]:
            raise UsageError(
                f"host {', '.join(taken)}: exists", hint="use `sigmirror host rotate NAME`"
            )
        if len(self.hosts) + len(names) > MAX_HOSTS:
            raise UsageError(f"more than MAX_HOSTS={MAX_HOSTS} hosts")

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
        return self._with(name, msgspec.structs.replace(host, tokens=(token, *kept))), secret

    def remove(self, name: str) -> "Hosts":
        """Admit a host no longer, and let an invitation of this name be none.

        Raises:
            UsageError: there is neither.

        """
        if name not in self.invitations:
            self._known(name)
        return Hosts(_without(self.hosts, name), _without(self.invitations, name))

    def invite(self, name: str, *, now: datetime, expires: timedelta) -> tuple["Hosts", Secret]:
        """Let a new host come for its credential, once; an earlier invitation ends.

        Raises:
            UsageError: the name is taken or cannot be a host's name.

        """
        self._check_new([name])
        token, secret = _make_token(now)
        invited = Invited(sha256=token.sha256, created=now, ends=now + expires)
        kept = {
            other: one for other, one in self.invitations.items() if now < one.ends + KEPT_AFTER_END
        }
        return msgspec.structs.replace(self, invitations=kept | {name: invited}), secret

    def enrol(self, name: str, token: str, sha256: str, *, now: datetime) -> "Hosts":
        """Admit an invited host with the credential it made; asked again the same, so again.

        Raises:
            CredentialError: no such invitation, or it ended, or somebody else used it.

        """
        invited = self.invitations.get(name)
        known = invited.sha256 if invited else _NOBODY
        if not hmac.compare_digest(_digest(token), known) or invited is None:
            raise CredentialError("there is no such invitation")
        if invited.used:
            if self._holds(name, sha256):
                return self
            raise CredentialError(f"the invitation of host {name} was used on {utc(invited.used)}")
        if not invited.is_open(now):
            raise CredentialError(f"the invitation of host {name} ended on {utc(invited.ends)}")
        if name in self.hosts:
            raise CredentialError(f"host {name} exists by now")
        used = msgspec.structs.replace(invited, used=now)
        host = Host(created=now, tokens=(Token(sha256, now),))
        return Hosts(self.hosts | {name: host}, self.invitations | {name: used})

    def _holds(self, name: str, sha256: str) -> bool:
        tokens = self.hosts[name].tokens if name in self.hosts else ()
        return any(hmac.compare_digest(token.sha256, sha256) for token in tokens)

    def _known(self, name: str) -> Host:
        if name not in self.hosts:
            raise UsageError(f"host {name!r}: unknown", hint="see `sigmirror host list`")
        return self.hosts[name]

    def _with(self, name: str, host: Host) -> "Hosts":
        return msgspec.structs.replace(self, hosts=self.hosts | {name: host})


T = TypeVar("T")


def _without(values: Mapping[str, T], name: str) -> dict[str, T]:
    return {other: value for other, value in values.items() if other != name}


def _make_token(now: datetime) -> tuple[Token, Secret]:
    text = secrets.token_urlsafe(TOKEN_BYTES)
    return Token(_digest(text), now), Secret(text)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
