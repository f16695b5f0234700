"""Which of a site's settings a host takes: deciding code, tables in and settings out."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import SettingsError
from keys.model.fragment import NAMED_SETTINGS, SAFE_SETTINGS, generally, is_allowed
from keys.settings import Table
from updater import remote_settings
from updater.settings import EngineSettings, Settings

NEVER = {
    "state", "user", "engine.*.name", "engine.*.kind", "engine.*.folder",
    "engine.*.may_ignore", "tasks.accept",
}  # fmt: skip
_KEYS = sorted({*SAFE_SETTINGS, *NAMED_SETTINGS, "engine.a.track", "engine.b.track", "user", "x"})
_VALUES = st.one_of(st.booleans(), st.integers(0, 400), st.text(max_size=5), st.just(("true",)))
_LOCAL = {
    "mirrors": ["https://mirror.example"], "interval_seconds": 77,
    "limits": {"max_attempts": 4},
    "repository": [{"name": "site", "root": "/root.json"}],
    "engine": [
        {"name": "a", "kind": "yara", "channels": ["r"], "track": "canary"},
        {"name": "b", "kind": "yara", "channels": ["r"], "must_pass": "/clean"},
    ],
}  # fmt: skip


def _keys(kind: type[Table], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for field in msgspec.structs.fields(kind):
        if isinstance(field.default, Table):
            found |= _keys(type(field.default), f"{prefix}{field.name}.")
        elif field.name not in {"repository", "engine"}:
            found.add(prefix + field.name)
    return found


def test_every_setting_of_a_host_is_settable_by_its_site_or_never() -> None:
    known = _keys(Settings) | _keys(EngineSettings, "engine.*.")
    never = {key for key in known if key.startswith("remote_settings.")} | NEVER
    assert {*SAFE_SETTINGS, *NAMED_SETTINGS} | (never & known) == known


@given(
    st.dictionaries(st.sampled_from(_KEYS), _VALUES, max_size=6),
    st.lists(st.sampled_from(["safe", "mirrors", "engine.*.must_pass"])),
)
def test_whatever_a_site_signs_the_file_and_the_list_of_the_host_hold(
    values: dict[str, Any], allow: list[str]
) -> None:
    local = {**_LOCAL, "remote_settings": {"allow": allow}}
    before = remote_settings.own(local, "file")
    try:
        taken = remote_settings.take(local, values, "fragment 1")
    except SettingsError:
        return
    after = taken.settings
    assert after.mirrors == before.mirrors
    assert after.interval_seconds == 77
    assert after.limits.max_attempts == 4
    assert (after.engine[0].track, after.engine[1].must_pass) == ("canary", "/clean")
    assert after.remote_settings == before.remote_settings
    for key in values:
        if not is_allowed(key, allow):
            assert f"{key}: not allowed here" in taken.left_out
    if "engine.*.must_pass" not in {generally(key) for key in values}:
        assert after.engine[0].must_pass == ""
