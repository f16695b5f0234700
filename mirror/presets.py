"""What is known of the feeds that people use: addresses, limits, integrity, terms.

A preset is settings an operator need not write. Each fact carries its source in ``sources``; what
nobody verified is listed in ``unverified`` and shown with the preset.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from keys.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Preset:
    """One feed; ``settings`` are keys of an upstream, ``floor_seconds`` its shortest interval."""

    title: str
    settings: Mapping[str, Any]
    floor_seconds: int
    integrity: str
    terms: str
    unverified: tuple[str, ...] = ()
    needs: tuple[str, ...] = field(default=())  # keys the operator must write


PRESETS: Mapping[str, Preset] = {
    "official": Preset(
        title="ClamAV official databases",
        settings={
            "kind": "clamav",
            "engine": "clamd",
            "driver": "cvdupdate",
            "interval_seconds": 4 * 3600,
            "redistribution": "public",
        },
        floor_seconds=3600,
        integrity="the vendor's own signatures: header, members, cdiffs, .sign",
        terms="a private mirror is recommended for more than ten hosts",
    ),
}


def filled(raw: dict[str, Any], what: str) -> dict[str, Any]:
    """Return raw settings with every preset's keys put below the operator's own.

    Raises:
        SettingsError: no such preset; the message lists those there are.

    """
    upstreams = raw.get("upstream")
    if not isinstance(upstreams, list):
        return raw
    return {**raw, "upstream": [_filled(one, what) for one in upstreams]}


def _filled(upstream: object, what: str) -> object:
    if not isinstance(upstream, dict) or not (name := upstream.get("preset")):
        return upstream
    preset = PRESETS.get(name) if isinstance(name, str) else None
    if preset is None:
        known = ", ".join(sorted(PRESETS))
        raise SettingsError(f"{what}: upstream.preset: no preset {name!r}", hint=f"known: {known}")
    return {**preset.settings, **upstream}
