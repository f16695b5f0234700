"""`sigkeys status`: roles, keys, thresholds, days to expiry."""

import hashlib
from datetime import datetime, timedelta
from pathlib import Path

import click
import msgspec

from keys.cli.options import folder_argument, json_option, now
from keys.errors import StateError
from keys.model.instant import utc
from keys.signing.layout import Layout
from keys.signing.state import State

EXPIRING = 1


class RoleStatus(msgspec.Struct, frozen=True):
    """One role of the repository."""

    role: str
    version: int
    threshold: int
    keys: list[str]
    expires: datetime
    days_left: float


class Status(msgspec.Struct, frozen=True):
    """The repository's keys and roles; ``expiring`` names those asked for by ``--expiring``."""

    root_sha256: str
    roles: list[RoleStatus]
    expiring: list[str]


@click.command(epilog="Example: sigkeys status /var/lib/sigmirror --expiring 30")
@folder_argument
@click.option("--expiring", type=float, metavar="DAYS", help="Exit 1 when a role expires sooner.")
@json_option
def status(*, folder: Path, expiring: float | None, as_json: bool) -> int:
    """Show every role of the repository in FOLDER; needs no key and no passphrase.

    Exit codes: 0 fine, 1 a role expires within the days asked for, 3 the metadata is not signed
    as it must be.
    """
    layout, at = Layout(folder), now()
    found = read_status(layout, at, expiring=expiring)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
    else:
        _print(found)
    return EXPIRING if found.expiring else 0


def read_status(layout: Layout, at: datetime, *, expiring: float | None) -> Status:
    """Read and verify the repository's metadata.

    Raises:
        StateError, TrustError: there is none, or it is not signed as it must be.

    """
    state = State.verified(layout.read())
    roles = sorted((_role(state, role, at) for role in state), key=lambda role: role.expires)
    soon = [one.role for one in roles if expiring is not None and one.days_left < expiring]
    return Status(_root_sha256(layout), roles, soon)


def _role(state: State, role: str, at: datetime) -> RoleStatus:
    authorised = state.delegator(role).get_delegated_role(role)
    expires = state.expires(role)
    days = round((expires - at) / timedelta(days=1), 2)
    version = state.version(role)
    return RoleStatus(role, version, authorised.threshold, authorised.keyids, expires, days)


def _root_sha256(layout: Layout) -> str:
    """Tell the digest of the first root, by which hosts recognise this repository."""
    path = layout.metadata / "1.root.json"
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as exc:
        raise StateError(f"{path}: {exc.strerror or exc}") from exc


def _print(found: Status) -> None:
    click.echo(f"root sha256 {found.root_sha256}")
    for one in found.roles:
        left = f"{one.days_left:.1f} days left" if one.days_left > 0 else "EXPIRED"
        click.echo(
            f"{one.role}: version {one.version}, {one.threshold} of {len(one.keys)} keys, "
            f"expires {utc(one.expires)}, {left}"
        )
    if found.expiring:
        click.echo(f"expiring: {', '.join(found.expiring)}")
