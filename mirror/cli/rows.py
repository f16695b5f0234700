"""Tables that commands print: one line for each row, or JSON."""

from datetime import datetime
from typing import Any

import click

from keys.model.instant import utc
from mirror.cli.options import print_json


def show(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """Print rows; the first value of each names it."""
    if as_json:
        print_json(rows)
        return
    for row in rows:
        shown = (f"{key}={_plain(value)}" for key, value in list(row.items())[1:] if value != "")
        click.echo(f"{next(iter(row.values()))}  " + "  ".join(shown))
    if not rows:
        click.echo("none")


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return utc(value)
    return "-" if value is None else str(value)
