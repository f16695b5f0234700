"""`sigmirror gc`."""

import asyncio
from pathlib import Path

import click

from mirror.cli.options import config_option, json_option, now, open_site, print_json
from mirror.collect import Collected, collect, collect_quarantine
from mirror.site import MirrorSite


@click.command(epilog="Example: sigmirror gc --dry-run")
@config_option
@json_option
@click.option("--dry-run", is_flag=True, help="Tell what would go; remove nothing.")
def gc(*, config: Path, as_json: bool, dry_run: bool) -> None:
    """Remove objects that no release, track or recent timestamp needs any more."""
    collected = asyncio.run(_collect(open_site(config), dry_run=dry_run))
    if as_json:
        print_json(collected)
        return
    for one in collected:
        verb = "would remove" if dry_run else "removed"
        click.echo(
            f"{one.repository}: {verb} {len(one.names)} objects, {one.length} bytes; "
            f"{one.kept} kept"
        )


async def _collect(site: MirrorSite, *, dry_run: bool) -> list[Collected]:
    at, quarantine = now(), site.folder / "quarantine"
    collected = [
        await collect(site.store, site.repository(name), now=at, dry_run=dry_run)
        for name in site.repositories
    ]
    return [*collected, collect_quarantine(quarantine, now=at, dry_run=dry_run)]
