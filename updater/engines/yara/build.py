"""Compiling in a process of its own: rules that crash, hang or fill it leave the caller unharmed.

It also keeps a running scanner answering: yara-x holds the interpreter while it compiles.
``order`` starts the process and judges how it ended; ``main`` is what runs in it.
"""

import signal
import sys
from dataclasses import replace
from pathlib import Path

import msgspec

from keys.errors import EngineError, HostError
from updater.engines.process import LOW_PRIORITY, Finished, run
from updater.engines.yara import compiled, ignored, sources

MAX_ORDER_BYTES = 1 << 20
CLEAN_SAMPLE = b"nothing to see here\n"
_OUT_OF_MEMORY = "memory allocation of"  # what Rust says before it aborts
_PANIC = "panicked at"  # what Rust says where yara-x itself is wrong about its input


class Order(msgspec.Struct, frozen=True):
    """Compile ``folder`` into the file ``output``, then scan with what can be read back from it."""

    folder: str
    output: str
    externals: tuple[str, ...]
    marker_name: str = ""
    marker_sample: bytes = b""
    decoy_sample: bytes = b""


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many rules and files there are, or who is to blame that there are none.

    ``ignored`` are the names of rules that never count.
    """

    rules: int = 0
    files: int = 0
    ignored: tuple[str, ...] = ()
    refused: str = ""
    host: str = ""


def order(wanted: Order, *, timeout_seconds: float) -> Outcome:
    """Have a rule set compiled at low priority.

    Raises:
        EngineError: yara-x refuses a file, or the rules miss the marker or hit a clean sample.
        HostError: no memory, no time, no disk, or yara-x is not installed.

    """
    finished = run(
        [sys.executable, "-P", "-m", "updater.engines.yara.build"],
        timeout_seconds=timeout_seconds,
        stdin=msgspec.json.encode(wanted),
        nice=LOW_PRIORITY,
    )
    return judge(finished)


def judge(finished: Finished) -> Outcome:
    """Read how the process ended.

    Raises:
        EngineError, HostError: as ``order``.

    """
    last = finished.errors.strip().rpartition("\n")[2]
    if finished.code == -signal.SIGKILL or _OUT_OF_MEMORY in finished.errors:
        raise HostError("yara-x: out of memory while compiling the rules")
    if finished.code < 0 or _PANIC in finished.errors:
        ending = signal.Signals(-finished.code).name if finished.code < 0 else "a panic"
        raise EngineError(f"yara-x: died of {ending} over these rules")
    try:
        outcome = msgspec.json.decode(finished.output, type=Outcome)
    except msgspec.DecodeError as exc:
        raise HostError(f"yara-x: exit {finished.code}: {last[:200]}") from exc
    if outcome.refused:
        raise EngineError(outcome.refused)
    if outcome.host:
        raise HostError(outcome.host)
    return outcome


def main() -> None:
    """Carry out the order on standard input."""
    wanted = msgspec.json.decode(sys.stdin.buffer.read(MAX_ORDER_BYTES), type=Order)
    sys.stdout.buffer.write(msgspec.json.encode(_carry_out(wanted)))


def _carry_out(wanted: Order) -> Outcome:
    try:
        found = sources.read(Path(wanted.folder))
        key = sources.key(found, wanted.externals, compiled.version())
        compiled.write(Path(wanted.output), compiled.compile_rules(found, wanted.externals), key)
        ruleset = compiled.read(Path(wanted.output), key)
        if ruleset is None:
            return Outcome(host=f"{wanted.output}: cannot be read back")
        ruleset = replace(ruleset, ignored=ignored.read(Path(wanted.folder)))
        _check_samples(ruleset, wanted)
    except EngineError as exc:
        return Outcome(refused=str(exc))
    except (OSError, HostError) as exc:
        return Outcome(host=f"yara-x: {exc}")
    return Outcome(rules=ruleset.count, files=len(found), ignored=_ignored(ruleset))


def _ignored(ruleset: compiled.Ruleset) -> tuple[str, ...]:
    """Name the rules that are there and never count."""
    hides = ruleset.ignored.hides
    if not ruleset.ignored.places:
        return ()
    return tuple(r.identifier for r in ruleset.rules if hides(r.namespace, r.identifier))


def _check_samples(ruleset: compiled.Ruleset, wanted: Order) -> None:
    if clean := _hits(ruleset, CLEAN_SAMPLE):
        raise EngineError(f"yara-x: a clean sample is taken for {clean[0]}")
    name = wanted.marker_name
    if name and name not in _hits(ruleset, wanted.marker_sample):
        raise EngineError(f"yara-x: the marker {name} is not found in its sample")
    if wanted.decoy_sample and (hit := _hits(ruleset, wanted.decoy_sample)):
        raise EngineError(f"yara-x: what is to be ignored is found: {hit[0]}")


def _hits(ruleset: compiled.Ruleset, data: bytes) -> list[str]:
    return [
        rule.identifier
        for rule in ruleset.rules.scan(data).matching_rules
        if not ruleset.ignored.hides(rule.namespace, rule.identifier)
    ]


if __name__ == "__main__":
    main()
