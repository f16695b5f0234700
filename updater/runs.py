"""The runs one call makes: one, a second where the site's settings changed, a third without them.

A fragment that the first run brings is tried at once; where that run ends worse than the one before
it, the next one goes without the fragment, and the two are compared.
"""

from collections.abc import Callable

import msgspec

from updater.report import RunReport
from updater.update import Update

MAX_RUNS = 5


class Ended(msgspec.Struct, frozen=True):
    """How the last run ended, and the tasks that the mirror handed out when it was told."""

    report: RunReport
    handed: tuple[bytes, ...] = ()


def run(open_run: Callable[[], Update], note: Callable[[str], None] = lambda _: None) -> Ended:
    """Run until nothing is left to be tried; return how the last run ended.

    ``note`` is told of fragments that were set aside.

    Raises:
        Error: as of ``open_run`` and ``Update.run``.

    """
    for _ in range(MAX_RUNS - 1):
        update = open_run()
        report = update.run()
        for text in update.notes:
            note(text)
        if update.is_last:
            return Ended(report, update.handed)
    return Ended(open_run().run())
