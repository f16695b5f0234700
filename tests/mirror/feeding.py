"""A mirror with feeds in its settings, and someone who types `sigmirror …` for it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keys import console
from keys.model.release import Manifest
from mirror.cli import sigmirror
from tests.keys.signing_site import PASSPHRASE
from tests.mirror.site import Client, Mirror


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Typed:
    """What a command came to."""

    code: int
    out: str
    err: str


class Feeding:
    """One mirror; ``feed`` adds an upstream, ``pull`` and ``asks`` run the real commands."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.mirror = Mirror.found(folder / "mirror", now=now())
        self.config = folder / "sigmirror.toml"
        self._feeds: dict[str, Mapping[str, Any]] = {}
        self._capsys = capsys
        (folder / "passphrase").write_text(PASSPHRASE.reveal())
        self._write()

    def feed(self, name: str = "feed", **settings: Any) -> None:
        """Add an upstream or change one; kind ``http`` to the channel of its name, unless said."""
        known = self._feeds.get(name, {"kind": "http", "channel": name})
        self._feeds[name] = {**known, **settings}
        self._write()

    def secret(self, text: str, name: str = "token") -> str:
        """Write a secret's file and return its name."""
        path = self.folder / name
        path.write_text(f"{text}\n")
        return str(path)

    def types(self, *words: str) -> Typed:
        arguments = [*words, "--config", str(self.config)]
        code = console.exit_code(sigmirror, program="sigmirror", arguments=arguments)
        output = self._capsys.readouterr()
        return Typed(code, output.out, output.err)

    def pull(self, name: str = "feed") -> Typed:
        return self.types("pull", name)

    def published(self, name: str = "feed") -> Typed:
        """Pull what must become a release."""
        done = self.pull(name)
        assert done.code == 0, done.err
        assert f"{name}: published" in done.out, done.out
        return done

    def asks(self, *words: str) -> Any:
        done = self.types(*words, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)

    def upstream(self, name: str = "feed") -> dict[str, Any]:
        """Return what `sigmirror status` says of an upstream."""
        found: list[dict[str, Any]] = self.asks("status")["upstreams"]
        return next(one for one in found if one["name"] == name)

    @property
    def client(self) -> Client:
        return self.mirror.client(self.folder / "client")

    def contents(self, channel: str = "feed") -> dict[str, bytes]:
        """Return the files a host believes, every byte checked."""
        return self.client.contents(channel, now=now())

    def offered(self, channel: str = "feed") -> Manifest:
        return self.client.offered(channel, now=now())

    def state(self, name: str = "feed") -> dict[str, Any]:
        """Return what is remembered of an upstream."""
        path = self.mirror.folder / "state/upstreams" / f"{name}.json"
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def _write(self) -> None:
        lines = [
            f"[store]\nurl = {_toml('file://' + str(self.mirror.folder))}",
            f"[signing]\npassphrase_file = {_toml(str(self.folder / 'passphrase'))}",
        ]
        for name, settings in self._feeds.items():
            lines.append(f"[[upstream]]\nname = {_toml(name)}")
            lines += [f"{key} = {_toml(value)}" for key, value in settings.items()]
        self.config.write_text("\n".join(lines) + "\n")


def _toml(value: object) -> str:
    """Write a value as TOML does; for text, numbers, lists and truth that is as JSON does."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)
