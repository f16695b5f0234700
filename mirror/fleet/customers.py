"""A vendor's customers: a user name, a password and the licences held for it.

Password and term are separate: renewing adds a licence and never touches the password.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec

from keys.credentials import Secret
from keys.errors import UsageError
from keys.licences import joined
from keys.model.licence import Licence
from keys.model.release import Content, Instant, Wire
from keys.model.standing import LicenceState, reference_time, state_at
from mirror.fleet.passwords import PasswordHash
from mirror.rollout import Entitlement

MAX_CUSTOMERS = 100_000
MAX_LICENCES = 100
MAX_USERNAME = 100
MIN_PASSWORD = 8


class Customer(Wire, frozen=True):
    """One customer; renewals are held beside the licence they follow."""

    added: Instant
    password: PasswordHash
    licences: Annotated[tuple[Licence, ...], msgspec.Meta(min_length=1, max_length=MAX_LICENCES)]

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels his licences name."""
        return tuple(sorted({feed for licence in self.licences for feed in licence.feeds}))

    def standing(self, channel: str, now: datetime) -> LicenceState | None:
        """Tell where his licences for a channel stand; None when no licence names it."""
        return standing(self.licences, channel, now)


def standing(
    licences: Sequence[Licence], channel: str, now: datetime, *, seen: datetime | None = None,
    content: Content | None = None,
) -> LicenceState | None:  # fmt: skip
    """Tell where the licences that name a channel stand, for the kind of content it has.

    ``seen`` is a signed time the clock cannot be behind.
    """
    records = [
        licence
        for licence in licences
        if channel in licence.feeds and (content is None or content in _brings(licence))
    ]
    return state_at(records, reference_time(now, records, seen)) if records else None


def _brings(licence: Licence) -> set[str]:
    return {content.value for content in licence.content}


class Customers(Wire, frozen=True):
    """Every customer by user name: the content of ``state/customers.json``."""

    customers: Annotated[dict[str, Customer], msgspec.Meta(max_length=MAX_CUSTOMERS)] = (
        msgspec.field(default_factory=dict)
    )

    def add(
        self, username: str, licence: Licence, password: Secret, *, now: datetime
    ) -> "Customers":
        """Admit a customer.

        Raises:
            UsageError: the user name is taken or cannot be one, or the password is too short.

        """
        _check_username(username)
        if username in self.customers:
            raise UsageError(
                f"customer {username}: exists", hint=f"use `sigmirror customer renew {username}`"
            )
        if len(password.reveal()) < MIN_PASSWORD:
            raise UsageError(f"customer {username}: a password has at least {MIN_PASSWORD} letters")
        return self._with(username, Customer(now, PasswordHash.of(password), (licence,)))

    def renew(self, username: str, licence: Licence) -> "Customers":
        """Hold a further licence of a customer; the password stays.

        Raises:
            UsageError: there is no such customer.
            LicenceError: an older file than one held, another organisation's, or issued too late.

        """
        customer = self._known(username)
        held = joined(customer.licences, licence, f"customer {username}")[-MAX_LICENCES:]
        return self._with(username, msgspec.structs.replace(customer, licences=held))

    def remove(self, username: str) -> "Customers":
        """Admit a customer no longer.

        Raises:
            UsageError: there is no such customer.

        """
        self._known(username)
        return Customers({name: one for name, one in self.customers.items() if name != username})

    def entitlements(self, now: datetime) -> Iterator[Entitlement]:
        """Tell up to which days licences cover releases."""
        for customer in self.customers.values():
            for channel in customer.channels:
                standing = customer.standing(channel, now)
                if standing and standing.covered_until:
                    yield Entitlement(standing.covered_until, ZoneInfo(standing.licence.tz))

    def _known(self, username: str) -> Customer:
        if username not in self.customers:
            raise UsageError(
                f"customer {username!r}: unknown", hint="see `sigmirror customer list`"
            )
        return self.customers[username]

    def _with(self, username: str, customer: Customer) -> "Customers":
        return Customers({**self.customers, username: customer})


def _check_username(username: str) -> None:
    plain = all(unicodedata.category(c)[0] not in "CZ" for c in username)
    if not 0 < len(username) <= MAX_USERNAME or ":" in username or not plain:
        raise UsageError(
            f"customer {username!r}: not a user name",
            hint=f"up to {MAX_USERNAME} letters, digits and signs; no blank and no colon",
        )
