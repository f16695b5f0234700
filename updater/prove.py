"""Proof that the running engine reads a generation: real scan requests, nothing it says of itself.

Proven means: this generation's marker is found and the one before it is not, a clean sample
passes, and the operator's own samples hold. A reload asked for during a load is dropped by some
engines without a word, so it is asked for again, less and less often, until the time is up.
"""

import time
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path

import msgspec

from keys.errors import LimitError, SettingsError, UnprovenError
from updater.engines.base import Engine, Verdict
from updater.state import MarkerRecord, Proved

CLEAN_SAMPLE = b"This text is clean. It was written to be scanned and to pass.\n"
MAX_SAMPLES = 1000
MAX_SAMPLE_BYTES = 25 << 20
FIRST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 1.0
FIRST_RESEND_SECONDS = 1.0


class Why(Enum):
    """What stands in the way of a proof."""

    nothing = "nothing"
    down = "down"  # no connection or no answer
    marker = "marker"  # answers, but shows neither this marker nor the one before
    stale = "stale"  # answers, and still runs the generation before
    samples = "samples"  # runs this generation, and it misses or hits what it must not


class Proof(msgspec.Struct, frozen=True):
    """What is known, in one word and in words, and what stood in the way."""

    result: Proved
    detail: str
    why: Why = Why.nothing

    @property
    def holds(self) -> bool:
        """Tell whether all that can be proved of this engine was proved."""
        return self.result in {Proved.proven, Proved.probed}


class Samples(msgspec.Struct, frozen=True):
    """Folders of files the engine must detect, and must let pass."""

    must_detect: str = ""
    must_pass: str = ""


class Patience(msgspec.Struct, frozen=True):
    """How long to wait: for one scan, and for a load to end."""

    scan_seconds: float
    reload_seconds: float


