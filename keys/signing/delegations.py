"""Which target paths each delegated role may speak for.

``*`` in a TUF path pattern never crosses ``/``, so every depth has its own pattern.
"""

from collections.abc import Iterable

from keys.model.names import MAX_DEPTH
from keys.trust.tuf_api import DelegatedRole, Delegations, Key

CHANNELS = "channels"
POLICY = "policy"
_TOP_DEPTH = MAX_DEPTH + 2  # <channel>/files/ and a file's own folders


def files_role(channel: str) -> str:
    """Name the role that lists the files of a channel's stable release."""
    return f"{channel}-files"


def everything() -> list[str]:
    """List the patterns of the role ``channels``: every path of a repository."""
    return ["/".join("*" * depth) for depth in range(1, _TOP_DEPTH + 1)]


def patterns(role: str) -> list[str]:
    """List the patterns of a role that ``channels`` delegates to."""
    if role == POLICY:
        return ["policy/*", "policy/*/*"]
    channel = role.removesuffix("-files")
    if role == channel:
        return [f"{channel}/releases/*", f"{channel}/tracks/*"]
    return [f"{channel}/files/" + "/".join("*" * depth) for depth in range(1, MAX_DEPTH + 1)]


def delegate(role: str, key: Key, paths: list[str]) -> DelegatedRole:
    """Delegate paths to a role signed by one key; the search for a target ends there."""
    return DelegatedRole(role, [key.keyid], 1, terminating=True, paths=paths)


def extend(delegations: Delegations | None, added: Iterable[tuple[str, Key]]) -> Delegations:
    """Return delegations with more roles, each with the paths of its name."""
    keys = dict(delegations.keys) if delegations else {}
    roles = dict((delegations.roles if delegations else None) or {})
    for role, key in added:
        keys[key.keyid] = key
        roles[role] = delegate(role, key, patterns(role))
    return Delegations(keys, roles)
