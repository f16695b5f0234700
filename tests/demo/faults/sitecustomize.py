"""Kill the interpreter that finds this at the Nth change to a folder, or freeze another process.

Python's own audit events tell of every rename, link, symbolic link, removal and opening for
writing; nothing in the program under test knows of it. ``FAULT_FOLDER`` names the folder,
``FAULT_AT`` the change to die at (0: count only), ``FAULT_COUNT`` a file for the count;
``FAULT_FREEZE`` a process that is stopped as a link named ``current`` moves, until it moves again.
"""

import atexit
import contextlib
import os
import signal
import sys
from pathlib import Path

_FOLDER = os.environ.get("FAULT_FOLDER", "")
_AT = int(os.environ.get("FAULT_AT", "0"))
_COUNT = os.environ.get("FAULT_COUNT", "")
_FREEZE = int(os.environ.get("FAULT_FREEZE", "0"))
_CHANGES = {"os.rename", "os.link", "os.symlink", "os.remove", "os.mkdir", "os.chmod"}
_seen = 0
_frozen = False


def _inside(value: object) -> bool:
    try:
        return os.fsdecode(value).startswith(_FOLDER)  # type: ignore[arg-type]
    except TypeError:
        return False


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    global _seen  # noqa: PLW0603 - an audit hook has nowhere else to keep its count
    writing = event == "open" and isinstance(flags := arguments[2], int) and flags & os.O_ACCMODE
    if not (event in _CHANGES or writing) or not any(_inside(a) for a in arguments[:2]):
        return
    _seen += 1
    if _seen == _AT:
        os.kill(os.getpid(), signal.SIGKILL)


def _freeze(event: str, arguments: tuple[object, ...]) -> None:
    global _frozen  # noqa: PLW0603 - as above
    if event == "os.rename" and os.fsdecode(arguments[1]).endswith("/current"):  # type: ignore[arg-type]
        _frozen = not _frozen
        with contextlib.suppress(ProcessLookupError):
            os.kill(_FREEZE, signal.SIGSTOP if _frozen else signal.SIGCONT)


if _FREEZE:
    sys.addaudithook(_freeze)
if _FOLDER:
    sys.addaudithook(_watch)
    if _COUNT:
        atexit.register(lambda: Path(_COUNT).write_text(str(_seen)))
