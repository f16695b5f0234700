"""The engine command: a scanner made of shell and grep."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from keys.errors import EngineError, HostError, SettingsError, UnprovenError
from tests.updater.engine_contract import EngineContract, Scanner
from updater.engines.base import Verdict
from updater.engines.command import CommandEngine
from updater.settings import EngineSettings

LOADS = (
    'for f in $(find "$1" -name "*.rule"); do grep -q ^find: $f || { echo $f: bad; exit 1; }; done'
)
READS = 'test -d "$2" || exit 9; cat $(find -L "$1" -name "*.rule") > "$2/loaded"'
SCANS = (
    'test -d "$1" || exit 9; text=$(cat); while read -r rule; do case "$text" in '
    '*"${rule##* }"*) echo "$rule"; exit 1;; esac; done < "$1/loaded"; exit 0'
)


class GrepScanner(Scanner):
    """What it "runs" is one file in a folder that exists while it is up."""

    good = "find: good something-good\n"
    broken = "this is no rule\n"
    extension = ".rule"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.running = folder / "running"
        self.settings = settings(
            test_command=("sh", "-c", LOADS, "-", "{folder}"),
            reload_command=("sh", "-c", READS, "-", "{folder}", str(self.running)),
            probe_command=("test", "-d", str(self.running)),
            prove_command=("sh", "-c", SCANS, "-", str(self.running)),
            marker_template="find: {name} {text}",
            marker_file="{name}.rule",
        )
        self.engine = CommandEngine(self.settings, folder)

    def start(self) -> None:
        self.running.mkdir()
        self.engine.reload()

    def stop(self) -> None:
        if self.running.exists():
            (self.running / "loaded").unlink(missing_ok=True)
            self.running.rmdir()


def settings(**more: object) -> EngineSettings:
    fields = {"name": "own", "kind": "command", "channels": ["a"], "probe_command": ["true"]}
    return msgspec.convert({"test_command": ["true"], **fields, **more}, EngineSettings)


class TestCommandEngine(EngineContract):
    @pytest.fixture
    def scanner(self, tmp_path: Path) -> Iterator[Scanner]:
        scanner = GrepScanner(tmp_path)
        yield scanner
        scanner.stop()


def test_without_a_marker_it_is_probed_at_most(tmp_path: Path) -> None:
    engine = CommandEngine(settings(), tmp_path)
    assert not engine.proves
    assert "never proven" in engine.findings()[0]
    engine.probe()
    with pytest.raises(UnprovenError, match="no prove_command"):
        engine.scan(b"x", timeout_seconds=1)


def test_the_sample_comes_as_a_file_too(tmp_path: Path) -> None:
    command = ["grep", "-o", "bad.*", "{sample}"]
    engine = CommandEngine(settings(prove_command=command), tmp_path)
    assert engine.scan(b"so bad a text", timeout_seconds=5) == (Verdict.clean, "")
    command = ["sh", "-c", "! grep -o 'bad.*' {sample}"]
    engine = CommandEngine(settings(prove_command=command), tmp_path)
    assert engine.scan(b"so bad a text", timeout_seconds=5) == (Verdict.found, "bad a text")


def test_a_name_with_shell_characters_is_only_a_word(tmp_path: Path) -> None:
    folder = tmp_path / "$(touch owned); x"
    folder.mkdir()
    CommandEngine(settings(test_command=["test", "-d", "{folder}"]), tmp_path).test(folder, None)
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_a_test_that_says_no_refuses_and_is_quoted_in_short(tmp_path: Path) -> None:
    command = ["sh", "-c", "echo rules.conf: line 7: bad >&2; yes | head -c 100000 >&2; exit 3"]
    with pytest.raises(EngineError, match=r"sh: exit 3: rules\.conf: line 7: bad") as caught:
        CommandEngine(settings(test_command=command), tmp_path).test(tmp_path, None)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "command", [["/nonexistent/program"], ["sleep", "60"]], ids=["missing", "hanging"]
)
def test_a_test_that_cannot_run_blames_the_host(command: list[str], tmp_path: Path) -> None:
    quick = settings(test_command=command, test_timeout_seconds=1)
    with pytest.raises(HostError):
        CommandEngine(quick, tmp_path).test(tmp_path, None)


@pytest.mark.parametrize("code", [2, 127])
def test_an_exit_code_that_is_no_verdict_proves_nothing(code: int, tmp_path: Path) -> None:
    engine = CommandEngine(settings(prove_command=["sh", "-c", f"exit {code}"]), tmp_path)
    with pytest.raises(UnprovenError, match=f"exit {code}"):
        engine.scan(b"", timeout_seconds=5)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"test_command": []}, "test_command"),
        ({"probe_command": []}, "probe_command"),
        ({"marker_template": "{text}", "marker_file": "{name}"}, "prove_command"),
        ({"must_detect": "/srv/bad"}, "must_detect: no prove_command"),
        ({"must_pass": "/srv/good"}, "must_pass: no prove_command"),
        ({"marker_template": "x", "marker_file": "{name}", "prove_command": ["x"]}, "{text}"),
        ({"marker_template": "{text}", "marker_file": "x", "prove_command": ["x"]}, "marker_file"),
    ],
    ids=[
        "no test",
        "no probe",
        "no proof",
        "nothing detects",
        "nothing passes",
        "no text",
        "no file name",
    ],
)
def test_settings_that_prove_nothing_are_refused(
    more: dict[str, object], named: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError) as caught:
        CommandEngine(settings(**more), tmp_path)
    assert named in str(caught.value)
