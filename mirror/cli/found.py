"""`sigmirror init`: a new mirror's settings, keys and repository."""

import secrets
from pathlib import Path

import click

from keys import files
from keys.credentials import Secret, read_secret
from keys.errors import StateError, UsageError
from keys.signing.ceremony import Founding, Plan, compose, write
from keys.signing.layout import Layout
from mirror.cli.options import config_option, now

PASSPHRASE_BYTES = 24

_SETTINGS = """\
# Every key that is not here has a default; `sigmirror check-config` shows them all.
[store]
url = "file://{folder}"

[signing]
passphrase_file = "{passphrase}"

[serve]
listen = "{listen}"
access = "{access}"
"""


@click.command(epilog="Example: sigmirror init --folder /var/lib/sigmirror --access hosts")
@config_option
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default="/var/lib/sigmirror",
    show_default=True,
    help="Where the mirror keeps everything.",
)
@click.option("--listen", default="127.0.0.1:8480", show_default=True)
@click.option(
    "--access",
    type=click.Choice(["open", "hosts", "licences"]),
    default="hosts",
    show_default=True,
    help="Who may fetch: everybody, your hosts, or your customers.",
)
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Passphrase of the online keys; made when it does not exist. "
    "[default: `passphrase` beside the settings]",
)
@click.option(
    "--offline",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the offline keys go. [default: keys/offline in the folder]",
)
@click.option(
    "--offline-passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Passphrase of the offline keys; made when it does not exist. "
    "[default: the offline folder's name with .passphrase]",
)
@click.option("--threshold", default=2, show_default=True, help="Root keys that must sign.")
@click.option("--keys", default=3, show_default=True, help="Root keys there are.")
def init(  # noqa: PLR0913 - a command's options
    *, config: Path, folder: Path, listen: str, access: str, passphrase_file: Path | None,
    offline: Path | None, offline_passphrase_file: Path | None, threshold: int, keys: int,
) -> None:  # fmt: skip
    """Make a mirror: settings, keys, and a repository that is signed and still empty."""
    if config.exists():
        raise UsageError(f"{config}: exists already; nothing was changed")
    folder, layout = folder.absolute(), Layout(folder.absolute())
    online = (passphrase_file or config.parent / "passphrase").absolute()
    aside = (offline or layout.offline).absolute()
    offline_secret = offline_passphrase_file or aside.with_name(f"{aside.name}.passphrase")
    founding = compose(
        Plan(root_threshold=threshold, root_keys=keys),
        offline_passphrase=_secret(offline_secret),
        online_passphrase=_secret(online),
        now=now(),
    )
    try:
        write(founding, layout, offline=aside)
        config.parent.mkdir(parents=True, exist_ok=True)
        text = _SETTINGS.format(folder=folder, passphrase=online, listen=listen, access=access)
        files.create(config, text.encode())
    except OSError as exc:
        raise StateError(f"{exc.filename or folder}: {exc.strerror or exc}") from exc
    _tell(config, layout, aside, offline_secret, founding)


def _secret(path: Path) -> Secret:
    """Read a passphrase; make one where there is no file."""
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            text = secrets.token_urlsafe(PASSPHRASE_BYTES)
            files.create(path, text.encode() + b"\n", mode=0o600)
        except OSError as exc:
            raise StateError(f"{path}: {exc.strerror or exc}") from exc
    return read_secret(path)


def _tell(config: Path, layout: Layout, offline: Path, secret: Path, founding: Founding) -> None:
    click.echo(f"settings      {config}")
    click.echo(f"repository    {layout.repository}")
    click.echo(f"root          {layout.metadata / '1.root.json'}")
    click.echo(f"root sha256   {founding.root_sha256}")
    click.echo(f"offline keys  {offline} (passphrase: {secret})")
    click.echo("next:")
    click.echo(f"  move {offline} and {secret} to a safe place, away from this machine")
    click.echo("  add your [[upstream]] tables to the settings, then: sigmirror check-config")
    click.echo("  sigmirror host add NAME --out NAME.cred    for each scanner host")
    click.echo("  sigmirror run")
