"""Commands that wait for their turn with an upstream."""

import time
from collections.abc import Callable
from typing import TypeVar

import click

from keys.errors import LockedError

LOCK_LOOK_SECONDS = 0.1

T = TypeVar("T")

wait_option = click.option(
    "--wait",
    type=click.FloatRange(0, 86400),
    default=60.0,
    show_default=True,
    help="Seconds to wait for another pull of the same upstream to end.",
)


def in_turn(work: Callable[[], T], *, wait: float) -> T:
    """Do some work after whoever holds the lock it needs.

    Raises:
        LockedError: the other one did not end in time.

    """
    end = time.monotonic() + wait
    while True:
        try:
            return work()
        except LockedError:
            if time.monotonic() >= end:
                raise
            time.sleep(LOCK_LOOK_SECONDS)
