"""`sigmirror customer`: which of a vendor's customers may fetch what."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from keys.credentials import read_secret
from keys.errors import UsageError
from keys.model.licence import Licence
from keys.trust.licence import Issuers, read_file, verify
from mirror.cli.options import config_option, json_option, now, open_in_charge, open_site
from mirror.cli.rows import show
from mirror.fleet.customers import Customer, Customers
from mirror.fleet.ledger import customers_record
from mirror.site import MirrorSite

_licence_option = click.option(
    "--licence",
    "licence_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The customer's signed .lic file; its feeds are the channels he may fetch.",
)
_issuer_option = click.option(
    "--issuer",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The public key that signed it. [default: serve.licence_issuer]",
)


@click.group()
def customer() -> None:
    """Admit a vendor's customers (access = "licences") by user name and password."""


@customer.command(
    "add",
    epilog="Example: sigmirror customer add EAV-0123456 --licence c.lic --password-file c.password",
)
@config_option
@_licence_option
@_issuer_option
@click.option("--password-file", type=click.Path(path_type=Path, dir_okay=False), required=True)
@click.argument("username")
def add_customer(
    *, config: Path, licence_file: Path, issuer: Path | None, password_file: Path, username: str
) -> None:
    """Admit the customer USERNAME; the password is kept as scrypt."""
    site, password, at = open_in_charge(config), read_secret(password_file), now()
    licence = _verified(site, licence_file, issuer)
    _change_customers(site, lambda known: known.add(username, licence, password, now=at))
    click.echo(f"added {username}: {_covered(licence)}")


@customer.command("renew", epilog="Example: sigmirror customer renew EAV-0123456 --licence c2.lic")
@config_option
@_licence_option
@_issuer_option
@click.argument("username")
def renew_customer(*, config: Path, licence_file: Path, issuer: Path | None, username: str) -> None:
    """Hold a further licence of the customer USERNAME; the password stays."""
    site = open_in_charge(config)
    licence = _verified(site, licence_file, issuer)
    _change_customers(site, lambda known: known.renew(username, licence))
    click.echo(f"renewed {username}: {_covered(licence)}")


@customer.command("remove", epilog="Example: sigmirror customer remove EAV-0123456")
@config_option
@click.argument("username")
def remove_customer(*, config: Path, username: str) -> None:
    """Admit the customer USERNAME no longer."""
    _change_customers(open_in_charge(config), lambda known: known.remove(username))
    click.echo(f"removed {username}")


@customer.command("list")
@config_option
@json_option
def list_customers(*, config: Path, as_json: bool) -> None:
    """List the customers and where their licences stand today."""
    at = now()
    known = customers_record(open_site(config).settings).read().customers
    rows = [row for name, one in sorted(known.items()) for row in _customer_rows(name, one, at)]
    show(rows, as_json=as_json)


def _customer_rows(name: str, one: Customer, at: datetime) -> list[dict[str, Any]]:
    rows = []
    for channel in one.channels:
        standing = one.standing(channel, at)
        if standing is None:
            continue
        rows.append({
            "username": name,
            "organisation": standing.licence.organisation,
            "serial": standing.licence.serial,
            "channel": channel,
            "state": standing.state.value,
            "ends_on": standing.ends_on,
            "tz": standing.licence.tz,
            "days_left": standing.days_left,
        })  # fmt: skip
    return rows


def _verified(site: MirrorSite, file: Path, issuer: Path | None) -> Licence:
    """Read a licence this vendor's own issuer signed."""
    pinned = issuer or Path(site.settings.serve.licence_issuer)
    if not issuer and not site.settings.serve.licence_issuer:
        raise UsageError(
            "no issuer: it is not known whose licences count",
            hint="name the issuer's public key with --issuer, or set serve.licence_issuer",
        )
    return verify(read_file(file), Issuers.read(pinned), str(file))


def _change_customers(site: MirrorSite, change: Callable[[Customers], Customers]) -> None:
    file = customers_record(site.settings)
    with file.changing() as known:
        file.write(change(known))


def _covered(licence: Licence) -> str:
    feeds = ", ".join(licence.feeds) or "no channel"
    return f"{feeds} until {licence.last_day} ({licence.tz}), {licence.organisation}"
