"""`sigmirror run`, `serve` and `check-config`."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

import click
import msgspec

from keys import settings as loader
from keys.credentials import redact_url
from keys.errors import Error, UnreachableError, UsageError
from mirror import check, logs
from mirror.cli.options import config_option, json_option, now, print_json
from mirror.licences import Licences
from mirror.presets import fillings
from mirror.settings import convert, read_raw
from mirror.site import MirrorSite


@click.command(epilog="Example: sigmirror run --config /etc/sigmirror/sigmirror.toml")
@config_option
def run(*, config: Path) -> None:
    """Serve, pull, sign anew and follow changed files, until SIGTERM."""
    _run(config, signs=True)


@click.command(epilog="Example: sigmirror serve --config /etc/sigmirror/sigmirror.toml")
@config_option
def serve(*, config: Path) -> None:
    """Only serve, until SIGTERM: no pulls, and no signing key is loaded."""
    _run(config, signs=False)


def _run(config: Path, *, signs: bool) -> None:
    from mirror import app  # noqa: PLC0415 - the server is loaded by the commands that serve

    logs.start()
    asyncio.run(app.run(config, signs=signs, clock=now))


@click.command("check-config", epilog="Example: sigmirror check-config --json")
@config_option
@json_option
@click.option("--serve", "only_serves", is_flag=True,
              help="Leave out what only pulling and signing need, for a replica.")  # fmt: skip
def check_config(*, config: Path, as_json: bool, only_serves: bool) -> int:
    """Explain each value in force and where it came from, and list every problem (exit code 2).

    A bucket is asked for the repository; that it does not answer now is a warning.
    """
    raw = read_raw(config)
    settings = convert(raw, str(config))
    layers = {"file": raw, "preset": fillings(raw, str(config))}
    values = [
        (key, _shown(value), source) for key, value, source in loader.explain(settings, layers)
    ]
    site = MirrorSite(settings, Licences.of(settings).standing)
    problems = check.problems(site, signs=not only_serves, now=now())
    warnings = list(check.warnings(settings))
    if trouble := asyncio.run(check.bucket(site)):
        (warnings if isinstance(trouble, UnreachableError) else problems).append(trouble)
    if as_json:
        found = {
            "values": [{"key": key, "value": value, "from": place} for key, value, place in values],
            "problems": [{"message": str(one), "hint": one.hint} for one in problems],
            "warnings": [{"message": str(one), "hint": one.hint} for one in warnings],
        }
        print_json(found)
    else:
        told = (*_complaints("warning", warnings), *_complaints("problem", problems))
        for line in (*_lines(values), *told):
            click.echo(line)
    return UsageError.exit_code if problems else 0


def _shown(value: Any) -> Any:  # noqa: ANN401 - whatever a setting may be
    """Return a value without secrets in URLs; of a list of them only their schemes are shown."""
    if isinstance(value, tuple):
        return [f"{one.partition('://')[0]}://***" if _is_url(one) else one for one in value]
    return redact_url(value) if _is_url(value) else value


def _is_url(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and "://" in value


def _lines(values: list[tuple[str, Any, str]]) -> Iterator[str]:
    for key, value, source in values:
        yield f"{key} = {msgspec.json.encode(value).decode()}  ({source})"


def _complaints(kind: str, errors: list[Error]) -> Iterator[str]:
    for error in errors:
        yield f"{kind}: {error}"
        if error.hint:
            yield f"  hint: {error.hint}"
    if not errors and kind == "problem":
        yield "no problems"
