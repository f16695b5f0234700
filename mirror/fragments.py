"""The settings this site signs for its hosts: one fragment, changed by an order, logged."""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from keys.errors import LimitError, SettingsError
from keys.model.fragment import (
    FRAGMENT_TARGET,
    MAX_FRAGMENT_BYTES,
    SAFE_SETTINGS,
    Fragment,
    Section,
    Value,
    check_section,
    generally,
)
from keys.model.release import decode, encode
from mirror.edition import Edition, Order
from mirror.journal import Entry
from mirror.policy import Policies

EVERYBODY = "all"
MAX_LOGGED = 4000  # characters of one change in the publish log
_SHOWN = "`sigmirror config show` writes such a file"
_LOGIN = re.compile(r"://[^/?#]*@")  # in an address


@dataclass(frozen=True, slots=True)
class Sections:
    """What a fragment says, without its number: for everybody, and by host or pool."""

    everyone: Mapping[str, Value]
    hosts: Mapping[str, Mapping[str, Value]]

    @classmethod
    def of(cls, fragment: Fragment | None) -> "Sections":
        """Take them from a fragment, or from none."""
        return cls(fragment.everyone, fragment.hosts) if fragment else cls({}, {})

    def setting(self, names: tuple[str, ...], key: str, value: Value | None) -> "Sections":
        """Set a key for hosts, or for everybody where none is named; without a value unset it."""
        if not names:
            return Sections(_with(self.everyone, key, value), self.hosts)
        own = {name: _with(self.hosts.get(name, {}), key, value) for name in names}
        return Sections(self.everyone, {**self.hosts, **own})

    def rows(self) -> dict[tuple[str, str], Value]:
        """List every value by whom it is for and its key."""
        named = {EVERYBODY: self.everyone, **self.hosts}
        return {
            (who, key): value for who, section in named.items() for key, value in section.items()
        }

    def only_named(self) -> list[str]:
        """List the keys that count only where a host's own list names them."""
        return sorted({key for _, key in self.rows() if generally(key) not in SAFE_SETTINGS})


Change = Callable[[Sections], Sections]


@dataclass(frozen=True, slots=True)
class Next:
    """What a change makes of what is published; without ``changes`` all stays as it is."""

    sequence: int
    sections: Sections
    changes: tuple[str, ...] = ()
    data: bytes = b""

    def entry(self, edition: Edition) -> Entry:
        """Write the line of the publish log."""
        told = "; ".join(self.changes)[:MAX_LOGGED]
        return edition.entry("config", sequence=self.sequence, name=told)

    def notes(self) -> Iterator[str]:
        """Say of which settings not every host takes notice."""
        for key in self.sections.only_named() if self.changes else ():
            yield f"{key}: only hosts whose remote_settings.allow names it take it"
        for change in self.changes:
            who, _, rest = change[2:].partition(": ")
            key = rest.partition(" = ")[0]
            for name, own in self.sections.hosts.items() if who == EVERYBODY else ():
                if {key, generally(key)} & own.keys():
                    yield f"{name} keeps its own {key}"