class Prover:
    """Proves generations of one engine."""

    def __init__(
        self,
        engine: Engine,
        samples: Samples,
        patience: Patience,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._engine = engine
        self._samples = samples
        self._patience = patience
        self._clock = clock
        self._sleep = sleep

    def check_samples(self) -> None:
        """Refuse folders of samples that cannot be used, before anything is touched.

        Raises:
            SettingsError, LimitError: naming the folder or file.

        """
        for folder in (self._samples.must_detect, self._samples.must_pass):
            for _ in _samples(folder):
                pass

    def baseline(self, marker: MarkerRecord | None) -> Why:
        """Tell how the engine is before it is touched; samples are not looked at."""
        try:
            if marker or not self._engine.proves:
                return self._markers(marker, None).why
            self._scan(CLEAN_SAMPLE)
        except UnprovenError:
            return Why.down
        return Why.marker

    def look(self, marker: MarkerRecord | None, previous: MarkerRecord | None) -> Proof:
        """Prove what runs now, without waiting and without a reload."""
        try:
            seen = self._markers(marker, previous)
            return seen if seen.why is not Why.nothing else self._check_samples(seen)
        except UnprovenError as exc:
            return Proof(Proved.unproven, str(exc), Why.down)

    def reload_and_wait(self, marker: MarkerRecord | None, previous: MarkerRecord | None) -> Proof:
        """Ask for a reload and prove the outcome, for at most ``reload_seconds``."""
        proof = Proof(Proved.unproven, "the engine was never asked", Why.down)
        for _ in self._attempts():
            proof = self.look(marker, previous)
            if proof.why in {Why.nothing, Why.samples}:
                break
        return proof

    def _attempts(self) -> Iterator[None]:
        """Reload, then give turns with growing pauses; reload again ever less often."""
        start = self._clock()
        pause, resend = FIRST_PAUSE_SECONDS, FIRST_RESEND_SECONDS
        self._reload()
        while True:
            yield
            waited = self._clock() - start
            if waited >= self._patience.reload_seconds:
                return
            if waited >= resend:
                self._reload()
                resend *= 2
            self._sleep(min(pause, max(0.0, self._patience.reload_seconds - waited)))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _reload(self) -> None:
        try:
            self._engine.reload()
        except UnprovenError:
            return  # the scan that follows tells whether it is down

    def _markers(self, marker: MarkerRecord | None, previous: MarkerRecord | None) -> Proof:
        if marker is None or not self._engine.proves:
            self._engine.probe()
            return Proof(Proved.probed, "the engine answers; it takes no marker")
        verdict, name = self._scan(marker.sample)
        if verdict is Verdict.found and marker.name in name:
            return self._decoy(marker) or self._previous_gone(previous)
        if verdict is Verdict.found:
            reason = f"the marker's sample is reported as {name!r}: another definition hides it"
            return Proof(Proved.unproven, reason, Why.marker)
        if previous and self._shows(previous):
            reason = "the engine still runs the generation before"
            return Proof(Proved.unproven, reason, Why.stale)
        reason = "the engine shows no marker of ours: another engine, or another folder is read"
        return Proof(Proved.unproven, reason, Why.marker)

    def _previous_gone(self, previous: MarkerRecord | None) -> Proof:
        if previous and self._shows(previous):
            reason = f"the engine shows this marker and the one before ({previous.name})"
            return Proof(Proved.unproven, reason, Why.stale)
        return Proof(Proved.proven, "marker found" + (", the one before gone" if previous else ""))

    def _shows(self, marker: MarkerRecord) -> bool:
        verdict, name = self._scan(marker.sample)
        return verdict is Verdict.found and marker.name in name

    def _decoy(self, marker: MarkerRecord) -> Proof | None:
        """Look for what is ignored with the site's signatures, and is never to be found."""
        if not marker.decoy_sample:
            return None
        verdict, name = self._scan(marker.decoy_sample)
        if verdict is Verdict.clean:
            return None
        return _failed(f"the engine does not ignore what it is told to: it reports {name!r}")

    def _check_samples(self, proof: Proof) -> Proof:
        if not self._engine.scans:
            return proof
        verdict, name = self._scan(CLEAN_SAMPLE)
        if verdict is Verdict.found:
            return _failed(f"a clean sample is reported as {name!r}")
        for path, data in _samples(self._samples.must_pass):
            verdict, name = self._scan(data)
            if verdict is Verdict.found:
                return _failed(f"must_pass {path}: reported as {name!r}")
        for path, data in _samples(self._samples.must_detect):
            verdict, name = self._scan(data)
            if verdict is Verdict.clean:
                return _failed(f"must_detect {path}: not detected")
        return proof

    def _scan(self, data: bytes) -> tuple[Verdict, str]:
        return self._engine.scan(data, timeout_seconds=self._patience.scan_seconds)


def _failed(reason: str) -> Proof:
    return Proof(Proved.failed, reason, Why.samples)


def _samples(folder: str) -> Iterator[tuple[Path, bytes]]:
    """Read an operator's samples one by one, hidden files left out.

    Raises:
        SettingsError: the folder or a file cannot be read.
        LimitError: more than ``MAX_SAMPLES``, or one larger than ``MAX_SAMPLE_BYTES``.

    """
    if not folder:
        return
    try:
        paths = sorted(p for p in Path(folder).rglob("*") if p.is_file() and p.name[0] != ".")
        if not paths:
            raise SettingsError(f"samples {folder}: no file in it")
        if len(paths) > MAX_SAMPLES:
            raise LimitError(f"samples {folder}: more than {MAX_SAMPLES=} files")
        for path in paths:
            if path.stat().st_size > MAX_SAMPLE_BYTES:
                raise LimitError(f"sample {path}: more than {MAX_SAMPLE_BYTES=}")
            yield path, path.read_bytes()
    except OSError as exc:
        raise SettingsError(f"samples {folder}: {exc.strerror or exc}") from exc
