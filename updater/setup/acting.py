"""Doing something with another user's rights, and coming back."""

import contextlib
import os
from collections.abc import Iterator

from updater.setup.layout import Account


def can_act_as(user: Account) -> bool:
    """Tell whether this process may take on a user's rights: root may, and the user himself."""
    return os.geteuid() in {0, user.uid}


@contextlib.contextmanager
def acting_as(user: Account) -> Iterator[None]:
    """Have a user's rights, his groups included, for the length of the block.

    The process must be single-threaded, as command lines are.
    """
    before = os.geteuid(), os.getegid(), os.getgroups()
    if before[0] == user.uid:
        yield
        return
    os.setgroups([user.gid, *user.groups])
    os.setegid(user.gid)
    os.seteuid(user.uid)
    try:
        yield
    finally:
        os.seteuid(before[0])
        os.setegid(before[1])
        os.setgroups(before[2])
