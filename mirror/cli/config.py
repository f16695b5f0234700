"""`sigmirror config`: settings that the site signs for its hosts."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec

from keys import settings as toml
from keys.errors import UsageError
from keys.model.fragment import NAMED_SETTINGS, SAFE_SETTINGS, Fragment, check_key
from keys.model.instant import utc
from keys.model.report import SettingsTold
from mirror import fragments
from mirror.cli.options import (
    config_option,
    heard_hosts,
    json_option,
    listed,
    now,
    open_site,
    optional_reason_option,
    order,
    print_json,
)
from mirror.fleet.ledger import hosts_record
from mirror.fragments import Change, Fragments, Next, Sections
from mirror.site import MirrorSite

hosts_option = click.option(
    "--hosts", "named", multiple=True, help="Names of hosts or pools, separated by commas."
)
all_option = click.option("--all", "everybody", is_flag=True, help="Every host of this site.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Only show what would change.")


@dataclass(frozen=True, slots=True)
class _How:
    """How a change is made and told."""

    command: str
    reason: str
    dry_run: bool
    as_json: bool


@click.group("config")
def fleet_config() -> None:
    """Sign settings for hosts; each host takes what its own file allows."""


@fleet_config.command("set", epilog="Example: sigmirror config set interval_seconds 300 --all "
                      "--reason 'outbreak'")  # fmt: skip
@config_option
@json_option
@hosts_option
@all_option
@optional_reason_option
@dry_run_option
@click.argument("key")
@click.argument("value")
def set_(
    *, config: Path, named: Sequence[str], everybody: bool, key: str, value: str,
    **how: Any,  # noqa: ANN401 - `_How`
) -> None:  # fmt: skip
    """Set KEY for hosts, and publish it: they follow at their next run.

    VALUE is written as in TOML; a text needs no quotes. KEY has dots: limits.max_attempts,
    engine.clamd.track; engine.*.track is for every engine.
    """
    site, names = open_site(config), _names(named, everybody=everybody)
    found = fragments.value_of(value)
    check_key(key)
    if unknown := _unknown(site, names):
        raise UsageError(f"not admitted: {', '.join(unknown)}", hint="see `sigmirror host list`")
    change = partial(Sections.setting, names=names, key=key, value=found)
    _publish(site, change, _How(f"config set {key}", **how))


@fleet_config.command(epilog="Example: sigmirror config unset interval_seconds --all --reason over")
@config_option
@json_option
@hosts_option
@all_option
@optional_reason_option
@dry_run_option
@click.argument("key")
def unset(
    *, config: Path, named: Sequence[str], everybody: bool, key: str,
    **how: Any,  # noqa: ANN401 - `_How`
) -> None:  # fmt: skip
    """Set KEY for hosts no longer, and publish that."""
    names = _names(named, everybody=everybody)
    change = partial(Sections.setting, names=names, key=key, value=None)
    _publish(open_site(config), change, _How(f"config unset {key}", **how))


@fleet_config.command(epilog="Example: sigmirror config push fleet.toml --reason 'new limits'")
@config_option
@json_option
@optional_reason_option
@dry_run_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def push(*, config: Path, file: Path, **how: Any) -> None:  # noqa: ANN401 - `_How`
    """Publish all that FILE says, and nothing else: tables [all] and [hosts.NAME].

    `sigmirror config show` prints such a file.
    """
    site = open_site(config)
    wanted = fragments.from_toml(toml.read(file).decode("utf-8", "replace"), str(file))
    for name in _unknown(site, sorted(wanted.hosts)):
        click.echo(f"note: {name}: no such host or pool is admitted", err=True)
    _publish(site, lambda _: wanted, _How(f"config push {file.name}", **how))


@fleet_config.command(epilog="Example: sigmirror config show --host mx1")
@config_option
@json_option
@click.option("--host", default="", help="What it says to this host, and what the host says of it.")
def show(*, config: Path, as_json: bool, host: str) -> None:
    """Show what is published, as `push` takes it, and how many hosts use it."""
    site = open_site(config)
    published = asyncio.run(Fragments(site.policies).read())
    told = _told(site)
    if host:
        _show_host(published, host, told.get(host), as_json=as_json)
        return
    if as_json:
        row = {"published": msgspec.to_builtins(published), "hosts": msgspec.to_builtins(told)}
        print_json(row)
        return
    for line in _lines(published, told):
        click.echo(line)


@fleet_config.command(epilog="Example: sigmirror config keys")
@json_option
def keys(*, as_json: bool) -> None:
    """List what can be set, within which bounds, and what a host has to allow by name first."""
    safe = {key: msgspec.json.schema(kind) for key, kind in SAFE_SETTINGS.items()}
    if as_json:
        row = {"safe": safe, "only_where_named": sorted(NAMED_SETTINGS)}
        print_json(row)
        return
    for key, schema in sorted(safe.items()):
        bounds = f", {schema['minimum']} to {schema['maximum']}" if "minimum" in schema else ""
        click.echo(f"{key}  {schema['type']}{bounds}")
    for key in sorted(NAMED_SETTINGS):
        click.echo(f"{key}  only where remote_settings.allow names it")


def _names(named: Sequence[str], *, everybody: bool) -> tuple[str, ...]:
    """Return whom a setting is for; nobody named is everybody.

    Raises:
        UsageError: it is not said, or said twice.

    """
    names = listed(named)
    if bool(names) == everybody:
        raise UsageError("say for whom: --hosts NAME,NAME or --all")
    return names


def _unknown(site: MirrorSite, names: Sequence[str]) -> list[str]:
    admitted = hosts_record(site.settings).read().hosts
    return [name for name in names if name not in admitted]


def _publish(site: MirrorSite, change: Change, how: _How) -> None:
    """Publish a change, or only say what it would be."""
    published = Fragments(site.policies)
    if how.dry_run:
        _tell(asyncio.run(published.preview(change, now=now())), how)
        return
    if not how.reason:
        raise UsageError("--reason: say why, for the publish log")
    by = order(f"sigmirror {how.command}", how.reason)
    _tell(asyncio.run(published.change(change, by=by, now=now())), how)


def _tell(made: Next, how: _How) -> None:
    changed, notes = bool(made.changes), list(made.notes())
    if how.as_json:
        row = {
            "fragment": made.sequence, "changed": changed, "dry_run": how.dry_run,
            "differences": made.changes, "notes": notes,
        }  # fmt: skip
        print_json(row)
        return
    for line in (*made.changes, *(f"note: {note}" for note in notes)):
        click.echo(line)
    word = ("would be published" if how.dry_run else "published") if changed else "unchanged"
    click.echo(f"fragment {made.sequence}: {word}")


def _told(site: MirrorSite) -> dict[str, SettingsTold]:
    return {row.name: row.settings for row in heard_hosts(site) if row.settings}


def _lines(published: Fragment | None, told: dict[str, SettingsTold]) -> Iterator[str]:
    if published is None:
        yield "# nothing is set for hosts"
        return
    yield f"# fragment {published.sequence}, published {utc(published.published)}"
    using = sum(one.sequence == published.sequence for one in told.values())
    refused = sorted(name for name, one in told.items() if one.refused == published.sequence)
    yield f"# in force on {using} of {len(told)} hosts that told"
    if refused:
        yield f"# refused by {', '.join(refused)}"
    yield from fragments.to_toml(Sections.of(published))


def _show_host(
    published: Fragment | None, host: str, told: SettingsTold | None, *, as_json: bool
) -> None:
    says = published.addressed(host) if published else {}
    if as_json:
        row: dict[str, Any] = {"host": host, "fragment": published.sequence if published else 0}
        row |= {"says": says, "told": msgspec.to_builtins(told)}
        print_json(row)
        return
    click.echo(f"fragment {published.sequence if published else 0} says to {host}:")
    for key, value in sorted(says.items()):
        click.echo(f"  {key} = {fragments.shown(value)}")
    for line in said(told):
        click.echo(line)


def said(told: SettingsTold | None) -> Iterator[str]:
    """Say in words what a host told of the site's settings."""
    if told is None:
        yield "it told nothing of the site's settings"
        return
    yield f"in force there: fragment {told.sequence}" if told.sequence else "in force there: none"
    if told.trying:
        yield f"being tried there: fragment {told.trying}"
    if told.cause:
        yield f"refused there: fragment {told.refused or '(unreadable)'}: {told.cause}"
    yield from (f"left out there: {reason}" for reason in told.left_out)
