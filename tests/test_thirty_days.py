"""docs/thirty-days.md says what happens: every command in it is run, and every output compared."""

import time

import pytest

from tests.walk.script import File, Later, Step, masked, read
from tests.walk.stage import DOCUMENT, Stage, staged

READING = ("sigmirror status", "sigmirror hosts", "sigmirror config show", "sigmirror task list")
SETTLING_SECONDS = 60.0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_thirty_days_with_five_updaters_go_as_the_document_tells() -> None:
    with staged() as stage:
        for one in read(DOCUMENT.read_text()):
            match one:
                case Later():
                    stage.wait(one)
                case File():
                    stage.put(one)
                case Step():
                    check(stage, one)


def check(stage: Stage, step: Step) -> None:
    """Compare; what the mirror does by itself may take a moment to show."""
    end = time.monotonic() + (SETTLING_SECONDS if step.command.startswith(READING) else 0)
    code, told = stage.act(step)
    while masked(told) != masked(step.output) and time.monotonic() < end:
        time.sleep(0.5)
        code, told = stage.act(step)
    assert (code, masked(told)) == (0, masked(step.output)), step.command


def test_a_block_is_commands_with_what_they_print() -> None:
    text = "## Day 2: x\n```console\nmx1# cat - <<E\n> a\n> E\na\nmx1# true\n```\n"
    later, first, second = read(text)
    assert later == Later(2)
    assert isinstance(first, Step)
    assert isinstance(second, Step)
    assert (first.machine, first.command, first.output) == ("mx1", "cat - <<E\na\nE", "a\n")
    assert text[slice(*first.at)] == "a\n"
    assert (second.command, second.output) == ("true", "")
