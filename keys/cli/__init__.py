"""The command `sigkeys`: a table of commands, each imported when it is called."""

from typing import NoReturn

import click

from keys import console
from keys.console import LazyGroup

COMMANDS = {
    "init": "keys.cli.ceremony:init",
    "licence": "keys.cli.licence:licence",
    "minisign": "keys.cli.minisign:minisign",
    "renew": "keys.cli.ceremony:renew",
    "status": "keys.cli.status:status",
    "verify": "keys.cli.verify:verify",
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
@click.version_option(package_name="sigmirror")
def sigkeys() -> None:
    """Make and keep signing keys; issue and show licences; verify vendors' files."""


def main() -> NoReturn:
    """Run one command; the process ends with its documented exit code."""
    console.run(sigkeys, program="sigkeys")
