"""`sigmirror presets`: what is known of the feeds that people use."""

from collections.abc import Iterator
from typing import Any

import click
import msgspec

from keys.errors import UsageError
from mirror.cli import rows
from mirror.cli.options import json_option, print_json
from mirror.feeds import UpstreamSettings
from mirror.presets import PRESETS, Preset


@click.command(epilog="Example: sigmirror presets snort")
@click.argument("name", required=False)
@json_option
def presets(*, name: str | None, as_json: bool) -> None:
    """Show the feeds that need few settings: address, limits, integrity, terms, what is unsure."""
    if name is not None and name not in PRESETS:
        known = ", ".join(sorted(PRESETS))
        raise UsageError(f"{name}: no such preset", hint=f"known: {known}")
    chosen = {name: PRESETS[name]} if name else PRESETS
    if as_json:
        found = [_described(one, preset) for one, preset in chosen.items()]
        print_json(found)
    elif name:
        for line in _lines(name, PRESETS[name]):
            click.echo(line)
    else:
        rows.show([_row(one, preset) for one, preset in chosen.items()], as_json=False)


def _row(name: str, preset: Preset) -> dict[str, Any]:
    return {
        "name": f"{name:<13}",
        "assurance": preset.integrity.partition(":")[0],
        "redistribution": redistribution(preset),
        "needs": ",".join(preset.needs),
        "title": preset.title,
    }


def _described(name: str, preset: Preset) -> dict[str, Any]:
    return {
        "name": name,
        "title": preset.title,
        "address": preset.address,
        "needs": ["channel", *preset.needs],
        "floor_seconds": preset.floor_seconds,
        "floor": preset.floor,
        "integrity": preset.integrity,
        "redistribution": redistribution(preset),
        "terms": preset.terms,
        "blocked": preset.blocked,
        "unverified": preset.unverified,
        "sources": preset.sources,
        "settings": preset.settings,
    }


def redistribution(preset: Preset) -> str:
    """Return who is served this feed, where the settings do not say otherwise."""
    return msgspec.convert({"name": "x", **preset.settings}, UpstreamSettings).shared_with


def _lines(name: str, preset: Preset) -> Iterator[str]:
    told = _described(name, preset)
    for key in ("name", "title", "address", "floor", "integrity", "redistribution", "terms"):
        yield f"{key:<16}{told[key]}"
    yield f"{'blocked':<16}{preset.blocked}"
    yield f"{'you write':<16}{', '.join(told['needs'])}"
    for point in preset.unverified:
        yield f"{'unverified':<16}{point}"
    yield f"{'sources':<16}{'; '.join(preset.sources)}"
    yield "settings"
    for key, value in preset.settings.items():
        yield f"  {key} = {msgspec.json.encode(value).decode()}"
