"""TOML settings into frozen structs: unknown keys refused, the key's path in the message."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from keys import files
from keys.errors import SettingsError

MAX_SETTINGS_BYTES = 1 << 20
MAX_SECONDS = 10 * 366 * 86400  # of any interval, expiry or time limit
MAX_NUMBER = 1 << 53

Seconds = Annotated[int, msgspec.Meta(ge=1, le=MAX_SECONDS)]
SecondsOrNone = Annotated[int, msgspec.Meta(ge=0, le=MAX_SECONDS)]
Duration = Annotated[float, msgspec.Meta(gt=0, le=MAX_SECONDS)]
DurationOrNone = Annotated[float, msgspec.Meta(ge=0, le=MAX_SECONDS)]
Factor = Annotated[float, msgspec.Meta(ge=0, le=1000)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=MAX_NUMBER)]
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]

T = TypeVar("T", bound="Table")

_NOT_A_CHOICE = "Invalid enum value"


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One table of a settings file: frozen, strict, keywords only."""


def load(path: Path, kind: type[T]) -> T:
    """Read a settings file.

    Raises:
        SettingsError: unreadable, not TOML, an unknown key, or a value of the wrong kind; the
            message names the file and the key.

    """
    return parse(read(path), kind, str(path))


def read(path: Path) -> bytes:
    """Read a settings file's bytes, at most ``MAX_SETTINGS_BYTES``.

    Raises:
        SettingsError: unreadable or larger.

    """
    return files.read(
        path, max_bytes=MAX_SETTINGS_BYTES, limit="MAX_SETTINGS_BYTES", error=SettingsError
    )


def parse(data: bytes, kind: type[T], what: str) -> T:
    """Decode settings; ``what`` names them in messages.

    Raises:
        SettingsError: as ``load``.

    """
    return convert(parse_raw(data, what), kind, what)


def parse_raw(data: bytes, what: str) -> dict[str, Any]:
    """Decode TOML into plain tables, for ``explain``.

    Raises:
        SettingsError: not TOML.

    """
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise SettingsError(f"{what}: not TOML: {exc}") from exc
    except RecursionError as exc:
        raise SettingsError(f"{what}: not TOML: nested too deep") from exc


def convert(raw: dict[str, Any], kind: type[T], what: str) -> T:
    """Check plain tables against their struct.

    Raises:
        SettingsError: an unknown key, a missing one, or a value of the wrong kind.

    """
    try:
        return msgspec.convert(raw, kind)
    except (msgspec.ValidationError, ValueError) as exc:
        reason, _, place = str(exc).rpartition(" - at `$")
        if not reason:
            reason, place = str(exc), "`"
        where = place.rstrip("`").lstrip(".")
        known = _choices(kind, where) if reason.startswith(_NOT_A_CHOICE) else ""
        raise SettingsError(f"{what}: {where + ': ' if where else ''}{reason}{known}") from exc


def _choices(kind: type[Table], where: str) -> str:
    from keys.choices import choices  # noqa: PLC0415 - start-up time: only for a message

    words = ", ".join(repr(word) for word in choices(kind, where))
    return f"; use one of {words}" if words else ""


def explain(
    settings: Table, layers: Mapping[str, Mapping[str, Any]], prefix: str = ""
) -> Iterator[tuple[str, Any, str]]:
    """List each value in force as (key path, value, where it came from).

    ``layers`` are plain tables by name, such as ``file``, the strongest first; a value of none of
    them is a ``default``.
    """
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        path = f"{prefix}{name}"
        below = {label: plain[name] for label, plain in layers.items() if name in plain}
        if isinstance(value, Table):
            yield from explain(value, below, f"{path}.")
        elif isinstance(value, tuple) and value and isinstance(value[0], Table):
            for number, item in enumerate(value):
                each = {label: plain[number] for label, plain in below.items()}
                yield from explain(item, each, f"{path}[{number}].")
        else:
            yield path, value, next(iter(below), "default")
