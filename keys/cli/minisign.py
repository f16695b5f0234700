"""`sigkeys minisign`: the key that signs the plain files a mirror serves."""

from pathlib import Path

import click

from keys.cli.options import PASSPHRASE_VARIABLE, folder_argument, passphrase_option
from keys.credentials import passphrase
from keys.signing.layout import Layout
from keys.signing.minisign import PUBLIC_FILE, make_sidecar_signer


@click.command(epilog="Example: sigkeys minisign /var/lib/sigmirror")
@folder_argument
@passphrase_option
def minisign(*, folder: Path, passphrase_file: Path | None) -> None:
    """Print the minisign public key of the mirror whose folder is FOLDER.

    `sigkeys init` makes the key; for a mirror founded before there was one, this command does.
    Clients check a plain file with `minisign -V -P KEY -m FILE`.
    """
    online = Layout(folder).online
    signer = make_sidecar_signer(online, passphrase(passphrase_file, PASSPHRASE_VARIABLE))
    click.echo(f"key id      {signer.key_id}")
    click.echo(f"public key  {signer.public_line}")
    click.echo(f"public file {online / PUBLIC_FILE}")
