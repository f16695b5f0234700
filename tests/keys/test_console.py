import sys
from collections.abc import Callable

import click
import pytest

from keys import console, errors


def command(action: Callable[[], int | None]) -> click.Command:
    return click.Command("try", callback=action)


def failing(error: BaseException) -> click.Command:
    def fail() -> None:
        raise error

    return command(fail)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.StateError("x"), 1),
        (errors.UsageError("x"), 2),
        (errors.DigestError("x"), 3),
        (errors.CredentialError("x"), 4),
        (errors.EngineError("x"), 5),
        (errors.UnprovenError("x"), 6),
        (click.BadParameter("x"), 2),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: value if isinstance(value, int) else type(value).__name__,
)
def test_each_error_ends_with_its_exit_code(error: BaseException, code: int) -> None:
    assert console.exit_code(failing(error), program="try", arguments=[]) == code


def test_an_error_and_its_hint_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    error = errors.StoreError("disk is full", hint="free some space")
    console.exit_code(failing(error), program="try", arguments=[])
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == "error: disk is full\nhint: free some space\n"


def test_a_command_returns_its_own_exit_code() -> None:
    assert console.exit_code(command(lambda: 6), program="try", arguments=[]) == 6
    assert console.exit_code(command(lambda: None), program="try", arguments=[]) == 0


def test_run_ends_the_process() -> None:
    with pytest.raises(SystemExit) as ended:
        console.run(command(lambda: 4), program="try", arguments=[])
    assert ended.value.code == 4


def test_a_lazy_group_imports_a_command_only_when_it_is_called() -> None:
    group = console.LazyGroup("try", lazy={"play": "this_module_is_not_there:play"})
    assert group.list_commands(click.Context(group)) == ["play"]
    assert console.exit_code(group, program="try", arguments=["work"]) == 2
    with pytest.raises(ModuleNotFoundError):
        console.exit_code(group, program="try", arguments=["play"])
    assert "this_module_is_not_there" not in sys.modules


def test_help_ends_with_zero(capsys: pytest.CaptureFixture[str]) -> None:
    assert console.exit_code(command(lambda: 1), program="try", arguments=["--help"]) == 0
    assert "Usage: try" in capsys.readouterr().out
