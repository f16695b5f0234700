from pathlib import Path
from typing import Literal

import pytest

from keys import settings
from keys.errors import SettingsError


class Inner(settings.Table, frozen=True):
    listen: str = "127.0.0.1:1"
    seconds: int = 3


class Item(settings.Table, frozen=True):
    name: str


class Choice(settings.Table, frozen=True):
    access: Literal["open", "hosts"] | None = None
    kinds: tuple[Literal["clamd", "yara"], ...] = ()


class Outer(settings.Table, frozen=True):
    choice: tuple[Choice, ...] = ()
    serve: Inner = Inner()
    item: tuple[Item, ...] = ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("serv = 1", "serv", id="unknown key"),
        pytest.param("[serve]\nlisen = 'x'", "serve: .*lisen", id="unknown key in a table"),
        pytest.param("[serve]\nseconds = 'x'", r"serve\.seconds: .*int", id="wrong kind"),
        pytest.param("[[item]]\nname='a'\n[[item]]", r"item\[.*\]: .*name", id="missing key"),
        pytest.param("[serve", "not TOML", id="not TOML"),
        pytest.param(
            "[[choice]]\naccess = 'all'", r"choice\[0\]\.access: .*'hosts', 'open'", id="no choice"
        ),
        pytest.param(
            "[[choice]]\nkinds = ['clam']",
            r"choice\[0\]\.kinds.*'clamd', 'yara'",
            id="no choice in a list",
        ),
        pytest.param("x = '\udcff'", "not TOML", id="not UTF-8"),
    ],
)
def test_a_malformed_setting_is_named_with_its_file_and_path(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SettingsError, match=rf"s\.toml: .*{message}"):
        settings.load(path, Outer)


def test_a_missing_settings_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml: No such file"):
        settings.load(tmp_path / "none.toml", Outer)


def test_explain_says_where_each_value_came_from() -> None:
    raw = settings.parse_raw(b"[serve]\nseconds = 9\n[[item]]\nname = 'a'\n[[item]]", "s")
    low = {"item": [{"name": "below"}, {"name": "b"}]}
    merged = {**raw, "item": [{"name": "a"}, {"name": "b"}]}
    layers = {"file": raw, "preset": low}
    assert list(settings.explain(settings.convert(merged, Outer, "s"), layers)) == [
        ("choice", (), "default"),
        ("serve.listen", "127.0.0.1:1", "default"),
        ("serve.seconds", 9, "file"),
        ("item[0].name", "a", "file"),
        ("item[1].name", "b", "preset"),
    ]
