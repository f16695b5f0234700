"""Root and targets between a mirror's store and a folder that offline keys are brought to.

The folder is laid out as a mirror's own, so that ``sigkeys renew`` and ``sigkeys status`` work on
it. What comes back is believed by the keys of the root in force, and by nothing else.
"""

from collections.abc import Iterator
from datetime import datetime

from keys import files
from keys.errors import ConflictError, ExpiredError, StateError, UsageError
from keys.signing.layout import MAX_METADATA_BYTES, Layout
from keys.signing.publisher import RoleFile
from keys.signing.state import ROOT, TARGETS, State
from keys.trust import roles
from keys.trust.tuf_api import Root
from mirror.edition import Order
from mirror.inventory import read_roles
from mirror.journal import Entry, Journal
from mirror.repository import InForce, StoredRepository


async def take_out(repository: StoredRepository, layout: Layout) -> State:
    """Write the metadata in force, and every root, into a folder; return what they say.

    Raises:
        UsageError: the folder holds another repository.
        Error: as of ``read_roles``.

    """
    state, found = await read_roles(repository)
    try:
        files.make_folder(layout.metadata)
        for file in found:
            _put(layout, file)
    except OSError as exc:
        raise StateError(f"{layout.metadata}: {exc.strerror or exc}") from exc
    return state


def _put(layout: Layout, file: RoleFile) -> None:
    path = layout.metadata / file.name
    if not path.exists():
        files.create(path, file.data)
    elif path.read_bytes() != file.data:
        raise UsageError(
            f"{path}: is of another repository, or was never brought back",
            hint="choose an empty folder",
        )


async def bring_back(
    repository: StoredRepository, layout: Layout, journal: Journal, *, by: Order, now: datetime
) -> dict[str, datetime]:
    """Put newer roots and targets of a folder in force; return when those that are new expire.

    A running mirror signs its online roles upon them by itself.

    Raises:
        TrustError: not signed by the keys of the root in force, or expired.
        HandedOverError, LockedError, StateError, StoreError: nothing was changed.

    """
    async with repository.writing():
        in_force = await repository.in_force()
        found = [*_roots(layout, in_force), *_targets(layout, in_force)]
        newest = {file.name.split(".")[1]: file.data for file in found}
        state = State.verified({**in_force.metadata, **newest})
        expires = {role: state.expires(role) for role in newest}
        for role, at in expires.items():
            if at <= now:
                raise ExpiredError(f"{role}: expired on {at:%Y-%m-%d}", hint="sign it anew")
        if newest:
            entry = Entry(now, by.who, "ceremony", 0, roles=tuple(newest), why=by.why)
            await journal.append(entry)
        try:
            await repository.commit(found)
        except ConflictError as exc:
            raise StateError(f"another ceremony was first: {exc}") from exc
    return expires


def _roots(layout: Layout, in_force: InForce) -> Iterator[RoleFile]:
    """Read the roots that follow the one in force, each vouched for by the one before."""
    trusted = roles.parse(in_force.metadata[ROOT], Root, "root in force").signed
    for version in range(in_force.taken[ROOT] + 1, layout.taken().get(ROOT, 0) + 1):
        file = _read(layout, f"{version}.{ROOT}.json")
        trusted = roles.next_root(file.data, trusted, file.name)
        yield file


def _targets(layout: Layout, in_force: InForce) -> Iterator[RoleFile]:
    newest = layout.taken().get(TARGETS, 0)
    if newest > in_force.taken[TARGETS]:
        yield _read(layout, f"{newest}.{TARGETS}.json")


def _read(layout: Layout, name: str) -> RoleFile:
    path, limit = layout.metadata / name, "MAX_METADATA_BYTES"
    data = files.read(path, max_bytes=MAX_METADATA_BYTES, limit=limit, error=StateError)
    return RoleFile(name, data)
