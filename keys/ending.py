"""How a command ends, whichever way its words were read: exit code, errors on stderr.

A command returns its exit code, or None for 0. Anything it raises from ``keys.errors`` becomes
``error: …`` and ``hint: …`` on stderr and the exit code of its branch.
"""

import gc
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from keys.errors import Error

FAILED = 1
INTERRUPTED = 130
NEW_OBJECTS = 20_000  # between two searches for garbage; what is loaded at the start is none


def run(act: Callable[[], object]) -> NoReturn:
    """Run a command and end the process with its exit code."""
    gc.set_threshold(NEW_OBJECTS)
    code = exit_code(act)
    gc.freeze()  # the interpreter need not search everything for garbage before it ends
    sys.exit(code)


def exit_code(act: Callable[[], object]) -> int:
    """Run a command, print what went wrong, and return the exit code."""
    try:
        code = act()
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return FAILED
    except Error as exc:
        return report(exc)
    return code if isinstance(code, int) else 0


def report(error: Error) -> int:
    """Print an error and its hint on stderr; return its exit code."""
    print(f"error: {error}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
    return error.exit_code


def _silence_stdout() -> None:
    """Keep the interpreter from writing to a closed pipe once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
