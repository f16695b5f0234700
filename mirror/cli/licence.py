"""`sigmirror licence`: the licences a mirror pulls by."""

import asyncio
from pathlib import Path

import click
import msgspec

from keys.errors import UsageError
from mirror.cli.options import config_option, json_option, now, open_site
from mirror.cli.rows import show
from mirror.fleet.asking import known_hosts
from mirror.licence_status import licence_statuses
from mirror.licences import Licences
from mirror.settings import LicenceSettings
from mirror.site import MirrorSite


@click.group()
def licence() -> None:
    """Keep the licences this mirror pulls by."""


@licence.command("list")
@config_option
@json_option
def list_licences(*, config: Path, as_json: bool) -> None:
    """List the licences: state today, days left, flags."""
    site, at = open_site(config), now()
    standings = site.standings(at)
    fleet = asyncio.run(known_hosts(site.settings))
    found = licence_statuses(site.settings, standings, fleet)
    rows = [
        {**msgspec.to_builtins(one), "flags": " ".join(one.flags) if not as_json else one.flags}
        for one in found
    ]
    show(rows, as_json=as_json)


@licence.command("replace", epilog="Example: sigmirror licence replace av-2026 renewed.lic")
@config_option
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def replace_licence(*, config: Path, name: str, file: Path) -> None:
    """Put FILE in the place of the licence NAME's file; a running mirror follows by itself."""
    _bring(config, name, file, must_exist=True)


@licence.command("import", epilog="Example: sigmirror licence import av-2026 av-2026.lic")
@config_option
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def import_licence(*, config: Path, name: str, file: Path) -> None:
    """Bring the first FILE of the licence NAME of the settings to its place."""
    _bring(config, name, file, must_exist=False)


def _bring(config: Path, name: str, file: Path, *, must_exist: bool) -> None:
    site = open_site(config)
    one = _configured(site, name)
    if Path(one.file).exists() != must_exist:
        other = "import" if must_exist else "replace"
        state = "does not exist" if must_exist else "exists"
        raise UsageError(f"{one.file}: {state}", hint=f"use `sigmirror licence {other} {name}`")
    Licences.of(site.settings).replace(one, file)
    standing = site.standing(one, now())
    click.echo(
        f"{name}: {standing.state.value} until {standing.ends_on} ({standing.licence.tz}), "
        f"{standing.days_left} days left"
    )


def _configured(site: MirrorSite, name: str) -> LicenceSettings:
    for one in site.settings.licence:
        if one.name == name:
            return one
    raise UsageError(
        f"licence {name!r}: not in the settings", hint="add a [[licence]] table with name and file"
    )
