"""A table of commands, each imported when it is called."""

import click

from keys.console import LazyGroup

COMMANDS = {
    "check": "updater.cli.inspect:check",
    "check-config": "updater.cli.config:check_config",
    "daemon": "updater.cli.run:daemon",
    "enrol": "updater.cli.enrol:enrol",
    "history": "updater.cli.inspect:history",
    "init": "updater.cli.init:init",
    "prove": "updater.cli.engine:prove",
    "quarantine": "updater.cli.engine:quarantine",
    "report": "updater.cli.run:report",
    "rollback": "updater.cli.engine:rollback",
    "run": "updater.cli.run:run",
    "status": "updater.cli.inspect:status",
    "verify": "updater.cli.inspect:verify",
    "check-host": "updater.cli.setup:check_host",
    "setup": "updater.cli.setup:setup",
    "tuf": "updater.cli.tuf:tuf",
    "yara-scanner": "updater.cli.scanner:yara_scanner",
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
@click.version_option(package_name="sigmirror")
def sigupdate() -> None:
    """Install definitions on a scanner host and prove that the engine runs them."""
