"""Pools: one credential for hosts that come and go, such as the pods of a Deployment (pure).

A member reports as ``POOL~MEMBER``. It is no host of its own: it counts as long as it reports.
"""

from keys.model.report import MEMBER, MEMBER_SEPARATOR

SEPARATOR = MEMBER_SEPARATOR
MAX_MEMBERS = 10_000  # of one pool, at once


def pool_of(name: str) -> str:
    """Return the pool a reporting name belongs to; empty for a host."""
    pool, separator, _ = name.partition(SEPARATOR)
    return pool if separator else ""


def may_report_as(credential: str, name: str, *, is_pool: bool) -> bool:
    """Tell whether who holds a credential may report under a name."""
    if not is_pool:
        return name == credential
    pool, separator, member = name.partition(SEPARATOR)
    return bool(separator) and pool == credential and MEMBER.fullmatch(member) is not None
