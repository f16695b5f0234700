"""An engine of kind yara whose scanner runs inside the test, and rules for it."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from tests import short_folders
from tests.updater.engine_contract import Scanner
from updater.engines.yara import LiveRules
from updater.engines.yara.engine import YaraEngine
from updater.settings import EngineSettings

DEADLINE_SECONDS = 30.0


class YaraScanner(Scanner):
    """``sigupdate``'s engine on one side of a socket, LiveRules on the other."""

    good = 'rule good { strings: $a = "something good" condition: $a }\n'
    broken = "rule broken { condition: $missing }\n"
    extension = ".yar"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.short = short_folders.make("su-")
        self.socket = str(self.short / "s")
        self.engine = YaraEngine(settings(socket=self.socket), folder)
        self.live: LiveRules | None = None

    def start(self) -> None:
        self.live = LiveRules(self.folder, probe_socket=self.socket, poll_seconds=0.1)
        self.live.start()

    def stop(self) -> None:
        if self.live:
            self.live.close()
            self.live = None

    def end(self) -> None:
        self.stop()
        shutil.rmtree(self.short)


def settings(**more: object) -> EngineSettings:
    fields = {"name": "yara", "kind": "yara", "channels": ["a"], "scan_timeout_seconds": 5.0}
    return msgspec.convert({**fields, **more}, EngineSettings)


def rule(name: str, text: str) -> str:
    return f'rule {name} {{ strings: $a = "{text}" condition: $a }}\n'


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.01)
