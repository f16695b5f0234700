"""What real engines make of a list: every kind of definition goes by its plain name, no other."""

import hashlib
import shutil
from pathlib import Path

import msgspec

from tests.real_data import real_data
from tests.updater.clamd_process import need_clamd
from updater.engines.clamd import ClamdEngine
from updater.engines.yara.engine import YaraEngine
from updater.engines.yara.ignored import FILE_NAME, Ignored, read
from updater.engines.yara.load import load
from updater.engines.yara.matches import scan
from updater.settings import EngineSettings

BODY = b"a body that is long enough"
HEX = BODY.hex()
KINDS = {
    "a.hdb": (f"{hashlib.md5(BODY).hexdigest()}:{len(BODY)}:T.Hdb", "T.Hdb"),  # noqa: S324 - ClamAV's format
    "a.hsb": (f"{hashlib.sha256(BODY).hexdigest()}:{len(BODY)}:T.Hsb:73", "T.Hsb"),
    "a.ndb": (f"{{HEX}}T.Ndb:0:*:{HEX}\nT.Kept:0:*:{b'something else'.hex()}", "{HEX}T.Ndb"),
    "a.ldb": (f"T.Ldb;Target:0;0&1;{HEX};{HEX[:20]}", "T.Ldb"),
    "a.db": (f"T.Db={HEX}", "T.Db"),
    "a.yar": (f'rule T_Yar {{ strings: $a = "{BODY.decode()}" condition: $a }}', "T_Yar"),
}
NAMES = tuple(name for _, name in KINDS.values())


def engine_settings(kind: str) -> EngineSettings:
    fields = {"name": "e", "kind": kind, "channels": ("a",), "memory_per_definition_byte": 0.0}
    return msgspec.convert({**fields, "socket": "/nowhere/s"}, EngineSettings)


def test_clamav_ignores_every_kind_of_definition_and_says_which_there_were(tmp_path: Path) -> None:
    need_clamd()
    engine = ClamdEngine(engine_settings("clamd"), tmp_path)
    for name, (text, _) in KINDS.items():
        (tmp_path / name).write_text(f"{text}\n")
    shutil.copy(real_data("clamav/testdb/test-3.cvd"), tmp_path / "test.cvd")
    names = (*NAMES, "Eicar-Test-Signature", "T.Never")
    marker = engine.marker(1).with_decoy(engine.marker(1))
    (tmp_path / marker.file_name).write_bytes(marker.definition)
    before = engine.test(tmp_path, None).signatures
    for name, data in engine.ignore_file({"a": names}, marker).items():
        (tmp_path / name).write_bytes(data)
    loaded = engine.test(tmp_path, marker)
    assert set(loaded.ignored or ()) == {
        *NAMES,
        "Eicar-Test-Signature",
        marker.decoy_name.removesuffix(".UNOFFICIAL"),
    }
    assert loaded.signatures < before


def test_a_rule_is_ignored_in_its_own_channel_and_those_on_top_of_it_go_on(tmp_path: Path) -> None:
    engine = YaraEngine(engine_settings("yara"), tmp_path)
    rules = 'rule One { strings: $a = "one" condition: $a } rule Two { condition: One }\n'
    for channel in ("a", "ab", "vendor/a"):
        (tmp_path / channel).mkdir(parents=True)
        (tmp_path / channel / "r.yar").write_text(rules)
    marker = engine.marker(1).with_decoy(engine.marker(1))
    (tmp_path / marker.file_name).write_bytes(marker.definition)
    for name, data in engine.ignore_file({"a": ("One", "Gone")}, marker).items():
        (tmp_path / name).write_bytes(data)
    assert set(engine.test(tmp_path, marker).ignored or ()) == {"One", marker.decoy_name}
    found = scan(load(tmp_path, (), timeout_seconds=60), b"one", {}, timeout_seconds=10)
    assert sorted((match.namespace, match.rule) for match in found) == [
        ("a/r.yar", "Two"),
        ("ab/r.yar", "One"),
        ("ab/r.yar", "Two"),
        ("vendor/a/r.yar", "One"),
        ("vendor/a/r.yar", "Two"),
    ]


def test_a_list_of_rules_survives_its_file(tmp_path: Path) -> None:
    listed = Ignored({"a": ("One", "Two"), "vendor/b": ("Three",)})
    assert read(tmp_path).places == {}
    (tmp_path / FILE_NAME).write_bytes(listed.encoded())
    assert read(tmp_path) == listed
    assert listed.hides("vendor/b/x.yar", "Three")
    assert not listed.hides("vendor/b.yar", "Three")
