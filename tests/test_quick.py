"""The quick tests leave out what there is, and nothing that has gone."""

import ast
from pathlib import Path

import pytest

from tests import slow

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", sorted(slow.MODULES))
def test_a_module_that_is_left_out_exists(name: str) -> None:
    assert (ROOT / name).is_file()


@pytest.mark.parametrize("name", sorted(slow.TESTS))
def test_a_test_that_is_left_out_exists(name: str) -> None:
    module, *_, function = name.split("::")
    assert module not in slow.MODULES
    tree = ast.walk(ast.parse((ROOT / module).read_bytes()))
    found = (node for node in tree if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    assert function in {node.name for node in found}


def test_parameters_do_not_matter() -> None:
    name = min(slow.TESTS)
    assert slow.is_slow(f"{name}[a::b-[c]]")
    assert not slow.is_slow("tests/test_quick.py::test_parameters_do_not_matter")
