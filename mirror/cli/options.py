"""What the commands share: the settings file, output as JSON, the mirror they work on."""

import asyncio
import getpass
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from keys.console import text
from keys.ending import report
from keys.errors import Error
from mirror.edition import Order
from mirror.fleet.asking import known_hosts
from mirror.fleet.ledger import entitlements
from mirror.fleet.roster import HostRow
from mirror.licences import Licences
from mirror.settings import load
from mirror.site import MirrorSite

CONFIG_VARIABLE = "SIGMIRROR_CONFIG"
DEFAULT_CONFIG = "/etc/sigmirror/sigmirror.toml"

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=DEFAULT_CONFIG,
    envvar=CONFIG_VARIABLE,
    show_default=True,
    show_envvar=True,
    help="The settings file.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
reason_option = click.option(
    "--reason",
    type=text,
    required=True,
    help="Why, for the publish log.",
    callback=lambda *a: _said(a[2]),
)
optional_reason_option = click.option(
    "--reason", type=text, default="", help="Why, for the publish log."
)


def _said(reason: str) -> str:
    if not reason:
        raise click.BadParameter("say why")
    return reason


def open_site(config: Path, *, pulls: bool = False) -> MirrorSite:
    """Open the mirror a settings file describes; what ``pulls`` keeps the licence files it met.

    Raises:
        SettingsError: as ``mirror.settings.load``.

    """
    settings = load(config)
    licences = Licences.of(settings)
    return MirrorSite(
        settings,
        licences.follow if pulls else licences.standing,
        lambda: entitlements(settings, now()),
    )


def heard_hosts(site: MirrorSite) -> list[HostRow]:
    """Return every host that reported; where their record does not answer, say so and go on."""
    try:
        return asyncio.run(known_hosts(site.settings))
    except Error as exc:
        report(exc)
        return []


def open_in_charge(config: Path) -> MirrorSite:
    """Open a mirror for what another one would not hear of, were this one handed over.

    Raises:
        SettingsError: as ``open_site``.
        HandedOverError: it was.

    """
    site = open_site(config)
    asyncio.run(site.check_in_charge())
    return site


def listed(given: Iterable[str]) -> tuple[str, ...]:
    """Return the names an option was given: separated by commas, or one at a time."""
    return tuple(name.strip() for part in given for name in part.split(",") if name.strip())


def print_json(value: object) -> None:
    """Print a value on one line of JSON."""
    click.echo(msgspec.json.encode(value).decode())


def now() -> datetime:
    """Read the clock: once for each command."""
    return datetime.now(UTC)


def order(command: str, why: str = "") -> Order:
    """Say who gives an order by a command."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown user"
    return Order(f"{user} ({command})", why)
