"""README and docs name only commands, options and settings there are."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import msgspec
import pytest

from keys import settings as toml
from keys.cli import sigkeys
from keys.settings import Table
from mirror.cli import sigmirror
from mirror.settings import Settings as MirrorSettings
from updater.cli.commands import sigupdate
from updater.settings import Settings as HostSettings

PROJECT = Path(__file__).parent.parent
OPERATIONS = PROJECT / "docs/operations.md"
DOCUMENTS = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
PROGRAMS: dict[str, click.Command] = {
    "sigmirror": sigmirror,
    "sigupdate": sigupdate,
    "sigkeys": sigkeys,
}
_SPAN = re.compile(r"^```[a-z]*\n(.*?)^```$|`([^`\n]+)`", re.MULTILINE | re.DOTALL)
_CALL = re.compile(r"(?:^|\s)(?P<program>sig(?:mirror|update|keys))(?P<rest>(?: [^\s|#&;]+)+)")


def _calls(text: str) -> Iterator[tuple[str, list[str]]]:
    """List each program called in code, with the words after it on its line."""
    for block, span in _SPAN.findall(text):
        for line in (block or span).splitlines():
            for call in _CALL.finditer(line):
                yield call["program"], call["rest"].split()


def _command(program: str, words: list[str]) -> click.Command:
    command, rest = PROGRAMS[program], list(words)
    while isinstance(command, click.Group) and rest:
        if not re.fullmatch(r"[a-z][a-z-]*", rest[0]):
            break
        found = command.get_command(click.Context(command), rest[0])
        assert found is not None, f"{program} {' '.join(words)}: no command {rest[0]!r}"
        command, rest = found, rest[1:]
    return command


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_and_long_option_named_exists(document: Path) -> None:
    for program, words in _calls(document.read_text()):
        command = _command(program, words)
        known = {name for one in command.params for name in one.opts} | {"--help", "--version"}
        named = {word.rstrip(".,:") for word in words if re.match(r"--[a-z]", word)}
        assert named <= known, f"{program} {' '.join(words)}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_toml_block_is_settings(document: Path) -> None:
    for block in re.findall(
        r"^```toml\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL
    ):
        _parse(block, document.name)


def test_the_packaged_examples_are_settings() -> None:
    for name in ("sigmirror.toml", "sigupdate.toml"):
        _parse((PROJECT / "packaging" / name).read_text(), name)


def _parse(text: str, what: str) -> None:
    kind = HostSettings if "mirrors" in toml.parse_raw(text.encode(), what) else MirrorSettings
    toml.parse(text.encode(), kind, what)


@pytest.mark.parametrize(
    ("kind", "title"),
    [(MirrorSettings, "Settings: sigmirror.toml"), (HostSettings, "settings: sigupdate.toml")],
)
def test_the_operators_tables_hold_exactly_the_settings_there_are(
    kind: type[Table], title: str
) -> None:
    section = OPERATIONS.read_text().partition(title)[2].partition("\n## ")[0]
    told = re.findall(r"^\| `([a-z_.]+)` \| (?:`(.*?)`|none|needed) \|", section, re.MULTILINE)
    assert sorted(told) == sorted(_keys(kind))


def _keys(kind: type[Table], prefix: str = "") -> Iterator[tuple[str, str]]:
    """List each setting and its default as the tables write it."""
    for field in msgspec.structs.fields(kind):
        path = f"{prefix}{field.name}"
        below = next((one for one in (field.type, *get_args(field.type)) if _is_table(one)), None)
        if below is not None and field.default is not None:
            yield from _keys(below, f"{path}.")
        elif field.default in (msgspec.NODEFAULT, None, "", ()):
            yield path, ""
        else:
            yield path, msgspec.json.format(msgspec.json.encode(field.default), indent=0).decode()


def _is_table(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Table)
