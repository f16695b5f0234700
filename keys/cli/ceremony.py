"""`sigkeys init` and `sigkeys renew`: the ceremonies of the offline keys."""

import os
from datetime import datetime, timedelta
from pathlib import Path

import click

from keys import files
from keys.cli.options import (
    OFFLINE_VARIABLE,
    PASSPHRASE_VARIABLE,
    file,
    folder_argument,
    now,
    offline_option,
    offline_passphrase_option,
    passphrase_option,
)
from keys.credentials import Secret, passphrase
from keys.errors import StateError, UsageError
from keys.signing.ceremony import Plan, compose, write
from keys.signing.keyring import existing_key, open_ring
from keys.signing.layout import MAX_METADATA_BYTES, Layout
from keys.signing.minisign import PUBLIC_FILE
from keys.signing.renewal import (
    OFFLINE_ROLES,
    Draft,
    countersign,
    draft_renewal,
    encode_metadata,
    read_draft,
)
from keys.signing.state import State
from keys.trust.tuf_api import Signer


class RoleDays(click.ParamType[tuple[str, timedelta]]):
    """A role's validity, written ``ROLE=DAYS``."""

    name = "role=days"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, timedelta]:
        """Read a role and a number of days."""
        role, _, days = str(value).partition("=")
        if not role or not days.isdecimal() or not 0 < int(days) <= 3650:
            self.fail(f"{value!r}: write a role and 1 to 3650 days, such as root=365", param, ctx)
        return role, timedelta(days=int(days))


@click.command(epilog="Example: sigkeys init /var/lib/sigmirror --threshold 2 --keys 3")
@folder_argument
@click.option("--threshold", default=2, show_default=True, help="Root keys that must sign.")
@click.option("--keys", default=3, show_default=True, help="Root keys to make.")
@click.option("--targets-threshold", default=1, show_default=True, help="The same for targets.")
@click.option("--targets-keys", default=1, show_default=True, help="The same for targets.")
@click.option("--separate-online-keys", is_flag=True, help="One key for each online role.")
@click.option("--online-key", help="Use this key for the online roles: a signer URI.")
@click.option("--online-public", type=file, help="The public half of --online-key (PEM).")
@click.option("--expiry", type=RoleDays(), multiple=True, help="A role's validity: ROLE=DAYS.")
@offline_option
@passphrase_option
@offline_passphrase_option
def init(  # noqa: PLR0913 - one parameter for each option of the command line
    *, folder: Path, threshold: int, keys: int, targets_threshold: int, targets_keys: int,
    separate_online_keys: bool, online_key: str | None, online_public: Path | None,
    expiry: tuple[tuple[str, timedelta], ...], offline: Path | None,
    passphrase_file: Path | None, offline_passphrase_file: Path | None,
) -> None:  # fmt: skip
    """Found the repository of the mirror whose folder is FOLDER, with new keys.

    Nothing that exists is overwritten. With --online-key the mirror signs with a key that exists
    already, such as awskms:alias/sigmirror; the offline keys are made as ever.
    """
    online = passphrase(passphrase_file, PASSPHRASE_VARIABLE)
    plan = Plan(
        threshold,
        keys,
        targets_threshold,
        targets_keys,
        separate_online_keys,
        existing_key(online_key, online_public),
        dict(expiry),
    )
    founding = compose(
        plan,
        offline_passphrase=_offline_passphrase(offline_passphrase_file, online),
        online_passphrase=online,
        now=now(),
    )
    layout = Layout(folder)
    write(founding, layout, offline=offline)
    click.echo(f"repository  {layout.repository}")
    click.echo(f"root sha256 {founding.root_sha256}")
    if public := founding.online.get(PUBLIC_FILE):
        click.echo(f"minisign    {public.decode().splitlines()[1]}")
    click.echo(f"next: move {offline or layout.offline} to a safe place, away from this machine")
    click.echo(f"next: hosts: sigupdate init --mirror URL --root-sha256 {founding.root_sha256}")
    click.echo(f"next: before a role expires: sigkeys renew {folder} --offline FOLDER-OF-KEYS")


def _offline_passphrase(file: Path | None, fallback: Secret) -> Secret:
    given = file is not None or OFFLINE_VARIABLE in os.environ
    return passphrase(file, OFFLINE_VARIABLE) if given else fallback


@click.command(epilog="Example: sigkeys renew /var/lib/sigmirror --offline /media/stick/offline")
@folder_argument
@click.argument("roles", nargs=-1, type=click.Choice(OFFLINE_ROLES))
@click.option("--days", type=click.IntRange(1, 3650), default=365, show_default=True)
@offline_option
@passphrase_option
def renew(
    *, folder: Path, roles: tuple[str, ...], days: int, offline: Path | None,
    passphrase_file: Path | None,
) -> None:  # fmt: skip
    """Sign root and targets (or the ROLES named) anew with the offline keys at hand.

    With fewer keys than the threshold a draft is kept in FOLDER/keys/drafts; the next holder runs
    the same command with his keys. A running mirror takes up what is complete by itself.
    """
    layout, secret = Layout(folder), passphrase(passphrase_file, PASSPHRASE_VARIABLE)
    layout.check_in_charge()
    state, taken = State.verified(layout.read()), layout.taken()
    signers = list(open_ring(offline or layout.offline, secret).values())
    expires = now() + timedelta(days=days)
    wanted = roles or tuple(role for role in OFFLINE_ROLES if _may_sign(state, role, signers))
    if not wanted:
        raise UsageError("none of the keys at hand may sign root or targets")
    for role in wanted:
        click.echo(_renew(layout, state, role, taken[role] + 1, expires, signers))


def _may_sign(state: State, role: str, signers: list[Signer]) -> bool:
    authorised = state.delegator(role).get_delegated_role(role).keyids
    return any(signer.public_key.keyid in authorised for signer in signers)


def _renew(
    layout: Layout, state: State, role: str, version: int, expires: datetime, signers: list[Signer]
) -> str:
    draft_path = layout.drafts / f"{version}.{role}.json"
    draft = _draft(draft_path, state, role, version, expires)
    missing = countersign(draft, state, role, signers)
    data = encode_metadata(draft)
    try:
        if missing:
            layout.drafts.mkdir(mode=0o700, exist_ok=True)
            files.write(draft_path, data)
            return f"{role}: version {version} lacks {missing} more signatures: {draft_path}"
        files.create(layout.metadata / draft_path.name, data)
        draft_path.unlink(missing_ok=True)
    except OSError as exc:
        raise StateError(f"{role}: {exc.strerror or exc}") from exc
    return f"{role}: version {version} is valid until {draft.signed.expires:%Y-%m-%d}"


def _draft(path: Path, state: State, role: str, version: int, expires: datetime) -> Draft:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_METADATA_BYTES)
    except FileNotFoundError:
        return draft_renewal(state, role, version=version, expires=expires)
    except OSError as exc:
        raise StateError(f"{path}: {exc.strerror or exc}") from exc
    return read_draft(data, state, role, version=version, latest=expires)
