"""The engine clamd keeps what every engine promises."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.updater.clamd_process import Clamd, need_clamd, short_folder
from tests.updater.engine_contract import EngineContract, Scanner
from tests.updater.site import engine_settings
from updater.engines import kinds


class ClamdScanner(Scanner):
    good = "Good.1:0:*:6120676f6f6420746578740a\n"
    broken = "this is no definition\n"
    extension = ".ndb"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.clamd = Clamd(folder, folder / "current")
        socket = str(self.clamd.socket)
        settings = engine_settings("clamd", "a", kind="clamd", socket=socket)
        self.engine = kinds.make(settings, folder)

    def start(self) -> None:
        self.clamd.start()

    def stop(self) -> None:
        self.clamd.stop()


class TestClamd(EngineContract):
    @pytest.fixture
    def scanner(self) -> Iterator[ClamdScanner]:
        need_clamd()
        with short_folder() as folder:
            scanner = ClamdScanner(folder)
            try:
                yield scanner
            finally:
                scanner.stop()
