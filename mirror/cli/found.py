"""`sigmirror init`: a new mirror's settings, keys and repository."""

import asyncio
import secrets
from pathlib import Path

import click
from msgspec import structs

from keys import files
from keys.credentials import Secret, read_secret
from keys.errors import StateError, UsageError
from keys.signing.ceremony import Founding, Plan, compose, write, write_keys
from keys.signing.layout import SITE, Layout
from mirror.cli.options import config_option, now
from mirror.repository import StoredRepository
from mirror.settings import Settings, StoreSettings, problems
from mirror.storage import open_store

PASSPHRASE_BYTES = 24

_SETTINGS = """\
# Every key that is not here has a default; `sigmirror check-config` shows them all.
[store]
{store}

[signing]
passphrase_file = "{passphrase}"

[serve]
listen = "{listen}"
access = "{access}"
"""

_ADMITTING = {
    "hosts": "sigmirror host add NAME --out NAME.cred    for each scanner host",
    "licences": "sigmirror customer add USERNAME --licence FILE --password-file FILE --issuer "
    "ISSUER.pub    for each customer",
}


@click.command(epilog="Example: sigmirror init --folder /var/lib/sigmirror --access hosts")
@config_option
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default="/var/lib/sigmirror",
    show_default=True,
    help="Where the mirror keeps everything.",
)
@click.option("--store", default="", help="A bucket for the repository: s3://BUCKET/PREFIX.")
@click.option("--endpoint", default="", help="URL of the bucket's object store, if not Amazon's.")
@click.option("--region", default="", help="The bucket's region.")
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
    *, config: Path, folder: Path, store: str, endpoint: str, region: str, listen: str,
    access: str, passphrase_file: Path | None, offline: Path | None,
    offline_passphrase_file: Path | None, threshold: int, keys: int,
) -> None:  # fmt: skip
    """Make a mirror: settings, keys, and a repository that is signed and still empty."""
    if config.exists():
        raise UsageError(f"{config}: exists already; nothing was changed")
    folder, layout = folder.absolute(), Layout(folder.absolute())
    where = _where(folder, store, endpoint=endpoint, region=region)
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
        _write(founding, where, layout, offline=aside)
        config.parent.mkdir(parents=True, exist_ok=True)
        table = _table(where)
        text = _SETTINGS.format(store=table, passphrase=online, listen=listen, access=access)
        files.create(config, text.encode())
    except OSError as exc:
        raise StateError(f"{exc.filename or folder}: {exc.strerror or exc}") from exc
    _tell(config, where, aside, offline_secret, founding)
    _tell_next(aside, offline_secret, access)


def _where(folder: Path, url: str, *, endpoint: str, region: str) -> StoreSettings:
    """Describe the store.

    Raises:
        SettingsError: there is none like it.

    """
    store = StoreSettings(url=f"file://{folder}")
    if url or endpoint or region:
        store = StoreSettings(url=url, folder=str(folder), endpoint=endpoint, region=region)
    for problem in problems(Settings(store=store)):
        raise problem
    return store


def _table(where: StoreSettings) -> str:
    """Write the keys of the store that are not their defaults."""
    usual = structs.asdict(StoreSettings(url=""))
    written = structs.asdict(where).items()
    return "\n".join(f'{key} = "{value}"' for key, value in written if value != usual[key])


def _write(founding: Founding, where: StoreSettings, layout: Layout, *, offline: Path) -> None:
    if where.is_bucket:
        asyncio.run(_found_in_bucket(founding, where, layout, offline=offline))
    else:
        write(founding, layout, offline=offline)


async def _found_in_bucket(
    founding: Founding, where: StoreSettings, layout: Layout, *, offline: Path
) -> None:
    """Put keys on disk and the repository into a bucket that has none.

    Raises:
        UsageError: there are keys or a repository already; nothing was changed.

    """
    store = open_store(where)
    repository = StoredRepository(store, SITE)
    async with repository.writing():
        if await store.stat(f"r/{SITE}/metadata/1.root.json"):
            raise UsageError(f"{where.url}: holds a repository already; nothing was changed")
        write_keys(founding, layout, offline=offline)
        await repository.commit(founding.metadata)


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


def _tell(
    config: Path, where: StoreSettings, offline: Path, secret: Path, founding: Founding
) -> None:
    repository = f"{where.url.removeprefix('file://').rstrip('/')}/r/{SITE}"
    click.echo(f"settings      {config}")
    click.echo(f"repository    {repository}")
    click.echo(f"root          {repository}/metadata/1.root.json")
    click.echo(f"root sha256   {founding.root_sha256}")
    click.echo(f"offline keys  {offline} (passphrase: {secret})")


def _tell_next(offline: Path, secret: Path, access: str) -> None:
    click.echo("next:")
    click.echo(f"  move {offline} and {secret} to a safe place, away from this machine")
    click.echo("  add your [[upstream]] tables to the settings, then: sigmirror check-config")
    if access in _ADMITTING:
        click.echo(f"  {_ADMITTING[access]}")
    click.echo("  sigmirror run")
