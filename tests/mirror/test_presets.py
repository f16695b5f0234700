"""Presets: what is known of feeds is settings that decode, and is shown as known as it is."""

import json
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from click.testing import CliRunner

from keys.errors import SettingsError, UsageError
from keys.settings import parse_raw
from mirror.cli import sigmirror
from mirror.cli.presets import redistribution
from mirror.feeds import UpstreamSettings
from mirror.presets import PRESETS, Preset, filled, fillings
from mirror.settings import Settings, convert, problems

FEEDS = (
    "official", "securiteinfo", "sanesecurity", "malwarepatrol", "urlhaus", "et-open", "et-pro",
    "snort", "yara-forge", "valhalla",
)  # fmt: skip
WRITTEN = {
    "token_file": "/etc/sigmirror/token",
    "url": "https://www.snort.org/rules/snortrules-snapshot-31470.tar.gz",
    "verify_keys": ["/etc/sigmirror/vendor.asc"],
    "fingerprints": ["A" * 40],
}
each = pytest.mark.parametrize("name", FEEDS)


def test_there_is_a_preset_for_each_feed() -> None:
    assert set(PRESETS) == set(FEEDS)


def upstream(name: str, **written: object) -> UpstreamSettings:
    return settings(name, **written).upstream[0]


def settings(name: str, **written: object) -> Settings:
    """Read an upstream with a preset and the keys it needs."""
    needed = {key: WRITTEN[key] for key in PRESETS[name].needs}
    table = {"name": "feed", "preset": name, "channel": "feed", **needed, **written}
    return convert({"upstream": [{k: v for k, v in table.items() if v is not None}]}, "s")


@each
def test_a_preset_with_what_it_needs_is_settings_without_a_problem(name: str) -> None:
    assert not list(problems(settings(name)))


@each
def test_what_a_preset_needs_is_named_where_it_is_missing(name: str) -> None:
    for key in PRESETS[name].needs:
        found = [str(one) for one in problems(settings(name, **{key: None}))]
        assert found[0] == f"upstream 'feed': {key}: missing, needed for preset {name!r}"


@each
def test_a_preset_needs_every_key_its_scheme_cannot_do_without(name: str) -> None:
    preset, found = PRESETS[name], upstream(name)
    wanted = set()
    if found.auth in {"header", "path", "query", "form"}:
        wanted |= {"token_file"}
    if "openpgp" in found.verify:
        wanted |= {"verify_keys", "fingerprints"}
    assert wanted | {key for key in ("url",) if key not in preset.settings} >= set(preset.needs)
    assert wanted <= set(preset.needs)
    assert found.kind == "clamav" or found.url


@each
def test_a_preset_holds_no_secret_and_no_place_of_one(name: str) -> None:
    secret = {"token_file", "password_file", "username", "client_key", "client_cert", "licence"}
    assert not secret & set(PRESETS[name].settings)
    assert "{token}" not in PRESETS[name].settings.get("url", "") or upstream(name).auth == "path"


@each
def test_what_no_signature_vouches_for_comes_over_tls_and_says_so(name: str) -> None:
    found, assurance = upstream(name), PRESETS[name].integrity.partition(":")[0]
    signed = found.kind == "clamav" or bool({"openpgp", "minisign", "cvd"} & set(found.verify))
    assert (assurance == "signed") is signed
    assert found.allow_unsigned is not signed
    assert signed or found.url.startswith("https://")
    assert assurance == "none" or found.verify or found.kind == "clamav"


@each
def test_nobody_is_asked_more_often_than_the_feed_allows(name: str) -> None:
    floor = PRESETS[name].floor_seconds
    assert upstream(name).interval_seconds >= floor
    found = [str(one) for one in problems(settings(name, interval_seconds=floor - 1))]
    assert found == [
        f"upstream 'feed': interval_seconds: {PRESETS[name].title} allows no less than {floor}"
    ]


@each
def test_a_feed_with_a_credential_is_never_public(name: str) -> None:
    found = upstream(name)
    assert redistribution(PRESETS[name]) == found.shared_with
    assert found.shared_with == "licensed-hosts" or not found.credentialed


@each
def test_a_feed_whose_terms_are_unknown_is_not_public(name: str) -> None:
    if any("terms" in point for point in PRESETS[name].unverified):
        assert upstream(name).shared_with == "licensed-hosts"


def test_a_block_that_looks_like_a_missing_file_is_known_as_one() -> None:
    assert [name for name in FEEDS if upstream(name).missing_means_blocked] == ["snort"]


def test_archives_are_filtered_and_single_files_have_names() -> None:
    for name in FEEDS:
        found = upstream(name)
        if found.kind == "http":
            assert found.include or found.names or found.save_as, name


def test_no_preset_brings_files_that_suppress_detections() -> None:
    suffixes = (".ign", ".ign2", ".fp", ".sfp", ".wdb", ".cfg", ".crb", ".cat")
    for name in FEEDS:
        assert not [one for one in upstream(name).names if one.endswith(suffixes)]


