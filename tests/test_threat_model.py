"""The threat model names the test that shows each defence; each of them is there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs/threat-model.md"
_NAMED = re.compile(r"`(test_\w+)`")
_DEFENCE = re.compile(r"^\|(?! *attack|[- |]+$).*\|$", re.MULTILINE)


def _tests() -> Iterator[str]:
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node.name


def _attacks() -> list[str]:
    text = DOCUMENT.read_text().partition("## Attacks")[2].partition("## What we do not")[0]
    return _DEFENCE.findall(text)


def test_every_test_the_threat_model_names_exists() -> None:
    named = set(_NAMED.findall(DOCUMENT.read_text()))
    assert named
    assert named - set(_tests()) == set()


@pytest.mark.parametrize("row", _attacks(), ids=lambda row: row.split("|")[1].strip())
def test_every_attack_names_a_test(row: str) -> None:
    assert _NAMED.search(row)
