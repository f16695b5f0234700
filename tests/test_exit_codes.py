"""The operator's table of exit codes is about the commands there are."""

import re
from pathlib import Path

import pytest

from keys.cli import COMMANDS as SIGKEYS
from keys.errors import Error
from mirror.cli import COMMANDS as SIGMIRROR
from updater.cli.commands import COMMANDS as SIGUPDATE

OPERATIONS = Path(__file__).parent.parent / "docs/operations.md"


@pytest.fixture(scope="module")
def section() -> str:
    return OPERATIONS.read_text().partition("## Exit codes")[2].partition("\n## ")[0]


@pytest.mark.parametrize(
    ("program", "commands"),
    [("sigkeys", SIGKEYS), ("sigmirror", SIGMIRROR), ("sigupdate", SIGUPDATE)],
)
def test_every_command_stands_in_the_table_of_exit_codes(
    section: str, program: str, commands: dict[str, str]
) -> None:
    told = set(re.findall(rf"`{program} ([a-z-]+)`", section.partition("### Per command")[2]))
    assert told == commands.keys()


def test_every_exit_code_of_an_error_is_explained(section: str) -> None:
    explained = {int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)}
    assert {kind.exit_code for kind in _kinds(Error)} <= explained


def _kinds(kind: type[Error]) -> set[type[Error]]:
    return {kind}.union(*(_kinds(below) for below in kind.__subclasses__()))
