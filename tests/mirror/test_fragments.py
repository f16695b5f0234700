"""Settings for hosts as an operator writes them: TOML, one value, what a change says."""

import json
import string
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import LimitError, SettingsError
from keys.model.fragment import NAMED_SETTINGS, SAFE_SETTINGS, Value
from mirror.cli.config import keys
from mirror.fragments import (
    Next,
    Sections,
    differences,
    from_toml,
    numbered,
    shown,
    to_toml,
    value_of,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), max_size=20)
_VALUES = st.one_of(
    st.booleans(),
    st.integers(-(1 << 53), 1 << 53),
    st.floats(allow_nan=False, allow_infinity=False),
    _TEXT,
    st.lists(_TEXT, max_size=3).map(tuple),
)
_SECTIONS = st.dictionaries(st.sampled_from(sorted({*SAFE_SETTINGS, *NAMED_SETTINGS})), _VALUES)
_NAMES = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=8)


@given(_SECTIONS, st.dictionaries(_NAMES, _SECTIONS.filter(bool), max_size=3))
def test_what_show_prints_is_what_push_takes(
    everyone: dict[str, Value], hosts: dict[str, dict[str, Value]]
) -> None:
    sections = Sections(everyone, hosts)
    again = from_toml("\n".join(to_toml(sections)), "fleet.toml")
    assert list(differences(sections, again)) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("300", 300),
        ("1.5", 1.5),
        ("true", True),
        ("canary", "canary"),
        ('"true"', "true"),
        ("/srv/clean", "/srv/clean"),
        ('["a", "b"]', ("a", "b")),
        ("a\nb = 1", "a\nb = 1"),
    ],
)
def test_a_value_is_toml_and_a_text_needs_no_quotes(text: str, value: Value) -> None:
    assert (value_of(text), type(value_of(text))) == (value, type(value))


@pytest.mark.parametrize("text", ["2026-01-01", "{a = 1}", "[1, 2]", "x" * 1001])
def test_what_no_setting_can_be_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="no value of a setting"):
        value_of(text)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a =", "fleet.toml"),
        ("[some]\nx = 1", "some"),
        ("hosts = 3", "fleet.toml"),
        ("[hosts]\nmx1 = 3", "fleet.toml"),
        ("[all]\nx = 2026-01-01", "fleet.toml"),
        ("all = 3", "Expected `object`"),
        (f"[all]\nx = {'[' * 5000}", "nested too deeply"),
        (f"[all]\n{'x.' * 5000}y = 1", "nested too deeply"),
    ],
)
def test_a_file_of_another_shape_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        from_toml(text, "fleet.toml")


@pytest.mark.parametrize(
    ("sections", "named"),
    [
        (Sections({"intervall_seconds": 5}, {}), "intervall_seconds"),
        (Sections({"interval_seconds": 1}, {}), "interval_seconds"),
        (Sections({}, {"mx1": {"state": "/"}}), "state"),
        (Sections({}, {"../up": {"jitter_seconds": 1}}), "hosts"),
        (Sections({"engine.*.memory_per_definition_byte": float("inf")}, {}), "definition_byte"),
        (Sections({}, {"mx1": {"report.command_timeout_seconds": float("nan")}}), "= nan"),
    ],
    ids=["unknown", "out of bounds", "never", "name", "infinite", "no number"],
)
def test_what_every_host_would_refuse_is_not_signed(sections: Sections, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        numbered(sections, 1, NOW)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("proxy", "http://user:hunter2@proxy.example:3128"),
        ("mirrors", ("https://m.example", "https://hunter2@n.example/")),
    ],
)
def test_a_password_is_neither_signed_nor_shown(key: str, value: Value) -> None:
    with pytest.raises(SettingsError, match="every host can read") as refused:
        numbered(Sections({}, {"mx1": {key: value}}), 1, NOW)
    assert "hunter2" not in f"{refused.value} {refused.value.hint}"


def test_a_fragment_larger_than_hosts_read_is_not_signed() -> None:
    hosts = {f"mx{n}": {"ca_file": "/" + "x" * 900} for n in range(300)}
    with pytest.raises(LimitError, match="MAX_FRAGMENT_BYTES"):
        numbered(Sections({}, hosts), 1, NOW)


def test_hosts_that_keep_their_own_value_are_named() -> None:
    hosts: dict[str, dict[str, Value]] = {
        "mx1": {"engine.*.track": "canary"}, "mx2": {"engine.clamd.track": "canary"},
        "mx3": {"jitter_seconds": 1},
    }  # fmt: skip
    made = Next(2, Sections({}, hosts), ('+ all: engine.clamd.track = "stable"',))
    assert list(made.notes()) == [
        "mx1 keeps its own engine.clamd.track", "mx2 keeps its own engine.clamd.track",
    ]  # fmt: skip


def test_what_can_be_set_is_listed_with_its_bounds() -> None:
    text = CliRunner().invoke(keys, []).output
    assert "interval_seconds  integer, 10 to 86400\n" in text
    assert "mirrors  only where remote_settings.allow names it\n" in text
    told = json.loads(CliRunner().invoke(keys, ["--json"]).output)
    assert {*told["safe"], *told["only_where_named"]} == {*SAFE_SETTINGS, *NAMED_SETTINGS}


def test_a_change_is_told_value_by_value() -> None:
    before = Sections({"interval_seconds": 300, "jitter_seconds": 1}, {"mx1": {"proxy": "a"}})
    after = before.setting((), "interval_seconds", 60).setting(("mx1",), "proxy", None)
    after = after.setting(("mx2",), "engine.*.track", "canary").setting((), "jitter_seconds", True)
    assert list(differences(before, after)) == [
        "~ all: interval_seconds = 300 -> 60",
        "~ all: jitter_seconds = 1 -> true",
        '- mx1: proxy = "a"',
        '+ mx2: engine.*.track = "canary"',
    ]
    assert shown(("a", "b")) == '["a","b"]'
