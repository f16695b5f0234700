"""What every command line shares: lazy sub-commands, times and texts that are typed.

How a command ends, ``keys.ending`` says.
"""

import importlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import click

from keys import ending
from keys.errors import UsageError

_SPAN = re.compile(r"([0-9]{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class LazyGroup(click.Group):
    """A group whose sub-commands are imported when they are called.

    ``lazy`` maps a command's name to ``module:attribute``.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, str], **options: Any) -> None:  # noqa: ANN401 - handed on to click
        super().__init__(*args, **options)
        self._lazy = dict(lazy)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the names, without importing a command."""
        return sorted({*self._lazy, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of this name."""
        place = self._lazy.get(cmd_name)
        if place is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = place.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command), place  # noqa: S101 - a mistake in the table
        return command


def run(
    command: click.Command, *, program: str, arguments: Sequence[str] | None = None
) -> NoReturn:
    """Run a command line and end the process with its exit code."""
    ending.run(lambda: exit_code(command, program=program, arguments=arguments))


def exit_code(
    command: click.Command, *, program: str, arguments: Sequence[str] | None = None
) -> int:
    """Run a command line, print what went wrong, and return the exit code."""

    def act() -> object:
        try:
            return command.main(args=arguments, prog_name=program, standalone_mode=False)
        except click.ClickException as exc:
            exc.show()
            return exc.exit_code
        except click.Abort as exc:
            raise KeyboardInterrupt from exc

    return ending.exit_code(act)


class Span(click.ParamType[timedelta]):
    """A length of time such as ``24h``."""

    name = "span"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Read a number and a unit."""
        if isinstance(value, timedelta):
            return value
        match = _SPAN.fullmatch(str(value))
        if match is None:
            self.fail(f"{value!r}: write a number and s, m, h or d, such as 24h", param, ctx)
        return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


def instant(text: str, *, hint: str = "write it as 2026-03-01T08:00:00Z") -> datetime:
    """Read the time that --at gives; it is in UTC unless it says.

    Raises:
        UsageError: it is none.

    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as exc:
        raise UsageError(f"--at {text!r}: not a time", hint=hint) from exc
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def text(value: str) -> str:
    """Return free text that is kept and listed, whatever was typed, on one line."""
    return " ".join(value.split())
