"""The command `sigupdate`.

A timer starts `sigupdate run` every few minutes on every host, and mostly for nothing: that one
command line is read by ``updater.cli.once``, all others by the library for command lines.
"""

import sys
from typing import NoReturn

from keys import ending


def main() -> NoReturn:
    """Run one command; the process ends with its documented exit code."""
    ending.run(lambda: _command(sys.argv[1:]))


def _command(words: list[str]) -> int:
    from updater.cli import once  # noqa: PLC0415 - `main` comes first: it sets how to load

    order = once.read(words)
    if order is not None:
        return once.run(order)
    from keys import console  # noqa: PLC0415 - start-up time: `run` does without
    from updater.cli.commands import sigupdate  # noqa: PLC0415 - as above

    return console.exit_code(sigupdate, program="sigupdate", arguments=words)
