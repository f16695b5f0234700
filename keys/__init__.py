"""What mirror and updater must agree on and believe; speaks to no network."""

import importlib
import sys


def _load_msgspec() -> None:
    """Load msgspec without ``typing_extensions``, which Python 3.11 needs nothing of.

    That library is a third of the start-up time of a run that finds nothing new; msgspec tries it
    first and is content with ``typing``.
    """
    if "typing_extensions" in sys.modules or "msgspec" in sys.modules:
        return
    # None is what the import system documents for "not there"; mypy knows modules only.
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    try:
        importlib.import_module("msgspec")
    finally:
        del sys.modules["typing_extensions"]


_load_msgspec()
