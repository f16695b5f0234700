"""One generation's rules into memory: from its compiled file, which is made again if it must be."""

import os
import tempfile
from dataclasses import replace
from pathlib import Path

from keys.errors import HostError
from updater.engines.yara import build, compiled, ignored, sources


def load(folder: Path, externals: tuple[str, ...], *, timeout_seconds: float) -> compiled.Ruleset:
    """Load a generation; ``timeout_seconds`` is for compiling it, where that is needed.

    Raises:
        EngineError: yara-x refuses the rules.
        HostError: the folder is gone or unreadable, or this host cannot compile now.

    """
    try:
        hidden = ignored.read(folder)
        key = sources.key(sources.read(folder), externals, compiled.version())
    except OSError as exc:
        raise HostError(f"{exc.filename or folder}: {exc.strerror or exc}") from exc
    ruleset = compiled.read(folder / compiled.FILE_NAME, key)
    return replace(ruleset or _made_again(folder, externals, key, timeout_seconds), ignored=hidden)


def _made_again(
    folder: Path, externals: tuple[str, ...], key: str, timeout_seconds: float
) -> compiled.Ruleset:
    """Compile in another process; the file stays in the generation where we may write."""
    with tempfile.TemporaryDirectory(prefix="sigupdate-") as scratch:
        place = folder if os.access(folder, os.W_OK) else Path(scratch)
        output = place / compiled.FILE_NAME
        order = build.Order(folder=str(folder), output=str(output), externals=externals)
        build.order(order, timeout_seconds=timeout_seconds)
        ruleset = compiled.read(output, key)
    if ruleset is None:
        raise HostError(f"{folder}: its files changed while they were compiled")
    return ruleset