# What the operator writes counts more -----------------------------------------------------------


def test_what_is_written_counts_more_than_the_preset() -> None:
    found = upstream("et-open", url="https://mirror.example/e.tar.gz", include=["a.rules"])
    assert (found.url, found.include) == ("https://mirror.example/e.tar.gz", ("a.rules",))
    assert found.verify == ("md5",)


@pytest.mark.parametrize("name", ["no-such", 7, ["official"]])
def test_an_unknown_preset_is_refused_and_the_known_are_listed(name: object) -> None:
    with pytest.raises(SettingsError, match="no preset") as caught:
        convert({"upstream": [{"name": "x", "preset": name}]}, "s.toml")
    assert "securiteinfo" in caught.value.hint


@pytest.mark.parametrize("text", ["", "upstream = 3", "upstream = [1]", "[[upstream]]\nname = 'x'"])
def test_settings_without_a_preset_are_left_as_they_are(text: str) -> None:
    raw = parse_raw(text.encode(), "s")
    assert filled(raw, "s") == raw
    assert not any(fillings(raw, "s").get("upstream", []))


# The commands ----------------------------------------------------------------------------------


def run(*words: str) -> str:
    found = CliRunner().invoke(sigmirror, words, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.output


def test_the_command_lists_every_preset() -> None:
    lines = run("presets").splitlines()
    assert [line.split()[0] for line in lines] == list(FEEDS)
    assert "assurance=digest" in lines[1]
    assert "needs=token_file" in lines[1]


@each
def test_the_command_shows_all_that_is_known_and_what_is_not(name: str) -> None:
    text, preset = run("presets", name), PRESETS[name]
    known = (preset.title, preset.address, preset.floor, preset.integrity, preset.terms)
    for told in (*known, preset.blocked, *preset.unverified, *preset.sources):
        assert told in text
    assert text.count("unverified ") == len(preset.unverified)
    for key in preset.settings:
        assert f"\n  {key} = " in text


def test_the_command_prints_json() -> None:
    found: list[dict[str, Any]] = json.loads(run("presets", "--json"))
    assert [one["name"] for one in found] == list(FEEDS)
    for one in found:
        assert one["settings"] == msgspec.to_builtins(PRESETS[one["name"]].settings)
        assert one["redistribution"] in {"public", "licensed-hosts"}
    assert json.loads(run("presets", "snort", "--json"))[0]["needs"] == [
        "channel",
        "url",
        "token_file",
    ]


def test_the_command_refuses_a_preset_nobody_knows() -> None:
    found = CliRunner().invoke(sigmirror, ["presets", "eset"])
    assert isinstance(found.exception, UsageError | click.ClickException)
    assert "no such preset" in str(found.exception)


def test_check_config_tells_what_came_from_the_preset(tmp_path: Path) -> None:
    config = tmp_path / "sigmirror.toml"
    config.write_text(f"""
        [store]
        url = "file://{tmp_path}/m"
        [[upstream]]
        name = "et"
        preset = "et-open"
        channel = "et-open"
        interval_seconds = 90000
    """)
    words = ["check-config", "--config", str(config), "--json"]
    found = json.loads(CliRunner().invoke(sigmirror, words).stdout)
    told = {one["key"]: (one["value"], one["from"]) for one in found["values"]}
    assert told["upstream[0].interval_seconds"] == (90000, "file")
    assert told["upstream[0].verify"] == (["md5"], "preset")
    assert told["upstream[0].archive"] == ("tar.gz", "preset")
    assert told["upstream[0].max_files"] == (100_000, "default")


def test_every_fact_of_a_preset_is_told() -> None:
    for preset in PRESETS.values():
        assert isinstance(preset, Preset)
        told = (preset.title, preset.floor, preset.integrity, preset.terms, preset.blocked)
        assert all(told)
        assert preset.sources


@pytest.mark.parametrize(
    ("kind", "more", "problem"),
    [
        ("drop", {"folder": "/srv", "verify": ["minisign"]}, "verify: counts for http only"),
        (
            "drop",
            {"folder": "/srv", "url": "https://x/"},
            "url: counts for clamav and http and tuf",
        ),
        ("clamav", {"archive": "zip"}, "archive: counts for http only"),
        ("clamav", {"marker": "done"}, "marker: counts for drop only"),
        ("tuf", {"url": "https://x/", "root": "r", "dns": "x"}, "dns: counts for clamav only"),
        ("tuf", {"url": "https://u:secret@x/", "root": "r"}, "url: holds a user name"),
    ],
)
def test_what_counts_for_another_kind_only_is_a_problem(
    kind: str, more: dict[str, object], problem: str
) -> None:
    table = {"name": "feed", "kind": kind, "channel": "feed" if kind != "tuf" else "", **more}
    found = [str(one) for one in problems(convert({"upstream": [table]}, "sigmirror.toml"))]
    assert any(problem in one for one in found), found
    assert not any("secret" in one for one in found)
