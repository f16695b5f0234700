"""YARA: rule sets compiled by yara-x, an engine that proves them, and rules that stay current.

``LiveRules`` is the handle for scanners written in Python. It is imported when it is asked for,
because a run that finds nothing new has no use for it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from updater.engines.yara.live import LiveRules

__all__ = ["LiveRules"]


def __getattr__(name: str) -> object:
    if name != "LiveRules":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from updater.engines.yara.live import LiveRules  # noqa: PLC0415 - start-up time

    return LiveRules
