"""`sigmirror host`: which scanner hosts may fetch."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from keys import files
from keys.console import LazyGroup
from keys.credentials import Secret
from keys.errors import StateError, UsageError
from mirror.cli.options import config_option, json_option, now, open_site
from mirror.cli.rows import show
from mirror.fleet.hosts import Host, Hosts
from mirror.fleet.ledger import hosts_file

_SPAN = re.compile(r"([0-9]{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Span(click.ParamType[timedelta]):
    """A length of time such as ``24h``."""

    name = "span"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Read a number and a unit."""
        if isinstance(value, timedelta):
            return value
        match = _SPAN.fullmatch(str(value))
        if match is None:
            self.fail(f"{value!r}: write a number and s, m, h or d, such as 24h", param, ctx)
        return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


_out = click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the credential to this file (mode 0600) instead of printing it.",
)


@click.group(cls=LazyGroup, lazy={"show": "mirror.cli.explain:show_host"})
def host() -> None:
    """Admit scanner hosts (access = "hosts"); each has a token of its own."""


@host.command("add", epilog="Example: sigmirror host add mx1 --out mx1.cred")
@config_option
@_out
@click.argument("name")
def add_host(*, config: Path, out: Path | None, name: str) -> None:
    """Admit the host NAME; its credential is shown only this once."""
    _refuse_taken(out)
    _hand_over(name, _change_hosts(config, lambda hosts: hosts.add(name, now=now())), out)


@host.command("rotate", epilog="Example: sigmirror host rotate mx1 --overlap 24h --out mx1.cred")
@config_option
@_out
@click.option("--overlap", type=Span(), default="24h", show_default=True,
              help="How long the old token still counts.")  # fmt: skip
@click.argument("name")
def rotate_host(*, config: Path, out: Path | None, overlap: timedelta, name: str) -> None:
    """Give the host NAME a new token."""
    _refuse_taken(out)
    secret = _change_hosts(config, lambda hosts: hosts.rotate(name, now=now(), overlap=overlap))
    _hand_over(name, secret, out)


@host.command("remove", epilog="Example: sigmirror host remove mx1")
@config_option
@click.argument("name")
def remove_host(*, config: Path, name: str) -> None:
    """Admit the host NAME no longer."""
    file = hosts_file(open_site(config).folder)
    with file.changing() as hosts:
        file.write(hosts.remove(name))
    click.echo(f"removed {name}")


@host.command("list")
@config_option
@json_option
def list_hosts(*, config: Path, as_json: bool) -> None:
    """List the hosts; tokens are not kept and cannot be shown."""
    at = now()
    hosts = hosts_file(open_site(config).folder).read().hosts
    rows = [_host_row(name, one, at) for name, one in sorted(hosts.items())]
    show(rows, as_json=as_json)


def _host_row(name: str, one: Host, at: datetime) -> dict[str, Any]:
    return {
        "name": name,
        "created": one.created,
        "rotated": one.rotated,
        "tokens": sum(token.counts(at) for token in one.tokens),
        "overlap_ends": max((t.ends for t in one.tokens if t.ends and t.counts(at)), default=None),
    }


def _change_hosts(config: Path, change: Callable[[Hosts], tuple[Hosts, Secret]]) -> Secret:
    file = hosts_file(open_site(config).folder)
    with file.changing() as hosts:
        after, secret = change(hosts)
        file.write(after)
    return secret


def _refuse_taken(out: Path | None) -> None:
    if out is not None and not out.parent.is_dir():
        raise UsageError(f"{out}: {out.parent} is no folder; nothing was changed")


def _hand_over(name: str, secret: Secret, out: Path | None) -> None:
    line = f"{name}:{secret.reveal()}"
    if out is None:
        click.echo(line)
        return
    try:
        files.write(out, line.encode() + b"\n", mode=0o600)
    except OSError as exc:
        raise StateError(
            f"{out}: {exc.strerror or exc}",
            hint=f"run `sigmirror host rotate {name}` for a new one",
        ) from exc
    click.echo(f"wrote {out}")
