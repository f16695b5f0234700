"""Engines made from their settings; a kind's libraries are loaded only when it is used."""

import importlib
from pathlib import Path

from updater.engines.base import Engine
from updater.settings import EngineSettings

_KINDS = {
    "clamd": "updater.engines.clamd:ClamdEngine",
    "yara": "updater.engines.yara.engine:YaraEngine",
    "command": "updater.engines.command:CommandEngine",
}


def make(settings: EngineSettings, folder: Path) -> Engine:
    """Make an engine; ``folder`` is where its ``current`` and generations stand.

    Raises:
        SettingsError: the settings name no socket or command this kind needs.

    """
    module, _, name = _KINDS[settings.kind].partition(":")
    engine: Engine = getattr(importlib.import_module(module), name)(settings, folder)
    return engine
