"""Someone who types `sigmirror …` for one mirror with a drop folder."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keys import console
from mirror.cli import sigmirror
from tests.keys.signing_site import PASSPHRASE
from tests.mirror.site import Client, Mirror


def now() -> datetime:
    return datetime.now(UTC)


class Operator:
    """Someone who types `sigmirror …` for one mirror."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.mirror = Mirror.found(folder / "mirror", now=now())
        self.drop = folder / "drop"
        self.drop.mkdir()
        self.config = folder / "sigmirror.toml"
        self._client = folder / "client"
        self._capsys = capsys
        (folder / "passphrase").write_text(PASSPHRASE.reveal())
        self.write()

    def write(self, more: str = "") -> None:
        folder = self.config.parent
        self.config.write_text(
            f'[store]\nurl = "file://{self.mirror.folder}"\n'
            f'[signing]\npassphrase_file = "{folder / "passphrase"}"\n'
            '[[upstream]]\nname = "inhouse"\nkind = "drop"\nchannel = "inhouse"\n'
            f'folder = "{self.drop}"\nquiet_seconds = 0.01\nengine = "yara"\n{more}'
        )

    def types(self, *words: str) -> tuple[int, str, str]:
        config = ["--config", str(self.config)]
        code = console.exit_code(sigmirror, program="sigmirror", arguments=[*words, *config])
        output = self._capsys.readouterr()
        return code, output.out, output.err

    def asks(self, *words: str, expect: int = 0) -> Any:
        code, out, err = self.types(*words, "--json")
        assert code == expect, err
        return json.loads(out)

    @property
    def client(self) -> Client:
        return self.mirror.client(self._client)
