"""What is known of the feeds that people use: addresses, limits, integrity, terms.

A preset is settings an operator need not write. ``sources`` says where its facts come from; what
nobody verified is listed in ``unverified``: it is shown with the preset and nothing rests on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keys.errors import SettingsError

OFFICIAL = "official"
_HOUR = 3600
_REJECTED = "401 or 403: pulls stop until the credential changes; a page for people: 4 hours' pause"
_REFUSED = "401 or 403: a day's pause; a page for people: 4 hours' pause"


@dataclass(frozen=True, slots=True)
class Preset:
    """One feed; ``settings`` are keys of an upstream, ``floor_seconds`` its shortest interval.

    ``needs`` names the keys an operator must write besides ``channel``.
    """

    title: str
    address: str
    settings: Mapping[str, Any]
    floor_seconds: int
    floor: str
    integrity: str
    terms: str
    sources: tuple[str, ...]
    unverified: tuple[str, ...] = ()
    blocked: str = _REJECTED
    needs: tuple[str, ...] = ()


PRESETS: Mapping[str, Preset] = {
    OFFICIAL: Preset(
        title="ClamAV official databases",
        address="https://database.clamav.net/{main,daily,bytecode}.cvd, daily-N.cdiff",
        settings={
            "kind": "clamav",
            "engine": "clamd",
            "driver": "cvdupdate",
            "interval_seconds": 4 * _HOUR,
            "redistribution": "public",
        },
        floor_seconds=_HOUR,
        floor="at most once an hour, counted by address; scripted wget and curl are denied",
        integrity="signed: header, members, cdiffs and .sign files by the vendor's own keys",
        terms="a private mirror is recommended for more than ten hosts",
        sources=("ClamAV's documentation and sources", "cvdupdate 1.2.0"),
        blocked="403: a day's pause; 429: as long as it says, else 4 hours",
    ),
    "securiteinfo": Preset(
        title="SecuriteInfo signatures for ClamAV",
        address="https://www.securiteinfo.com/get/signatures/{token}/<file>",
        settings={
            "kind": "http",
            "engine": "clamd",
            "url": "https://www.securiteinfo.com/get/signatures/{token}",
            "auth": "path",
            "names": [
                "securiteinfo.hdb",
                "securiteinfoandroid.hdb",
                "securiteinfoascii.hdb",
                "securiteinfohtml.hdb",
                "securiteinfopdf.hdb",
                "javascript.ndb",
                "spam_marketing.ndb",
            ],
            "version": "sidecar",
            "verify": ["sha256"],
            "allow_unsigned": True,
            "interval_seconds": 4 * _HOUR,
        },
        floor_seconds=_HOUR,
        floor="paid 1 hour, free 4 hours; the vendor bans who asks in unusual ways",
        integrity="digest: a .sha256 from the same host proves the transfer, not the origin",
        terms="not found; served to this site's own hosts only",
        sources=("fangfrisch 1.9.3", "clamav-unofficial-sigs"),
        unverified=("the terms of redistribution",),
        needs=("token_file",),
    ),
    "sanesecurity": Preset(
        title="Sanesecurity signatures for ClamAV, over HTTP",
        address="http://mirror.sentries.org/sanesecurity/<file>, or another HTTP mirror",
        settings={
            "kind": "http",
            "engine": "clamd",
            "url": "http://mirror.sentries.org/sanesecurity",
            "names": [
                "badmacro.ndb",
                "blurl.ndb",
                "foxhole_filename.cdb",
                "foxhole_generic.cdb",
                "foxhole_js.cdb",
                "foxhole_js.ndb",
                "junk.ndb",
                "jurlbl.ndb",
                "jurlbla.ndb",
                "lott.ndb",
                "malwarehash.hsb",
                "phish.ndb",
                "phishtank.ndb",
                "porcupine.ndb",
                "rogue.hdb",
                "sanesecurity.ftm",
                "scam.ndb",
                "spamattach.hdb",
                "spamimg.hdb",
                "spear.ndb",
                "spearl.ndb",
            ],
            "version": "last-modified",
            "verify": ["openpgp"],
            "signature_suffix": ".sig",
            "interval_seconds": 2 * _HOUR,
            "redistribution": "licensed-hosts",
        },
        floor_seconds=_HOUR,
        floor="1 to 2 hours in public tools; a sister feed bans who asks more than once an hour",
        integrity="signed: a detached OpenPGP .sig for each file; pin the key beforehand",
        terms="not found; served to this site's own hosts only",
        blocked=_REFUSED,
        sources=("fangfrisch 1.9.3", "clamav-unofficial-sigs"),
        unverified=(
            "the terms of redistribution",
            "that an HTTP mirror carries the .sig files; without them nothing is published",
            "which of the files there are today: put your own list into names",
        ),
        needs=("verify_keys", "fingerprints"),
    ),
    "malwarepatrol": Preset(
        title="MalwarePatrol list for ClamAV",
        address="https://lists.malwarepatrol.net/cgi/getfile?product=&list=&receipt={token}",
        settings={
            "kind": "http",
            "engine": "clamd",
            "url": "https://lists.malwarepatrol.net/cgi/getfile?product=8&list=clamav_basic",
            "auth": "query",
            "auth_name": "receipt",
            "save_as": "malwarepatrol.db",
            "version": "etag",
            "allow_unsigned": True,
            "interval_seconds": 24 * _HOUR,
        },
        floor_seconds=24 * _HOUR,
        floor="24 hours; the free list is rebuilt every 72 hours",
        integrity="none: nothing but TLS vouches for the bytes",
        terms="the free list is for non-commercial use; "
        "protecting your customers needs a commercial licence",
        sources=("fangfrisch 1.9.3", "the vendor's page"),
        needs=("token_file",),
    ),
    "urlhaus": Preset(
        title="URLhaus signatures for ClamAV",
        address="https://urlhaus-api.abuse.ch/v2/files/exports/{token}/urlhaus_clamav.ndb",
        settings={
            "kind": "http",
            "engine": "clamd",
            "url": "https://urlhaus-api.abuse.ch/v2/files/exports/{token}",
            "auth": "path",
            "names": ["urlhaus_clamav.ndb"],
            "version": "sidecar",
            "verify": ["sha256"],
            "allow_unsigned": True,
            "interval_seconds": 600,
        },
        floor_seconds=300,
        floor="rebuilt every 5 minutes, not to be fetched more often",
        integrity="digest: a .sha256 from the same host proves the transfer, not the origin",
        terms="CC0 by the Suricata rule index; commercial use of the API may need a subscription",
        sources=("fangfrisch 1.9.3", "the vendor's page", "the Suricata rule index"),
        needs=("token_file",),
    ),
    "et-open": Preset(
        title="Emerging Threats Open rules for Suricata",
        address="https://rules.emergingthreats.net/open/suricata-<version>/emerging.rules.tar.gz",
        settings={
            "kind": "http",
            "engine": "suricata",
            "url": "https://rules.emergingthreats.net/open/suricata-7.0.3/emerging.rules.tar.gz",
            "version": "sidecar",
            "verify": ["md5"],
            "allow_unsigned": True,
            "archive": "tar.gz",
            "include": ["*.rules", "*.config", "*.map", "*LICENSE*", "*License*"],
            "strip": 1,
            "interval_seconds": 4 * _HOUR,
            "redistribution": "public",
        },
        floor_seconds=900,
        floor="suricata-update waits at least 15 minutes between two pulls",
        integrity="digest: an .md5 from the same host proves the transfer, not the origin",
        terms="MIT and BSD; some older rules are GPL-2.0 (the licences are in the archive)",
        blocked=_REFUSED,
        sources=("suricata-update 1.3.3 and its rule index", "a genuine archive"),
        unverified=("which version folders there are: put your engine's version into url",),
    ),
    "et-pro": Preset(
        title="Emerging Threats Pro rules for Suricata",
        address="https://rules.emergingthreatspro.com/{token}/suricata-<version>/etpro.rules.tar.gz",
        settings={
            "kind": "http",
            "engine": "suricata",
            "url": "https://rules.emergingthreatspro.com/{token}/suricata-7.0.3/etpro.rules.tar.gz",
            "auth": "path",
            "version": "etag",
            "allow_unsigned": True,
            "archive": "tar.gz",
            "include": ["*.rules", "*.config", "*.map", "*LICENSE*", "*License*"],
            "strip": 1,
            "interval_seconds": 4 * _HOUR,
        },
        floor_seconds=900,
        floor="suricata-update waits at least 15 minutes between two pulls",
        integrity="none: the rule index says there is no checksum; only TLS vouches",
        terms="commercial: served to this site's own hosts only",
        sources=("suricata-update 1.3.3 and its rule index",),
        unverified=(
            "the vendor's own limits on how often to ask",
            "which version folders there are: put your engine's version into url",
        ),
        needs=("token_file",),
    ),
    "snort": Preset(
        title="Snort subscriber and registered rules",
        address="https://www.snort.org/rules/snortrules-snapshot-<version>.tar.gz?oinkcode={token}",
        settings={
            "kind": "http",
            "engine": "snort",
            "auth": "query",
            "auth_name": "oinkcode",
            "version": "etag",
            "allow_unsigned": True,
            "archive": "tar.gz",
            "include": ["*.rules", "*.config", "*.map", "*LICENSE*", "*License*"],
            "missing_means_blocked": True,
            "interval_seconds": 6 * _HOUR,
        },
        floor_seconds=_HOUR,
        floor="hourly; more than 3 checks in 5 minutes are abuse",
        integrity="none: pulledpork3 checks nothing; only TLS vouches",
        terms="the code is not to be shared; rules of the Limited Ruleset go to no third party "
        "(licence, 3.1); registered users get rules 30 days late",
        sources=("pulledpork3", "the vendor's page and licence"),
        unverified=("an .md5 beside the archive: not asked for",),
        blocked="404, shown as a text: counted as a block, 4 hours' pause; 401 or 403: pulls stop",
        needs=("url", "token_file"),
    ),
    "yara-forge": Preset(
        title="YARA Forge core rules",
        address="https://github.com/YARAHQ/yara-forge/releases: core, extended or full",
        settings={
            "kind": "http",
            "engine": "yara",
            "url": "https://github.com/YARAHQ/yara-forge/releases/latest/download/"
            "yara-forge-rules-core.zip",
            "version": "json-pointer",
            "version_at": "https://api.github.com/repos/YARAHQ/yara-forge/releases/latest",
            "version_pointer": "/tag_name",
            "verify": ["github-digest"],
            "allow_unsigned": True,
            "archive": "zip",
            "include": ["*.yar"],
            "strip": 2,
            "interval_seconds": 12 * _HOUR,
            "redistribution": "licensed-hosts",
        },
        floor_seconds=_HOUR,
        floor="GitHub limits its API by address; releases are weekly, tagged yyyymmdd",
        integrity="digest: the sha256 that GitHub's API states for the asset",
        terms="each rule keeps its author's licence: served to this site's own hosts only",
        blocked=_REFUSED,
        sources=("the project's release workflow", "GitHub's API", "a genuine archive"),
    ),
    "valhalla": Preset(
        title="Valhalla YARA rules",
        address="POST https://valhalla.nextron-systems.com/api/v1/get, form field apikey",
        settings={
            "kind": "http",
            "engine": "yara",
            "url": "https://valhalla.nextron-systems.com/api/v1/get",
            "auth": "form",
            "auth_name": "apikey",
            "form": {"format": "text"},
            "save_as": "valhalla.yar",
            "version": "etag",
            "allow_unsigned": True,
            "interval_seconds": 24 * _HOUR,
        },
        floor_seconds=_HOUR,
        floor="none is stated; the vendor blocks who asks in unusual ways",
        integrity="none: nothing but TLS vouches for the bytes",
        terms="as your subscription says: served to this site's own hosts only",
        sources=("valhallaapi 0.6.5 and its documentation",),
        unverified=(
            "the form field format=text: public scripts send it, the vendor's client takes JSON",
        ),
        needs=("token_file",),
    ),
}


def filled(raw: dict[str, Any], what: str) -> dict[str, Any]:
    """Return raw settings with every preset's keys put below the operator's own.

    Raises:
        SettingsError: no such preset; the message lists those there are.

    """
    below = fillings(raw, what)
    if not below:
        return raw
    pairs = zip(below["upstream"], raw["upstream"], strict=True)
    return {**raw, "upstream": [_merged(low, written) for low, written in pairs]}


def fillings(raw: dict[str, Any], what: str) -> dict[str, Any]:
    """Return what the presets named in raw settings say, in the same shape.

    Raises:
        SettingsError: as ``filled``.

    """
    upstreams = raw.get("upstream")
    if not isinstance(upstreams, list):
        return {}
    return {"upstream": [_settings_of(one, what) for one in upstreams]}


def _merged(low: Mapping[str, Any], written: object) -> object:
    return {**low, **written} if isinstance(written, dict) else written


def _settings_of(upstream: object, what: str) -> Mapping[str, Any]:
    if not isinstance(upstream, dict) or not (name := _preset_of(upstream)):
        return {}
    preset = PRESETS.get(name) if isinstance(name, str) else None
    if preset is None:
        known = ", ".join(sorted(PRESETS))
        raise SettingsError(f"{what}: upstream.preset: no preset {name!r}", hint=f"known: {known}")
    return {**preset.settings, "preset": name}


def _preset_of(upstream: Mapping[str, Any]) -> object:
    """Name the preset; ClamAV's databases from nobody in particular are the official ones."""
    of_vendor = upstream.get("kind") == "clamav" and not upstream.get("url")
    return upstream.get("preset") or (OFFICIAL if of_vendor else None)
