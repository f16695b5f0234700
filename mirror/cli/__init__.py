"""The command `sigmirror`: a table of commands, each imported when it is called."""

from typing import NoReturn

import click

from keys import console
from keys.console import LazyGroup

COMMANDS = {
    "ceremony": "mirror.cli.ceremony:ceremony",
    "check-config": "mirror.cli.serve:check_config",
    "config": "mirror.cli.config:fleet_config",
    "copy": "mirror.cli.move:copy",
    "customer": "mirror.cli.customer:customer",
    "explain": "mirror.cli.explain:explain",
    "gc": "mirror.cli.gc:gc",
    "history": "mirror.cli.hosts:history",
    "hold": "mirror.cli.hold:hold",
    "host": "mirror.cli.host:host",
    "hosts": "mirror.cli.hosts:hosts",
    "ignore": "mirror.cli.ignore:ignore",
    "init": "mirror.cli.found:init",
    "licence": "mirror.cli.licence:licence",
    "notify": "mirror.cli.notify:notify",
    "pin": "mirror.cli.tracks:pin",
    "point": "mirror.cli.publish:point",
    "presets": "mirror.cli.presets:presets",
    "probe": "mirror.cli.pull:probe",
    "promote": "mirror.cli.tracks:promote",
    "publish": "mirror.cli.publish:publish",
    "pull": "mirror.cli.pull:pull",
    "resume": "mirror.cli.tracks:resume",
    "run": "mirror.cli.serve:run",
    "serve": "mirror.cli.serve:serve",
    "status": "mirror.cli.status:status",
    "task": "mirror.cli.task:task",
    "unpin": "mirror.cli.tracks:unpin",
    "unseal": "mirror.cli.move:unseal",
    "verify-log": "mirror.cli.hosts:verify_log",
    "withdraw": "mirror.cli.tracks:withdraw",
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
@click.version_option(package_name="sigmirror")
def sigmirror() -> None:
    """Pull definitions from vendors, prove them, sign them, serve them."""


def main() -> NoReturn:
    """Run one command; the process ends with its documented exit code."""
    console.run(sigmirror, program="sigmirror")
