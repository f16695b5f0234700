"""`sigupdate check-config`: each setting in force and where it came from."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from keys import settings as toml
from keys.credentials import redact_url
from keys.errors import UsageError
from updater.cli.host import Host, say, say_json
from updater.cli.options import config_option, json_option
from updater.fragments import Known


@click.command("check-config", epilog="Example: sigupdate check-config --json")
@config_option
@json_option
def check_config(*, config: Path, as_json: bool) -> int:
    """Explain each value in force: default, file, or the fragment the site signed.

    Exit code 2 when a fragment cannot be used with this file.
    """
    host = Host.load(config)
    chosen, known = host.chosen, host.place.fragments.known()
    layers = {"file": host.local}
    if chosen.used:
        layers[f"fragment {chosen.used.sequence}"] = chosen.layer
    values = [(key, _shown(one), place) for key, one, place in toml.explain(host.settings, layers)]
    problems = [f"fragment {found.sequence}: {cause}" for found, cause in chosen.objections]
    if as_json:
        told = {
            "values": [{"key": key, "value": value, "from": place} for key, value, place in values],
            "left_out": chosen.left_out,
            "site": msgspec.to_builtins(known.told()),
            "problems": problems,
        }
        say_json(told)
    else:
        for key, value, place in values:
            say(f"{key} = {msgspec.json.encode(value).decode()}  ({place})")
        for line in (*(f"left out: {reason}" for reason in chosen.left_out), *standing(known)):
            say(line)
        for problem in problems:
            say(f"problem: {problem}")
    return UsageError.exit_code if problems else 0


def standing(known: Known) -> Iterator[str]:
    """Say in words which fragment is in force, tried, refused."""
    if known.in_force and known.in_force.sequence:
        yield f"site's settings: fragment {known.in_force.sequence} in force"
    if known.trying:
        yield f"site's settings: fragment {known.trying.sequence} on probation"
    if known.refused:
        number = known.refused.sequence or "(unreadable)"
        yield f"site's settings: fragment {number} refused: {known.refused.cause}"


def _shown(value: Any) -> Any:  # noqa: ANN401 - whatever a setting may be
    """Return a value without secrets in URLs."""
    if isinstance(value, tuple):
        return [_shown(one) for one in value]
    return redact_url(value) if isinstance(value, str) and "://" in value else value
