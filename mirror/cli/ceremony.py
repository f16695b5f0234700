"""`sigmirror ceremony`: a repository's root and targets to the offline keys, and back."""

import asyncio
from datetime import datetime
from pathlib import Path

import click

from keys.errors import UsageError
from keys.signing.layout import Layout
from keys.signing.state import ROOT, TARGETS
from mirror.ceremony import bring_back, take_out
from mirror.cli.options import (
    config_option,
    json_option,
    now,
    open_site,
    optional_reason_option,
    order,
    print_json,
)

folder_argument = click.argument("folder", type=click.Path(path_type=Path, file_okay=False))


@click.group()
def ceremony() -> None:
    """Sign root and targets anew where the offline keys are, wherever the repository lies.

    Once a year: `sigmirror ceremony export FOLDER`, then `sigkeys renew FOLDER` where the offline
    keys are, then `sigmirror ceremony import FOLDER`.
    """


@ceremony.command("export", epilog="Example: sigmirror ceremony export /media/stick/ceremony")
@config_option
@json_option
@folder_argument
def take(*, config: Path, as_json: bool, folder: Path) -> None:
    """Write the metadata in force into FOLDER, for `sigkeys renew` and `sigkeys status`."""
    state = asyncio.run(take_out(open_site(config).repository(), Layout(folder)))
    _tell({role: state.expires(role) for role in (ROOT, TARGETS)}, as_json=as_json)
    if not as_json:
        click.echo(f"next: sigkeys renew {folder} --offline FOLDER-OF-KEYS")


@ceremony.command("import", epilog="Example: sigmirror ceremony import /media/stick/ceremony")
@config_option
@json_option
@optional_reason_option
@folder_argument
def bring(*, config: Path, as_json: bool, reason: str, folder: Path) -> None:
    """Put what was signed in FOLDER in force: believed by the keys of the root before only.

    Exit codes: 0 done, 2 there is nothing newer in FOLDER, 3 it is not signed as it must be.
    """
    site, by = open_site(config), order("sigmirror ceremony import", reason)
    brought = bring_back(site.repository(), Layout(folder), site.journal, by=by, now=now())
    found = asyncio.run(brought)
    if not found:
        raise UsageError(
            f"{folder}: holds no newer root or targets than those in force",
            hint="`sigkeys renew` it first; a draft that lacks signatures is not enough",
        )
    _tell(found, as_json=as_json)


def _tell(expires: dict[str, datetime], *, as_json: bool) -> None:
    if as_json:
        print_json(expires)
        return
    for role, at in expires.items():
        click.echo(f"{role}: valid until {at:%Y-%m-%d}")
