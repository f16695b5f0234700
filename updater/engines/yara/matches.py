"""One scan with compiled rules, and what matched."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keys.errors import UnprovenError
from updater.engines.base import MARKER_PREFIX

if TYPE_CHECKING:
    from updater.engines.yara.compiled import Ruleset

MAX_NAMES_LENGTH = 32 << 10
NOTHING_LOADED = "no rules are loaded"


@dataclass(frozen=True, slots=True)
class Match:
    """A rule that matched; ``namespace`` is its file: ``<channel>/<path>``."""

    rule: str
    namespace: str
    tags: tuple[str, ...]
    metadata: tuple[tuple[str, Any], ...]


def scan(
    ruleset: "Ruleset", data: bytes, externals: Mapping[str, str], *, timeout_seconds: float
) -> tuple[Match, ...]:
    """Scan once; each scan has a scanner of its own, for yara-x ties one to its thread.

    Raises:
        UnprovenError: the time was up, or yara-x gave up.

    """
    import yara_x  # noqa: PLC0415 - start-up time

    scanner = yara_x.Scanner(ruleset.rules)
    scanner.set_timeout(max(1, round(timeout_seconds)))
    for name, value in externals.items():
        scanner.set_global(name, value)
    try:
        results = scanner.scan(data)
    except (yara_x.TimeoutError, yara_x.ScanError) as exc:
        raise UnprovenError(f"yara-x: {exc}") from exc
    return tuple(
        Match(rule.identifier, rule.namespace, rule.tags, rule.metadata)
        for rule in results.matching_rules
        if not ruleset.ignored.hides(rule.namespace, rule.identifier)
    )


def names(matches: Iterable[Match]) -> str:
    """Join the names of the rules that matched, a marker's first, within ``MAX_NAMES_LENGTH``."""
    ordered = sorted(matches, key=lambda match: not match.namespace.startswith(MARKER_PREFIX))
    joined = ",".join(dict.fromkeys(match.rule for match in ordered))
    if len(joined) <= MAX_NAMES_LENGTH:
        return joined
    return joined[:MAX_NAMES_LENGTH].rpartition(",")[0]
