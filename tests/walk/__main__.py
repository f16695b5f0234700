"""Walk the document and write what the commands print into it: python -m tests.walk."""

import time

from tests.walk.script import File, Later, Step, read
from tests.walk.stage import DOCUMENT, Stage, staged

SETTLING_SECONDS = 1.0  # what the running mirror does by itself shows then


def main() -> None:
    """Act every step; replace each output, the last first."""
    text = DOCUMENT.read_text()
    outputs: list[tuple[tuple[int, int], str]] = []
    try:
        with staged() as stage:
            for one in read(text):
                _act(stage, one, outputs)
    finally:
        for (start, end), told in reversed(outputs):
            text = text[:start] + told + text[end:]
        DOCUMENT.write_text(text)


def _act(
    stage: Stage, one: Later | File | Step, outputs: list[tuple[tuple[int, int], str]]
) -> None:
    match one:
        case Later():
            stage.wait(one)
        case File():
            stage.put(one)
        case Step():
            time.sleep(SETTLING_SECONDS if one.command.startswith("sigmirror") else 0)
            code, told = stage.act(one)
            mark = f"!! exit {code}: " if code else ""
            print(f"{mark}{one.machine}# {one.command}\n{told}", end="", flush=True)
            outputs.append((one.at, told if told.endswith("\n") or not told else told + "\n"))


if __name__ == "__main__":
    main()