class Fragments:
    """The fragment of the site's own repository."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies

    async def read(self) -> Fragment | None:
        """Return what is published, or None where nothing ever was.

        Raises:
            StateError, StoreError, TrustError: it cannot be read.

        """
        return _parsed(await self._policies.document(FRAGMENT_TARGET, max_bytes=MAX_FRAGMENT_BYTES))

    async def preview(self, change: Change, *, now: datetime) -> Next:
        """Tell what a change would publish.

        Raises:
            SettingsError, LimitError: as ``change``.

        """
        return _next(await self.read(), change, now)

    async def change(self, change: Change, *, by: Order, now: datetime) -> Next:
        """Publish what ``change`` makes of it under the next number, if it differs.

        Raises:
            SettingsError: a key no site can set, or a value it cannot have.
            LimitError: it is too large.
            Error: nothing was published.

        """
        made = await self.preview(change, now=now)
        if not made.changes:
            return made

        def rewrite(data: bytes | None) -> bytes:
            nonlocal made
            made = _next(_parsed(data), change, now)
            return made.data or data or b""  # where nothing was published, something changes

        def line(edition: Edition) -> Entry:
            return made.entry(edition)

        await self._policies.rewrite(
            FRAGMENT_TARGET, rewrite, line, by=by, now=now, max_bytes=MAX_FRAGMENT_BYTES
        )
        return made


def _next(known: Fragment | None, change: Change, now: datetime) -> Next:
    before = Sections.of(known)
    after = change(before)
    changes = tuple(differences(before, after))
    sequence = known.sequence if known else 0
    if not changes:
        return Next(sequence, after)
    return Next(sequence + 1, after, changes, encode(numbered(after, sequence + 1, now)))


def numbered(sections: Sections, sequence: int, now: datetime) -> Fragment:
    """Make a fragment that every host can read.

    Raises:
        SettingsError, LimitError: as of ``Fragments.change``.

    """
    hosts = {name: dict(section) for name, section in sections.hosts.items() if section}
    made = Fragment(1, sequence, now, dict(sections.everyone), hosts)
    for section in (made.everyone, *hosts.values()):
        check_section(section)
        _check_readable_by_all(section)
    try:
        msgspec.convert(msgspec.to_builtins(made), Fragment)
    except msgspec.ValidationError as exc:
        raise SettingsError(f"settings for hosts: {exc}") from exc
    if len(encode(made)) > MAX_FRAGMENT_BYTES:
        raise LimitError(f"settings for hosts: larger than {MAX_FRAGMENT_BYTES=}")
    return made


def _check_readable_by_all(section: Mapping[str, Value]) -> None:
    """Refuse an address with a user name or password in it: every host reads every section.

    Raises:
        SettingsError: naming the key alone.

    """
    for key, value in section.items():
        texts = value if isinstance(value, tuple) else (value,)
        if any(isinstance(text, str) and _LOGIN.search(text) for text in texts):
            raise SettingsError(
                f"{key}: holds a user name or password, and every host can read what is set",
                hint="write it into the file of each host that needs it",
            )


def differences(before: Sections, after: Sections) -> Iterator[str]:
    """Say what changes, one line for each value."""
    old, new = before.rows(), after.rows()
    for who, key in sorted({*old, *new}):
        was, becomes = old.get((who, key)), new.get((who, key))
        if was is None and becomes is not None:
            yield f"+ {who}: {key} = {shown(becomes)}"
        elif becomes is None and was is not None:
            yield f"- {who}: {key} = {shown(was)}"
        elif (
            was is not None and becomes is not None and (was, type(was)) != (becomes, type(becomes))
        ):
            yield f"~ {who}: {key} = {shown(was)} -> {shown(becomes)}"


def from_toml(text: str, what: str) -> Sections:
    """Read sections from TOML: a table ``all``, and a table ``hosts`` with one for each name.

    Raises:
        SettingsError: not TOML, another table, or what is no value of a setting.

    """
    try:
        tables = tomllib.loads(text)
        everyone = _section(tables.pop(EVERYBODY, {}))
        hosts = msgspec.convert(tables.pop("hosts", {}), dict[str, dict[str, Any]])
        found = Sections(everyone, {name: _section(one) for name, one in hosts.items()})
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as exc:
        raise SettingsError(f"{what}: {exc}", hint=_SHOWN) from exc
    except RecursionError:
        raise SettingsError(f"{what}: nested too deeply", hint=_SHOWN) from None
    if tables:
        raise SettingsError(f"{what}: {next(iter(tables))}: expected the tables all and hosts")
    return found


def to_toml(sections: Sections) -> Iterator[str]:
    """Write sections as ``from_toml`` reads them."""
    named = {EVERYBODY: sections.everyone}
    named |= {f"hosts.{_quoted(name)}": one for name, one in sections.hosts.items()}
    for name, section in named.items():
        if section:
            yield f"[{name}]"
            yield from (f"{_dotted(key)} = {shown(section[key])}" for key in sorted(section))


def value_of(text: str) -> Value:
    """Read one value as TOML writes it; what is no TOML is a text.

    Raises:
        SettingsError: a table, a date, or what no setting can be.

    """
    try:
        found = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        found = text
    try:
        return msgspec.convert(found, Value)  # type: ignore[no-any-return]  # a union of types
    except msgspec.ValidationError as exc:
        raise SettingsError(f"{text!r}: no value of a setting: {exc}") from exc


def shown(value: Value) -> str:
    """Write a value as TOML."""
    return msgspec.json.encode(value).decode()


def _with(section: Mapping[str, Value], key: str, value: Value | None) -> dict[str, Value]:
    left = {other: kept for other, kept in section.items() if other != key}
    return left if value is None else {**left, key: value}


def _section(table: object) -> dict[str, Value]:
    plain = msgspec.convert(table, dict[str, Any])
    return msgspec.convert(dict(_flat(plain, "")), Section)


def _flat(table: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _dotted(key: str) -> str:
    return ".".join(_quoted(part) for part in key.split("."))


def _quoted(part: str) -> str:
    bare = part.replace("-", "").replace("_", "")
    return part if bare.isascii() and bare.isalnum() else f'"{part}"'


def _parsed(data: bytes | None) -> Fragment | None:
    return None if data is None else decode(data, Fragment, FRAGMENT_TARGET)
