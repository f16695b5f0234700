"""The command `sigmirror`."""

import click


@click.group()
@click.version_option(package_name="sigmirror")
def main() -> None:
    """Run one of the commands below; each has its own --help."""
