"""`sigmirror host`: which scanner hosts may fetch."""

import asyncio
import hashlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from keys.console import LazyGroup, Span
from keys.credentials import Secret
from keys.errors import StateError, UsageError
from keys.invitation import Invitation
from mirror.cli.credentials import check_place, hand_over, handing_over, read_names
from mirror.cli.options import config_option, json_option, now, open_in_charge, open_site
from mirror.cli.rows import show
from mirror.fleet.asking import asked, has_desk
from mirror.fleet.hosts import Host, Hosts, Invited
from mirror.fleet.ledger import hosts_record
from mirror.settings import Settings
from mirror.site import MirrorSite

_out = click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Write the credential to this file (mode 0600) instead of printing it.",
)


@click.group(cls=LazyGroup, lazy={"show": "mirror.cli.explain:show_host"})
def host() -> None:
    """Admit scanner hosts (access = "hosts"); each has a token of its own."""


@host.command("add", epilog="Example: sigmirror host add --from hosts.txt --out credentials")
@config_option
@click.option("--from", "names_file", type=click.Path(path_type=Path, dir_okay=False),
              help="Admit every name in this file: one on each line, # comments.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path),
              help="Write the credential to this file (mode 0600) instead of printing it; with "
              "--from to NAME.cred in this folder.")  # fmt: skip
@click.option("--pool", is_flag=True, help="One credential for many hosts, such as pods.")
@click.argument("name", default="")
def add_host(
    *, config: Path, names_file: Path | None, out: Path | None, pool: bool, name: str
) -> None:
    """Admit the host NAME; its credential is shown only this once."""
    if bool(name) == bool(names_file):
        raise UsageError("give either NAME or --from FILE")
    if names_file is None:
        check_place(out)
        with hosts_record(open_in_charge(config).settings).replacing() as record:
            record.value, secret = record.value.add(name, now=now(), pool=pool)
        _hand_over(name, secret, out)
    elif out is None:
        raise UsageError("--from: name the folder for the credentials with --out")
    else:
        _add_all(config, read_names(names_file), out, pool=pool)


def _add_all(config: Path, names: list[str], out: Path, *, pool: bool) -> None:
    file = hosts_record(open_in_charge(config).settings)
    with file.changing() as hosts:
        after, secrets = hosts.add_all(names, now=now(), pool=pool)
        with handing_over(out, secrets) as written:
            file.write(after)
    click.echo(f"admitted {len(written)}; their credentials are in {out}")


@host.command("invite", epilog="Example: sigmirror host invite mx1 --expires 24h")
@config_option
@_out
@click.option("--expires", type=Span(), default="24h", show_default=True,
              help="How long the invitation can be used.")  # fmt: skip
@click.argument("name")
def invite_host(*, config: Path, out: Path | None, expires: timedelta, name: str) -> None:
    """Invite the host NAME: a line that works once, for `sigupdate enrol` on that host.

    It carries the sha256 of the site's root, so the host needs nothing else to trust this mirror.
    """
    check_place(out)
    site = open_in_charge(config)
    root = _root_sha256(site)
    with hosts_record(site.settings).replacing() as record:
        record.value, secret = record.value.invite(name, now=now(), expires=expires)
    text = Invitation(name, root, secret).text()
    hand_over(text, out, hint=f"run `sigmirror host invite {name}` for a new one")


def _root_sha256(site: MirrorSite) -> str:
    data = asyncio.run(site.repository().role("1.root.json"))
    return hashlib.sha256(data).hexdigest()


@host.command("rotate", epilog="Example: sigmirror host rotate mx1 --overlap 24h --out mx1.cred")
@config_option
@_out
@click.option("--overlap", type=Span(), default="24h", show_default=True,
              help="How long the old token still counts.")  # fmt: skip
@click.argument("name")
def rotate_host(*, config: Path, out: Path | None, overlap: timedelta, name: str) -> None:
    """Give the host or pool NAME a new token."""
    check_place(out)
    with hosts_record(open_in_charge(config).settings).replacing() as record:
        record.value, secret = record.value.rotate(name, now=now(), overlap=overlap)
    _hand_over(name, secret, out)


@host.command("remove", epilog="Example: sigmirror host remove mx1")
@config_option
@click.argument("name")
def remove_host(*, config: Path, name: str) -> None:
    """Admit the host or pool NAME no longer, and list it no more; its record stays."""
    settings = open_in_charge(config).settings
    with hosts_record(settings).replacing() as record:
        record.value = record.value.remove(name)
    click.echo(f"removed {name}")
    _forget(settings, name)


def _forget(settings: Settings, name: str) -> None:
    if not has_desk(settings):
        return
    try:
        asyncio.run(asked(settings, lambda desk: desk.remove(name)))
    except StateError as exc:
        raise StateError(
            f"{name} is admitted no longer, but is still listed: {exc}",
            hint="its last report stays listed until the database answers; run this again then",
        ) from exc


@host.command("list")
@config_option
@json_option
def list_hosts(*, config: Path, as_json: bool) -> None:
    """List hosts, pools and open invitations; tokens are not kept and cannot be shown."""
    at = now()
    hosts = hosts_record(open_site(config).settings).read()
    rows = [_host_row(name, one, at) for name, one in sorted(hosts.hosts.items())]
    rows += [_invited_row(name, one) for name, one in _invited(hosts, at)]
    show(rows, as_json=as_json)


def _invited(hosts: Hosts, at: datetime) -> list[tuple[str, Invited]]:
    return sorted((name, one) for name, one in hosts.invitations.items() if one.is_open(at))


def _host_row(name: str, one: Host, at: datetime) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "pool" if one.pool else "host",
        "created": one.created,
        "rotated": one.rotated,
        "tokens": sum(token.counts(at) for token in one.tokens),
        "overlap_ends": max((t.ends for t in one.tokens if t.ends and t.counts(at)), default=None),
    }


def _invited_row(name: str, one: Invited) -> dict[str, Any]:
    return {"name": name, "kind": "invited", "created": one.created, "until": one.ends}


def _hand_over(name: str, secret: Secret, out: Path | None) -> None:
    line = f"{name}:{secret.reveal()}"
    hand_over(line, out, hint=f"run `sigmirror host rotate {name}` for a new one")
