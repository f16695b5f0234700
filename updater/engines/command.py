"""The engine command: any scanner that programs of the operator's choice can test, reload and ask.

Each command is a list of words, run without a shell and with a time limit. In every word
``{folder}`` is the generation (for the test) or ``current`` (for the others); in ``test_command``
and ``prove_command``, ``{sample}`` is a file to scan.

``test_command`` ends with 0 where every file of ``{folder}`` loads. ``reload_command`` and
``probe_command`` end with 0. ``prove_command`` asks the *running* engine to scan ``{sample}``, or
its standard input: 0 is clean, 1 is found with the name on standard output, anything else is no
answer. Only with it and a ``marker_template`` (``{name}`` and ``{text}`` are replaced) can a
generation be proven; without, the engine is probed at most.
"""

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from keys.errors import EngineError, HostError, SettingsError, UnprovenError
from keys.model.names import check_path
from keys.model.release import File
from updater.engines.base import MARKER_PREFIX, Loaded, Marker, Verdict
from updater.engines.marker import fresh
from updater.engines.process import LOW_PRIORITY, Finished, run
from updater.settings import EngineSettings

CLEAN, FOUND = 0, 1
MAX_TOLD = 500  # characters of a program's own words in a message
_PLACEHOLDER = re.compile(r"\{(folder|name|sample|text)\}")


class CommandEngine:
    """One scanner; ``folder`` is where ``current`` and the generations stand."""

    kind = "command"
    ignores = False

    def __init__(self, settings: EngineSettings, folder: Path) -> None:
        self.proves = bool(settings.marker_template)
        self.scans = bool(settings.prove_command)
        self._settings = settings
        self._current = folder / "current"
        _check(settings)

    def layout(self, channel: str, files: tuple[File, ...]) -> Mapping[str, File]:
        """Keep every file under its channel: ``<channel>/<path>``."""
        for file in files:
            if file.path.rpartition("/")[2].startswith(MARKER_PREFIX):
                raise EngineError(f"{channel}: {file.path!r} has the name of a marker")
        return {f"{channel}/{file.path}": file for file in files}

    def suppresses(self, file: File) -> bool:  # noqa: ARG002 - the contract's signature
        """Tell that none is known to: what the files mean is between them and the engine."""
        return False

    def marker(self, generation: int) -> Marker:
        """Fill in the template; the file's ``{name}`` begins with the reserved prefix."""
        seed = fresh(generation)
        definition = _fill(self._settings.marker_template, name=seed.name, text=seed.text)
        file_name = _fill(self._settings.marker_file, name=seed.stem)
        return Marker(seed.name, seed.sample, file_name, f"{definition}\n".encode())

    def ignore_file(
        self,
        ignored: Mapping[str, Sequence[str]],  # noqa: ARG002 - the contract's signature
        marker: Marker | None,  # noqa: ARG002 - as above
    ) -> Mapping[str, bytes]:
        """Write nothing: how the engine would ignore a signature is not known."""
        return {}

    def version(self) -> str:
        """Name the kind: the engine's own version is not known."""
        return self.kind

    def test(self, folder: Path, marker: Marker | None) -> Loaded:
        """Run ``test_command``; how many definitions it loads is not known."""
        finished = self._run(
            self._settings.test_command,
            folder,
            sample=marker.sample if marker else b"",
            timeout_seconds=self._settings.test_timeout_seconds,
            nice=LOW_PRIORITY,
        )
        if finished.code != 0:
            raise EngineError(
                _told(self._settings.test_command, finished).replace(f"{folder}/", "")
            )
        return Loaded(0, _shortened(finished.output))

    def reload(self) -> None:
        """Run ``reload_command``, if there is one."""
        if self._settings.reload_command:
            self._expect_success(
                self._settings.reload_command, self._settings.reload_timeout_seconds
            )

    def probe(self) -> None:
        """Run ``probe_command``, or scan something where there is none."""
        if self._settings.probe_command:
            self._expect_success(self._settings.probe_command, self._settings.scan_timeout_seconds)
        else:
            self.scan(b"", timeout_seconds=self._settings.scan_timeout_seconds)

    def findings(self) -> tuple[str, ...]:
        """Say what a proof lacks."""
        if self.proves:
            return ()
        return ("no marker_template: what this engine runs is probed, never proven",)

    def scan(self, data: bytes, *, timeout_seconds: float) -> tuple[Verdict, str]:
        """Run ``prove_command``; without one nothing is known of any sample."""
        command = self._settings.prove_command
        if not command:
            raise UnprovenError("no prove_command: this engine cannot be asked to scan")
        finished = self._ask(command, data, timeout_seconds)
        if finished.code == CLEAN:
            return Verdict.clean, ""
        if finished.code == FOUND:
            return Verdict.found, finished.output.strip()
        raise UnprovenError(_told(command, finished))

    def _expect_success(self, command: Sequence[str], timeout_seconds: float) -> None:
        finished = self._ask(command, b"", timeout_seconds)
        if finished.code != 0:
            raise UnprovenError(_told(command, finished))

    def _ask(self, command: Sequence[str], sample: bytes, timeout_seconds: float) -> Finished:
        """Run a command about the running engine; one that cannot be run is no answer either."""
        try:
            return self._run(command, self._current, sample=sample, timeout_seconds=timeout_seconds)
        except HostError as exc:
            raise UnprovenError(str(exc)) from exc

    @staticmethod
    def _run(
        command: Sequence[str],
        folder: Path,
        *,
        sample: bytes,
        timeout_seconds: float,
        nice: int = 0,
    ) -> Finished:
        with tempfile.NamedTemporaryFile(prefix="sigupdate-") as file:
            file.write(sample)
            file.flush()
            argv = [_fill(word, folder=str(folder), sample=file.name) for word in command]
            return run(argv, timeout_seconds=timeout_seconds, stdin=sample, nice=nice)


def _check(settings: EngineSettings) -> None:
    """Refuse settings with which nothing could be tested or asked.

    Raises:
        SettingsError: naming the key.

    """
    what = f"engine {settings.name}"
    if not settings.test_command:
        raise SettingsError(f"{what}: test_command: needed for kind = 'command'")
    if not settings.probe_command and not settings.prove_command:
        raise SettingsError(f"{what}: needs a probe_command or a prove_command")
    for key in ("must_detect", "must_pass"):
        if getattr(settings, key) and not settings.prove_command:
            raise SettingsError(f"{what}: {key}: no prove_command scans its files")
    if settings.marker_template:
        _check_marker(settings, what)


def _check_marker(settings: EngineSettings, what: str) -> None:
    if not settings.prove_command:
        raise SettingsError(f"{what}: marker_template: no prove_command looks for it")
    if "{text}" not in settings.marker_template:
        raise SettingsError(f"{what}: marker_template: does not hold {{text}}")
    if not settings.marker_file.rpartition("/")[2].startswith("{name}"):
        raise SettingsError(f"{what}: marker_file: a name that begins with {{name}} is needed")
    check_path(_fill(settings.marker_file, name=MARKER_PREFIX))


def _fill(word: str, **values: str) -> str:
    """Replace the placeholders that are known here, all at once; other braces stay."""
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), word)


def _told(command: Sequence[str], finished: Finished) -> str:
    said = _shortened(finished.errors) or _shortened(finished.output) or "it said nothing"
    return f"{command[0]}: exit {finished.code}: {said}"


def _shortened(text: str) -> str:
    return " ".join(text.split())[:MAX_TOLD]
