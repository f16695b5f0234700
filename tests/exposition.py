"""What is exported to Prometheus, and what PromQL asks for; promtool judges both."""

import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_SAMPLE = re.compile(r"(?P<name>[a-z_:]+)(?:\{(?P<labels>.*)\})? \S+")
_LABEL = re.compile(r'([a-z_]+)(=~|!~|!=|=)"((?:[^"\\]|\\.)*)"')
_SELECTOR = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{([^}]*)\}")
_BESIDE = re.compile(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(?:by|on) \([^)]*\)')
_WORD = re.compile(r"(?<![\w.])[a-zA-Z_:][a-zA-Z0-9_:]*")
_OF_PROMQL = frozenset(
    [
        *("absent", "count", "count_values", "increase", "max", "max_over_time", "min", "rate"),
        *("sum", "time", "topk", "vector", "and", "by", "on", "or", "unless"),
    ]
)
_OF_PROMETHEUS = frozenset({"up", "ALERTS"})
_OF_A_SCRAPE = frozenset({"instance", "job"})


def promtool(*words: object) -> None:
    """Run it; it must not complain."""
    code, said = _promtool(*words)
    assert code == 0, said


def lint(text: str) -> list[str]:
    """List what promtool has to say against an exposition."""
    code, said = _promtool("check", "metrics", told=text)
    assert code in {0, 3}, said
    return said.splitlines()


def _promtool(*words: object, told: str = "") -> tuple[int, str]:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    command = ["promtool", *map(str, words)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, input=told)
    return done.returncode, done.stdout + done.stderr


@dataclass(frozen=True)
class Series:
    """One series: its name, and its labels with what is asked of each."""

    name: str
    labels: tuple[tuple[str, str, str], ...]


def exported(text: str) -> set[str]:
    """Name what is exported, with or without samples."""
    return set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))


def samples(text: str) -> Iterator[Series]:
    """List the series of an exposition."""
    for line in text.splitlines():
        if not line.startswith("#") and (found := _SAMPLE.fullmatch(line)):
            yield Series(found["name"], _labels(found["labels"] or ""))


def asked(query: str) -> Iterator[Series]:
    """List what a query asks for."""
    for name, labels in _SELECTOR.findall(query):
        yield Series(name, _labels(labels))
    for name in _WORD.findall(_BESIDE.sub(" ", query)):
        if name not in _OF_PROMQL:
            yield Series(name, ())


def _labels(text: str) -> tuple[tuple[str, str, str], ...]:
    return tuple((name, how, value) for name, how, value in _LABEL.findall(text))


@dataclass(frozen=True)
class Exposition:
    """Everything a mirror and a host export, put together."""

    text: str

    def complaints(self, query: str) -> list[str]:
        """Say what a query asks for that nobody exports."""
        names, known = exported(self.text), list(samples(self.text))
        found: list[str] = []
        for series in asked(query):
            if series.name in _OF_PROMETHEUS:
                continue
            if series.name not in names:
                found.append(f"{series.name} is exported by nobody")
            pairs = {(n, v) for one in known if one.name == series.name for n, _, v in one.labels}
            found += [
                f"{series.name}: no label {name}{how}{value!r}"
                for name, how, value in series.labels
                if name not in _OF_A_SCRAPE and not _answers(pairs, name, how, value)
            ]
        return found


def _answers(pairs: set[tuple[str, str]], name: str, how: str, value: str) -> bool:
    """Tell whether a label is there, and, where words are ours, one with this value."""
    values = {found for label, found in pairs if label == name}
    if name in {"kind", "state", "role", "track"} and how in {"=", "=~"}:
        return all(word in values for word in (value.split("|") if how == "=~" else [value]))
    return bool(values)


def write_rules(path: Path, queries: list[str]) -> Path:
    """Write queries as rules, so that promtool parses them."""
    lines = ["groups:", "  - name: parsed", "    rules:"]
    for number, query in enumerate(queries):
        quoted = query.replace("'", "''")
        lines += [f"      - record: query_{number}", f"        expr: '{quoted}'"]
    path.write_text("\n".join(lines) + "\n")
    return path


def fetch(address: str) -> str:
    """Scrape an address; what does not answer yet shows nothing."""
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=60) as answer:
            return str(answer.read().decode())
    except urllib.error.URLError:
        return ""
