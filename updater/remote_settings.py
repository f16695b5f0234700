"""What of the settings its site signs this host takes: pure, tables in and settings out.

A key counts where this host's own list allows it and its own file does not set it: the file of the
host always goes before the site. Nothing is taken of a fragment that holds one key no site can set.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from keys import settings as toml
from keys.errors import SettingsError
from keys.model import fragment
from keys.model.fragment import SAFE, Value
from updater.channels import channel_names, check_names
from updater.settings import Settings

Plain = dict[str, Any]


class Taken(msgspec.Struct, frozen=True):
    """Settings with a site's among them.

    ``layer`` are the site's that count, in the shape of the file; ``left_out`` are the others,
    each with the reason.
    """

    settings: Settings
    layer: Plain
    left_out: tuple[str, ...] = ()


def own(local: Plain, what: str) -> Settings:
    """Check the host's own file.

    Raises:
        SettingsError: the file, a name in it, or a key it allows that no site can set.

    """
    settings = toml.convert(local, Settings, what)
    check_names(settings)
    for key in settings.remote_settings.allow:
        if key != SAFE:
            try:
                fragment.check_key(key)
            except SettingsError as exc:
                raise SettingsError(f"{what}: remote_settings.allow: {exc}", hint=exc.hint) from exc
    return settings


def take(local: Plain, values: Mapping[str, Value], what: str) -> Taken:
    """Put a site's settings below the host's own; ``what`` names them in messages.

    Raises:
        SettingsError: a key that no site can set, or settings that cannot be together.

    """
    fragment.check_section(values)
    allow = own(local, what).remote_settings.allow
    engines = local.get("engine", [])
    layer: Plain = {"engine": [{} for _ in engines]} if engines else {}
    left_out: list[str] = []
    for key in sorted(values, key=_by_weight):
        found = "not allowed here"
        if fragment.is_allowed(key, allow):
            found = _put(layer, local, key, values[key])
        if found:
            left_out.append(f"{key}: {found}")
    merged = toml.convert(_below(layer, local), Settings, what)
    check_names(merged)
    for engine in merged.engine:
        channel_names(merged, engine.channels)
    return Taken(merged, layer, tuple(left_out))


def _by_weight(key: str) -> tuple[bool, str]:
    """Sort what names an engine behind what is for every engine, so that it goes before it."""
    return fragment.engine_of(key)[0] not in {"", "*"}, key


def _put(layer: Plain, local: Plain, key: str, value: Value) -> str:
    """Put a value into the layer; return why it does not count, or nothing."""
    name, rest = fragment.engine_of(key)
    if not name:
        return _put_one(layer, local, key.split("."), value)
    pairs = [
        pair
        for pair in zip(layer.get("engine", ()), local.get("engine", ()), strict=True)
        if name in {"*", pair[1]["name"]}
    ]
    if not pairs:
        return "no such engine here"
    reasons = [_put_one(below, above, [rest], value) for below, above in pairs]
    return reasons[0] if all(reasons) else ""


def _put_one(layer: Plain, local: Plain, path: list[str], value: Value) -> str:
    for part in path[:-1]:
        local = local.get(part, {})
    if path[-1] in local:
        return "this host's own file sets it"
    for part in path[:-1]:
        layer = layer.setdefault(part, {})
    layer[path[-1]] = list(value) if isinstance(value, tuple) else value
    return ""


def _below(layer: Plain, local: Plain) -> Plain:
    """Merge plain tables; what ``local`` says counts."""
    merged = dict(local)
    for key, value in layer.items():
        if isinstance(value, dict):
            merged[key] = _below(value, local.get(key, {}))
        elif key == "engine":
            merged[key] = [_below(*pair) for pair in zip(value, local[key], strict=True)]
        else:
            merged.setdefault(key, value)
    return merged
