"""What the commands share: passphrases, JSON, the clock."""

from datetime import UTC, datetime
from pathlib import Path

import click

PASSPHRASE_VARIABLE = "SIGMIRROR_PASSPHRASE"  # noqa: S105 - the name of a variable
OFFLINE_VARIABLE = "SIGMIRROR_OFFLINE_PASSPHRASE"

path = click.Path(path_type=Path)
file = click.Path(path_type=Path, dir_okay=False)

folder_argument = click.argument("folder", type=path)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
passphrase_option = click.option(
    "--passphrase-file",
    type=file,
    help=f"Holds the passphrase of the key files. [default: ${PASSPHRASE_VARIABLE}]",
)
offline_passphrase_option = click.option(
    "--offline-passphrase-file",
    type=file,
    help=f"Holds that of the offline keys. [default: ${OFFLINE_VARIABLE}, else the same]",
)
offline_option = click.option(
    "--offline", type=path, help="Where the offline keys lie. [default: FOLDER/keys/offline]"
)


def now() -> datetime:
    """Read the clock: once for each command."""
    return datetime.now(UTC)
