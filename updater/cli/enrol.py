"""`sigupdate enrol`: an invited host gets a credential of its own, and trusts the site's root."""

import hashlib
import os
import pwd
import secrets
import time
from pathlib import Path

import click

from keys import files
from keys import settings as toml
from keys.credentials import Credential, Secret, read_credential
from keys.errors import CredentialError, FetchError, StateError, TrustError, UsageError
from keys.invitation import ENROL_PATH, Enrolment, Invitation, read_invitation
from keys.model.release import encode
from updater.channels import check_names
from updater.cli.host import become, say
from updater.cli.init import configured, fetched_root, keep, skeleton, trust
from updater.cli.options import config_option
from updater.fetch import Fetcher, Way
from updater.fetch.connection import check_mirror
from updater.install import on_disk
from updater.settings import RepositorySettings, Settings

TOKEN_BYTES = 32
MAX_ROOT_BYTES = 8 << 20
MAX_TRIES = 20
MAX_WAIT_SECONDS = 30.0
UNDER_WAY = ".enrolling"  # beside the credential file


@click.command(
    epilog="Example: sigupdate enrol --mirror https://mirror.example:8480 --token-file invitation"
)
@config_option
@click.option("--mirror", "mirrors", multiple=True, help="A mirror's address, in order of use.")
@click.option("--token-file", required=True, type=click.Path(dir_okay=False, path_type=Path),
              help="The invitation: the line that `sigmirror host invite` printed.")  # fmt: skip
@click.option("--repository", default="site", show_default=True, help="Its name on the mirrors.")
@click.option("--state", default=Settings.state, help="Where the updater keeps its own things.")
@click.option("--ca-file", default="", help="A CA of your own.")
def enrol(
    *,
    config: Path,
    mirrors: tuple[str, ...],
    token_file: Path,
    repository: str,
    state: str,
    ca_file: str,
) -> None:
    """Use an invitation: write this host's credential, and trust the root the invitation names.

    Settings are written where there are none. A command that was interrupted, or heard no answer,
    is run again with the same invitation.
    """
    invitation = read_invitation(token_file)
    is_new = not config.exists()
    if is_new:
        settings = _fresh(config.absolute(), mirrors, repository, state, ca_file)
    else:
        settings = toml.load(config, Settings)
    check_names(settings)
    chosen, place = configured(settings, repository), _credential_place(settings)
    _check_trusted(Path(chosen.root), invitation)
    _admit(settings, invitation, place)
    root = fetched_root(settings, repository, invitation.root_sha256)
    keep(Path(chosen.root), root)
    if is_new:
        keep(config, skeleton(settings, chosen))
    with on_disk(place):
        _under_way(place).unlink()
    become(settings.user)
    trust(settings, repository, root)
    say(f"host {invitation.name} is enrolled; its credential: {place}")
    say(f"repository {repository}: root {invitation.root_sha256} is trusted")


def _fresh(
    config: Path, mirrors: tuple[str, ...], repository: str, state: str, ca_file: str
) -> Settings:
    if not mirrors:
        raise UsageError("no mirror is known", hint="give one with --mirror")
    return Settings(
        mirrors=mirrors,
        state=state,
        ca_file=ca_file,
        credential_file=str(config.with_name("host.cred")),
        repository=(
            RepositorySettings(
                name=repository, root=str(config.with_name(f"{repository}-root.json"))
            ),
        ),
    )


def _credential_place(settings: Settings) -> Path:
    if not settings.credential_file:
        raise UsageError("credential_file: missing", hint="name it in the settings first")
    place = Path(settings.credential_file)
    if place.exists() and not _under_way(place).exists():
        raise UsageError(
            f"{place}: this host has a credential", hint="remove the file to enrol it anew"
        )
    return place


def _under_way(place: Path) -> Path:
    """Name the file that is there from the first step of an enrolment to its last."""
    return place.with_name(place.name + UNDER_WAY)


def _check_trusted(root: Path, invitation: Invitation) -> None:
    """Refuse an invitation of another mirror than the one this host trusts already."""
    if not root.exists():
        return
    data = files.read(root, max_bytes=MAX_ROOT_BYTES, limit="MAX_ROOT_BYTES", error=StateError)
    if hashlib.sha256(data).hexdigest() != invitation.root_sha256:
        raise TrustError(f"{root}: not the root that the invitation names")


def _admit(settings: Settings, invitation: Invitation, place: Path) -> None:
    """Make a credential, let the mirror admit it, and put it in its place."""
    waiting = _under_way(place)
    credential = _prepared(waiting, invitation.name)
    secret = credential.password.reveal()
    digest = hashlib.sha256(secret.encode()).hexdigest()
    body = encode(Enrolment(invitation.name, invitation.token.reveal(), digest))
    way = Way(ca_file=settings.ca_file, proxy=settings.proxy, limits=settings.limits)
    for mirror in settings.mirrors:
        check_mirror(mirror, Way(credential=credential))
    with Fetcher(settings.mirrors, way) as fetcher:
        status = _asked(fetcher, body)
    _check_answer(status, invitation.name)
    with on_disk(place):
        files.write(place, f"{credential.username}:{secret}\n".encode(), mode=0o600)
        _hand_to(place, settings.user)


def _asked(fetcher: Fetcher, body: bytes) -> int:
    """Ask to be admitted; wait while the mirror has too many to admit."""
    status, wait, _ = fetcher.post(ENROL_PATH, body)
    for _ in range(MAX_TRIES):
        if status != 429:
            break
        time.sleep(min(max(wait, 1.0), MAX_WAIT_SECONDS))
        status, wait, _ = fetcher.post(ENROL_PATH, body)
    return status


def _prepared(waiting: Path, name: str) -> Credential:
    """Return the credential of an enrolment that was begun, or make one; it is on disk then."""
    if waiting.exists():
        begun = read_credential(waiting)
        if begun.username == name:
            return begun
    made = Credential(name, Secret(secrets.token_urlsafe(TOKEN_BYTES)))
    with on_disk(waiting):
        waiting.parent.mkdir(parents=True, exist_ok=True)
        files.write(waiting, f"{name}:{made.password.reveal()}\n".encode(), mode=0o600)
    return made


def _check_answer(status: int, name: str) -> None:
    if status == 200:
        return
    if status == 401:
        raise CredentialError(
            f"host {name}: the mirror refuses the invitation: unknown, used or ended",
            hint="ask for a new one: `sigmirror host invite`; its log says why",
        )
    if status in {404, 405}:
        raise CredentialError(f"host {name}: the mirror enrols no hosts")
    raise FetchError(f"host {name}: the mirror answered HTTP {status}")


def _hand_to(path: Path, user: str) -> None:
    if user and os.geteuid() == 0:
        try:
            entry = pwd.getpwnam(user)
        except KeyError as exc:
            raise UsageError(f"user: {user!r}: no such user on this host") from exc
        os.chown(path, entry.pw_uid, entry.pw_gid)
