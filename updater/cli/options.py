"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from updater.cli.host import CONFIG_VARIABLE, DEFAULT_CONFIG

F = TypeVar("F", bound=Callable[..., object])


def config_option(command: F) -> F:
    """Add ``--config`` to a command."""
    return click.option(
        "--config",
        default=DEFAULT_CONFIG,
        envvar=CONFIG_VARIABLE,
        show_default=True,
        show_envvar=True,
        type=click.Path(dir_okay=False, path_type=Path),
        help="The settings of this host.",
    )(command)


def json_option(command: F) -> F:
    """Add ``--json`` to a command."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)


def engine_option(command: F) -> F:
    """Add ``--engine`` to a command."""
    return click.option("--engine", default="", help="Only this engine of the settings.")(command)
