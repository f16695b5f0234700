"""A fragment: settings that a site signs for its scanner hosts, and which settings those can be.

It lies in the site's own repository as ``policy/settings.json``, signed by the role ``policy``. A
key is written with dots: ``interval_seconds``, ``limits.max_bytes_per_second``,
``engine.clamd.track``; ``*`` in the place of an engine's name means every engine.
"""

import re
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Annotated, Any, Literal

import msgspec

from keys.errors import SettingsError
from keys.model.release import Instant, Sequence, Wire

FRAGMENT_TARGET = "policy/settings.json"
MAX_FRAGMENT_BYTES = 256 << 10
MAX_KEYS = 200  # of one section
MAX_DAY_SECONDS = 86400
SAFE = "safe"  # in a host's list: every key of ``SAFE_SETTINGS``

Text = Annotated[str, msgspec.Meta(max_length=1000)]
Key = Annotated[str, msgspec.Meta(max_length=200)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")]
Value = bool | int | float | Text | Annotated[tuple[Text, ...], msgspec.Meta(max_length=100)]
Section = Annotated[dict[Key, Value], msgspec.Meta(max_length=MAX_KEYS)]


def _number(low: int, high: int) -> object:
    return Annotated[int, msgspec.Meta(ge=low, le=high)]


def _seconds(low: float, high: float) -> object:
    return Annotated[float, msgspec.Meta(ge=low, le=high)]


SAFE_SETTINGS: Mapping[str, Any] = {
    "interval_seconds": _number(10, MAX_DAY_SECONDS),
    "jitter_seconds": _number(0, MAX_DAY_SECONDS),
    "turns": _number(0, 100_000),
    "report.heartbeat_seconds": _number(10, MAX_DAY_SECONDS),
    "limits.connect_timeout_seconds": _seconds(1, 300),
    "limits.read_timeout_seconds": _seconds(1, 300),
    "limits.max_attempts": _number(1, 20),
    "limits.max_bytes_per_second": _number(4096, 1 << 53),
    "engine.*.track": Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}\Z")],
    "engine.*.test_timeout_seconds": _number(1, 3600),
    "engine.*.scan_timeout_seconds": _seconds(1, 300),
    "engine.*.reload_timeout_seconds": _number(1, 3600),
    "engine.*.keep_generations": _number(1, 20),
}
"""What a site may set unless a host says otherwise, within bounds that stop no host for good."""

NAMED_SETTINGS = frozenset({
    "mirrors", "credential_file", "ca_file", "proxy", "metrics.textfile",
    "limits.max_release_bytes", "limits.max_metadata_bytes", "limits.max_run_seconds",
    "limits.min_rate_bytes_per_second",
    "report.enabled", "report.member", "report.detections_command", "report.seats_command",
    "report.command_timeout_seconds",
    "engine.*.channels", "engine.*.vendor_check", "engine.*.may_suppress", "engine.*.overlay",
    "engine.*.must_detect", "engine.*.must_pass", "engine.*.socket", "engine.*.clamd_config",
    "engine.*.clamscan", "engine.*.memory_per_definition_byte", "engine.*.externals",
    "engine.*.test_command", "engine.*.reload_command", "engine.*.probe_command",
    "engine.*.prove_command", "engine.*.marker_template", "engine.*.marker_file",
})  # fmt: skip
"""What a site may set only where a host's own list names it. All other settings it cannot set."""

_ENGINE = re.compile(r"engine\.(?P<name>\*|[A-Za-z0-9][A-Za-z0-9_-]{0,63})\.(?P<key>[a-z_]+)")


class Fragment(Wire, frozen=True):
    """What a site sets: for everybody, and for hosts or pools by their credential's name."""

    format: Literal[1]
    sequence: Sequence
    published: Instant
    everyone: Section = msgspec.field(name="all", default_factory=dict)
    hosts: dict[Name, Section] = msgspec.field(default_factory=dict)

    def addressed(self, host: str) -> dict[str, Value]:
        """Return what it says to one host: its own section goes before everybody's."""
        found: dict[str, Value] = dict(self.everyone)
        for key, value in self.hosts.get(host, {}).items():
            found = {other: kept for other, kept in found.items() if not _covers(key, other)}
            found[key] = value
        return found


def check_section(section: Mapping[str, Value]) -> None:
    """Refuse a key that no site can set, and a value that a safe key cannot have.

    Raises:
        SettingsError: naming the key.

    """
    for key, value in section.items():
        kind = SAFE_SETTINGS.get(check_key(key))
        if isinstance(value, float) and not isfinite(value):
            raise SettingsError(f"{key} = {value}: no number that can be signed")
        if kind is None:
            continue
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError as exc:
            raise SettingsError(f"{key} = {value!r}: {exc}") from exc


def check_key(key: str) -> str:
    """Return a key with ``*`` in the place of an engine's name, if a site can set it at all.

    Raises:
        SettingsError: it cannot.

    """
    general = generally(key)
    known = {*SAFE_SETTINGS, *NAMED_SETTINGS}
    if general not in known:
        import difflib  # noqa: PLC0415 - start-up time: only for a mistake

        close = difflib.get_close_matches(general, known, n=1)
        raise SettingsError(
            f"{key}: no setting that a site can set",
            hint=f"perhaps {close[0]}" if close else "see `sigmirror config keys`",
        )
    return general


def generally(key: str) -> str:
    """Write ``*`` in the place of an engine's name."""
    found = _ENGINE.fullmatch(key)
    return f"engine.*.{found['key']}" if found else key


def engine_of(key: str) -> tuple[str, str]:
    """Split an engine's key into its name, or ``*``, and the rest; no name for other keys."""
    found = _ENGINE.fullmatch(key)
    return (found["name"], found["key"]) if found else ("", key)


def is_allowed(key: str, allow: Iterable[str]) -> bool:
    """Tell whether a host's list lets a site set a key."""
    listed = set(allow)
    return bool(listed & {key, generally(key)}) or (
        SAFE in listed and generally(key) in SAFE_SETTINGS
    )


def _covers(key: str, other: str) -> bool:
    return key == other or key == generally(other)
