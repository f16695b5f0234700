"""The engine YARA: what is compiled, what is refused, and what a run costs."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from keys.errors import EngineError, HostError, SettingsError, UnprovenError
from tests.updater.engine_contract import EngineContract, Scanner
from tests.updater.yara_site import YaraScanner, rule, settings
from updater.engines.base import Verdict
from updater.engines.process import Finished
from updater.engines.yara import build
from updater.engines.yara.engine import YaraEngine
from updater.state import MarkerRecord


@pytest.fixture
def scanner(tmp_path: Path) -> Iterator[YaraScanner]:
    scanner = YaraScanner(tmp_path)
    yield scanner
    scanner.end()


class TestYaraEngine(EngineContract):
    @pytest.fixture
    def scanner(self, tmp_path: Path) -> Iterator[Scanner]:
        scanner = YaraScanner(tmp_path)
        yield scanner
        scanner.end()


REFUSED = {
    "unknown pattern": ("rule a { condition: $b }", "bad.yar:1: unknown pattern `$b`"),
    "syntax": ("\n\nrule { }", "bad.yar:3: syntax error"),
    "undeclared external": (
        "rule a { condition: own == 1 }",
        "bad.yar:1: unknown identifier `own`",
    ),
    "include": ('include "/etc/passwd"', "bad.yar:1: include statements not allowed"),
    "unknown module": ('import "nothing"', "bad.yar:1: unknown module `nothing`"),
    "other encoding": ("// x\n// \udce9", "bad.yar:2: not UTF-8"),
}


@pytest.mark.parametrize(("text", "named"), REFUSED.values(), ids=REFUSED.keys())
def test_what_does_not_compile_is_refused_by_file_and_line(
    text: str, named: str, scanner: YaraScanner
) -> None:
    folder, marker = scanner.stage(1, {"good.yar": scanner.good})
    (folder / "a" / "bad.yar").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(EngineError) as caught:
        scanner.engine.test(folder, marker)
    assert f"yara-x: a/{named}" in str(caught.value)


def test_all_declared_externals_compile(scanner: YaraScanner) -> None:
    names = ("filename", "filepath", "extension", "filetype", "owner", "md5")
    condition = " or ".join(f"{name} matches /x/" for name in names)
    assert scanner.test(1, {"e.yar": f"rule e {{ condition: {condition} }}"}).signatures == 2


def test_two_files_may_use_one_rule_name(scanner: YaraScanner) -> None:
    loaded = scanner.test(1, {"one.yar": rule("same", "1!"), "deep/two.YAR": rule("same", "2!")})
    assert (loaded.signatures, loaded.detail) == (3, "yara-x: 3 files")


def test_a_global_rule_silences_nothing_in_other_files(scanner: YaraScanner) -> None:
    never = "global rule never { condition: false }\n" + rule("own", "own!")
    folder, marker = scanner.stage(1, {"g.yar": never, "good.yar": scanner.good})
    scanner.engine.test(folder, marker)
    (scanner.folder / "current").symlink_to(f"generations/{folder.name}")
    engine = YaraEngine(settings(), scanner.folder)
    for data, found in ((b"something good", True), (marker.sample, True), (b"own!", False)):
        assert (engine.scan(data, timeout_seconds=5)[0] is Verdict.found) is found


def test_a_rule_that_takes_clean_text_is_refused(scanner: YaraScanner) -> None:
    with pytest.raises(EngineError, match="clean sample is taken for greedy"):
        scanner.test(1, {"greedy.yar": "rule greedy { condition: true }"})


def test_the_marker_is_told_first_where_much_else_hits(scanner: YaraScanner) -> None:
    many = "".join(rule(f"{'long' * 25}{n}", "sigmirror-marker:") for n in range(500))
    folder, marker = scanner.stage(1, {"a.yar": many})
    scanner.engine.test(folder, marker)
    (scanner.folder / "current").symlink_to(f"generations/{folder.name}")
    scanner.start()
    record = MarkerRecord(marker.name, marker.sample, marker.file_name)
    assert scanner.prover.reload_and_wait(record, None).holds
    told = scanner.engine.scan(marker.sample, timeout_seconds=5)[1]
    assert told.split(",")[0] == marker.name


def test_only_files_of_rules_are_laid_out(scanner: YaraScanner) -> None:
    assert scanner.stage(1, {"LICENSE": "x", "iocs/hash.txt": "x", "yara/a.yara": "x"})[0].exists()
    found = sorted(p.suffix for p in scanner.folder.rglob("*") if p.is_file())
    assert found == [".yar", ".yara"]


def test_without_a_socket_the_rules_of_current_are_loaded(scanner: YaraScanner) -> None:
    engine = YaraEngine(settings(), scanner.folder)
    with pytest.raises(UnprovenError, match="current"):
        engine.probe()
    marker = scanner.put_in_force(1)
    engine.probe()
    assert engine.scan(marker.sample, timeout_seconds=5) == (Verdict.found, marker.name)
    scanner.put_in_force(2)
    assert engine.scan(marker.sample, timeout_seconds=5) == (Verdict.clean, "")
    assert "not a running one" in engine.findings()[0]


def test_a_compilation_that_takes_too_long_blames_the_host(scanner: YaraScanner) -> None:
    folder, _ = scanner.stage(1, {"good.yar": scanner.good})
    order = build.Order(folder=str(folder), output=str(folder / ".out"), externals=())
    with pytest.raises(HostError, match="did not end within"):
        build.order(order, timeout_seconds=0.001)


ENDINGS = {
    "crash": (Finished(-11, "", ""), EngineError, "SIGSEGV"),
    "panic": (Finished(1, "", "thread 'main' panicked at compiler.rs:1"), EngineError, "panic"),
    "killed": (Finished(-9, "", ""), HostError, "out of memory"),
    "no memory": (Finished(-6, "", "memory allocation of 99 bytes failed"), HostError, "memory"),
    "not installed": (Finished(1, "", "No module named x"), HostError, "No module named x"),
}


@pytest.mark.parametrize(("ended", "kind", "named"), ENDINGS.values(), ids=ENDINGS.keys())
def test_who_is_to_blame_for_a_compilation_without_an_outcome(
    ended: Finished, kind: type[Exception], named: str
) -> None:
    with pytest.raises(kind, match=named):
        build.judge(ended)


def test_externals_that_are_no_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="externals: 'a b'"):
        YaraEngine(settings(externals=["a b"]), tmp_path)


def test_a_proof_over_the_socket_neither_compiles_nor_loads_rules(scanner: YaraScanner) -> None:
    marker = scanner.put_in_force(1)
    scanner.start()
    scanner.engine.reload()
    assert scanner.prover.reload_and_wait(marker, None).holds
    program = f"""import sys
from pathlib import Path
from updater.engines import kinds
from updater.settings import EngineSettings
settings = EngineSettings(name="y", kind="yara", channels=("a",), socket={scanner.socket!r})
engine = kinds.make(settings, Path({str(scanner.folder)!r}))
engine.probe()
assert engine.scan({marker.sample!r}, timeout_seconds=5)[0].value == "found"
print({{"yara_x", "watchdog"}} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
