"""`sigupdate init`: settings for a new host, and the first root it trusts."""

import hashlib
from pathlib import Path

import click

from keys import files
from keys import settings as toml
from keys.errors import CredentialError, TrustError, UsageError
from keys.trust.limits import MetadataLimits
from keys.trust.repository import Repository
from updater.channels import check_names
from updater.cli.host import become, say
from updater.cli.options import config_option
from updater.fetch import Fetcher
from updater.install import on_disk
from updater.place import HostPlace
from updater.settings import RepositorySettings, Settings

_SKELETON = """\
# Settings of this scanner host. `sigupdate run` uses them.
mirrors = [{mirrors}]
state = "{state}"
{ca}{comment}credential_file = "{credential}"   # one line NAME:PASSWORD, mode 0600
# user = "sigupdate"                             # root becomes this user

[[repository]]
name = "{repository}"
root = "{root}"

# One [[engine]] for each scanner on this host:
# [[engine]]
# name = "clamd"
# kind = "clamd"                                 # clamd, yara or command
# socket = "/run/clamav/clamd.ctl"
# channels = ["clamav"]
# may_ignore = true                              # follow the site's list of false positives
"""

_place = click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path)


@click.command(
    epilog="Example: sigupdate init --mirror https://mirror.example:8480 --root-sha256 3fa1…"
)
@config_option
@click.option("--mirror", "mirrors", multiple=True, help="A mirror's address, in order of use.")
@click.option("--repository", default="site", show_default=True, help="Its name on the mirrors.")
@click.option("--state", default=Settings.state, help="Where the updater keeps its own things.")
@click.option(
    "--root",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The repository's root file, brought here by a way you trust.",
)
@click.option("--root-sha256", default="", help="Fetch 1.root.json and trust it if this is it.")
@click.option(
    "--credential-file", type=_place, help="What `sigmirror host add` wrote for this host."
)
@click.option("--ca-file", type=_place, help="The mirrors' own CA.")
def init(  # noqa: PLR0913 - one parameter for each option of the command line
    *,
    config: Path,
    mirrors: tuple[str, ...],
    repository: str,
    state: str,
    root: Path | None,
    root_sha256: str,
    credential_file: Path | None,
    ca_file: Path | None,
) -> None:
    """Write the settings, if there are none, and trust the repository's first root.

    Give the root as a file, or its sha256 as the mirror's operator tells it (`sigkeys init` and
    `sigkeys status` print it). Settings that are there already are not changed, and count.
    """
    if (root is None) == (not root_sha256):
        raise UsageError("give either --root FILE or --root-sha256 HEX")
    if config.exists():
        settings = toml.load(config, Settings)
        chosen = configured(settings, repository)
    else:
        place = config.absolute().with_name(f"{repository}-root.json")
        chosen = RepositorySettings(name=repository, root=str(place))
        settings = Settings(
            mirrors=mirrors,
            credential_file=str(credential_file or ""),
            state=state,
            ca_file=str(ca_file or ""),
            repository=(chosen,),
        )
    check_names(settings)
    if not settings.mirrors:
        raise UsageError("no mirror is known", hint="give one with --mirror")
    data = root.read_bytes() if root else fetched_root(settings, repository, root_sha256)
    keep(Path(chosen.root), data)
    if not config.exists():
        keep(config, skeleton(settings, chosen))
    become(settings.user)
    trust(settings, repository, data)
    say(f"repository {repository}: root {hashlib.sha256(data).hexdigest()} is trusted")
    say(f"settings: {config}; next: add an [[engine]], then `sigupdate run`")


def configured(settings: Settings, name: str) -> RepositorySettings:
    """Return the settings of a repository.

    Raises:
        UsageError: there is none of this name.

    """
    for found in settings.repository:
        if found.name == name:
            return found
    raise UsageError(f"the settings have no [[repository]] {name!r}")


def fetched_root(settings: Settings, repository: str, expected: str) -> bytes:
    """Fetch the first root and refuse any but the one the operator named.

    Raises:
        TrustError: it is another one.
        CredentialError: the mirror serves this only to whom it knows.
        FetchError: no mirror delivered.

    """
    with Fetcher.of(settings) as fetcher:
        source = fetcher.metadata(repository)
        try:
            data = source.read("1.root.json", max_bytes=MetadataLimits().max_root_bytes)
        except CredentialError as exc:
            if settings.credential_file:
                raise
            hint = "name this host's with --credential-file"
            raise CredentialError(str(exc), hint=hint) from exc
    found = hashlib.sha256(data).hexdigest()
    if found != expected.lower():
        raise TrustError(
            f"{repository}: the mirror's 1.root.json has the sha256 {found}, not {expected}",
            hint="ask the mirror's operator again; do not trust this root",
        )
    return data


def keep(path: Path, data: bytes) -> None:
    """Write a file, and the folders above it.

    Raises:
        StateError: the disk refuses.

    """
    with on_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, data)


def skeleton(settings: Settings, repository: RepositorySettings) -> bytes:
    """Write settings for a new host, with what is left to do as comments."""
    mirrors = ", ".join(f'"{mirror}"' for mirror in settings.mirrors)
    text = _SKELETON.format(
        mirrors=mirrors,
        state=settings.state,
        repository=repository.name,
        root=repository.root,
        ca=f'ca_file = "{settings.ca_file}"\n' if settings.ca_file else "",
        comment="" if settings.credential_file else "# ",
        credential=settings.credential_file or "/etc/sigmirror/host.cred",
    )
    toml.parse(text.encode(), Settings, "the settings to be written")
    return text.encode()


def trust(settings: Settings, name: str, root: bytes) -> None:
    """Begin to trust a repository by its first root.

    Raises:
        TrustError: no root, or not the one that is trusted already.

    """
    host = HostPlace.of(settings)
    host.prepare()
    folder = host.trust(name)
    Repository(name, folder / "metadata", folder / "clock.json").bootstrap(root)
