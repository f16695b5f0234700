"""What an operator writes for a mirror; docs/operations.md explains each key."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from keys import settings as toml
from keys.errors import NameRefusedError, SettingsError
from keys.model.names import check_channel
from keys.settings import Count, Duration, Positive, Seconds, SecondsOrNone, Table
from mirror import feed_rules, notify_rules
from mirror.feeds import UpstreamSettings
from mirror.notify_rules import NotifySettings
from mirror.presets import PRESETS, filled

Addressing = Literal["auto", "path", "virtual"]

SITE = "site"  # the repository this mirror signs
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_-][A-Za-z0-9._-]*)*/?")
_ENDPOINT = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+/?")
_NEEDED = {
    "": ("kind",),
    "drop": ("channel", "folder"),
    "tuf": ("url", "root"),
    "clamav": ("channel",),
    "http": ("channel", "url"),
}


class StoreSettings(Table, frozen=True):
    """Where repositories lie: a folder, or a prefix of a bucket.

    State, quarantine and keys lie in ``folder``: for a store that is a folder, in the same one.
    """

    url: str = "file:///var/lib/sigmirror"
    folder: str = ""
    endpoint: str = ""  # s3: an http or https URL; empty: Amazon's
    region: str = ""  # s3: empty: as boto3 finds it
    addressing: Addressing = "auto"  # s3: the bucket in the path, or in the host name
    profile: str = ""  # s3: whose credentials, in the file of boto3's; empty: as boto3 finds them
    lock: Literal["", "folder"] = ""  # s3: "folder": only this machine writes
    cache: str = ""  # s3: where a mirror keeps what it serves; empty: `cache` in `folder`
    cache_max_bytes: Positive = 10 << 30
    blobs: Literal["cache", "redirect"] = "cache"  # s3: how definitions are sent
    redirect_seconds: Positive = 300  # s3: how long an address that a client is sent to holds
    poll_seconds: Duration = 1.0  # s3: between two looks at what is published

    @property
    def is_bucket(self) -> bool:
        """Whether it is a bucket."""
        return self.url.startswith("s3://")

    @property
    def cache_folder(self) -> Path:
        """Where a mirror keeps what it serves of a bucket."""
        return Path(self.cache or f"{self.folder}/cache")


class SigningSettings(Table, frozen=True):
    """The online signing keys, as signer URIs or as the folder `sigkeys init` made."""

    keys: str = ""  # default: <state folder>/keys
    passphrase_file: str = ""  # or the environment variable SIGMIRROR_PASSPHRASE


class Tls(Table, frozen=True):
    """Certificate chain and key, both PEM."""

    cert: str
    key: str


class ServeSettings(Table, frozen=True):
    """The HTTP listener."""

    listen: str = "127.0.0.1:8480"
    access: Literal["open", "hosts", "licences"] = "open"
    licence_issuer: str = ""  # licences: the public key whose .lic files customers hold
    tls: Tls | None = None
    tls_terminated_by_proxy: bool = False
    trusted_proxies: tuple[str, ...] = ()
    metrics_listen: str = "127.0.0.1:9480"
    max_requests_in_flight: Positive = 1000
    max_request_seconds: Seconds = 3600
    shutdown_grace_seconds: SecondsOrNone = 20


class LicenceSettings(Table, frozen=True):
    """A licence file and the credential that goes with it.

    ``issuer`` names the public key that must have signed the file. Without it the file is a
    vendor's own and opaque, and dates and seats are typed here.
    """

    name: str
    file: str
    issuer: str = ""
    username: str = ""
    password_file: str = ""
    starts_on: str = ""
    ends_on: str = ""
    tz: str = ""
    seats: Count = 0


class FleetSettings(Table, frozen=True):
    """Where reports of hosts are kept, and for how long."""

    enabled: bool = True
    database: str = ""  # default: sqlite:///<folder>/state/fleet.db
    database_password_file: str = ""
    retention_days: Positive = 90
    stale_hours: Positive = 26


class RolloutSettings(Table, frozen=True):
    """When stable follows canary by itself, for the channels named under ``canary``."""

    automatic: bool = True
    min_canary_hosts: Positive = 1  # that proved exactly the release; none may have failed
    soak_seconds: SecondsOrNone = 3600  # for which they have


class ExpirySettings(Table, frozen=True):
    """How long signatures last, in seconds; renewed at a quarter of it."""

    channels_seconds: Seconds = 30 * 86400
    snapshot_seconds: Seconds = 7 * 86400
    timestamp_seconds: Seconds = 3 * 86400


class Settings(Table, frozen=True):
    """sigmirror.toml."""

    store: StoreSettings = StoreSettings()
    signing: SigningSettings = SigningSettings()
    serve: ServeSettings = ServeSettings()
    expiry: ExpirySettings = ExpirySettings()
    fleet: FleetSettings = FleetSettings()
    rollout: RolloutSettings = RolloutSettings()
    licence: tuple[LicenceSettings, ...] = ()
    upstream: tuple[UpstreamSettings, ...] = ()
    notify: tuple[NotifySettings, ...] = ()
    canary: tuple[str, ...] = ()  # channels whose releases go to `canary` first
    keep_releases: Positive = 10
    reload_poll_seconds: Duration = 2.0

    @property
    def folder(self) -> Path:
        """The state folder: state, quarantine and keys, and a store that is a folder."""
        return Path(self.store.folder or self.store.url.removeprefix("file://"))


def read(config: Path) -> Settings:
    """Read settings, with what presets know filled in.

    Raises:
        SettingsError: as ``keys.settings.load``; or a preset nobody knows.

    """
    return convert(read_raw(config), str(config))


def read_raw(config: Path) -> dict[str, Any]:
    """Read settings as plain tables, as they are written.

    Raises:
        SettingsError: unreadable or not TOML.

    """
    return toml.parse_raw(toml.read(config), str(config))


def convert(raw: dict[str, Any], what: str) -> Settings:
    """Check plain tables, with what presets know filled in.

    Raises:
        SettingsError: as ``read``.

    """
    return toml.convert(filled(raw, what), Settings, what)


def load(config: Path) -> Settings:
    """Read settings that can be followed.

    Raises:
        SettingsError: as ``read``; or what is wrong, all of it.

    """
    settings = read(config)
    if found := [str(problem) for problem in problems(settings)]:
        raise SettingsError(f"{config}: {'; '.join(found)}")
    return settings


def problems(settings: Settings) -> Iterator[SettingsError]:
    """List what is wrong with settings by themselves, whatever lies on the disk."""
    yield from _store(settings.store)
    yield from _twice("licence", (licence.name for licence in settings.licence))
    yield from _twice("upstream", (upstream.name for upstream in settings.upstream))
    yield from _twice("notify", (rule.name for rule in settings.notify))
    for rule in settings.notify:
        for reason in notify_rules.problems(rule):
            yield SettingsError(f"notify {rule.name!r}: {reason}")
    for upstream in settings.upstream:
        for reason in upstream_problems(upstream):
            yield SettingsError(f"upstream {upstream.name!r}: {reason}")


def _store(store: StoreSettings) -> Iterator[SettingsError]:
    if not store.is_bucket:
        default = StoreSettings()
        for key in store.__struct_fields__:
            if key != "url" and getattr(store, key) != getattr(default, key):
                yield SettingsError(f"store.{key}: only for a store.url that begins with s3://")
        return
    if not _BUCKET.fullmatch(store.url):
        yield SettingsError(
            f"store.url: {store.url!r}: not a bucket", hint='write "s3://BUCKET/PREFIX"'
        )
    if not store.folder.startswith("/"):
        yield SettingsError(
            "store.folder: an absolute path is needed: state, quarantine and keys lie there",
            hint='write folder = "/var/lib/sigmirror"',
        )
    if store.cache and not store.cache.startswith("/"):
        yield SettingsError("store.cache: an absolute path is needed")
    if store.endpoint and not _ENDPOINT.fullmatch(store.endpoint):
        yield SettingsError(
            "store.endpoint: not a URL such as https://s3.example:9000, without a password"
        )


def _twice(what: str, names: Iterable[str]) -> Iterator[SettingsError]:
    for name, count in Counter(names).items():
        if count > 1:
            yield SettingsError(f"{what} {name!r}: named {count} times")


def upstream_problems(upstream: UpstreamSettings) -> Iterator[str]:
    """List what is wrong with the settings of one upstream."""
    if not _NAME.fullmatch(upstream.name) or upstream.name == SITE:
        yield f"name: use a-z, 0-9 and '-', and not {SITE!r}"
    preset = PRESETS.get(upstream.preset)
    for key in dict.fromkeys((*_NEEDED[upstream.kind], *(preset.needs if preset else ()))):
        if not getattr(upstream, key):
            yield f"{key}: missing, needed for {_kind_or_preset(upstream)}"
    if preset and upstream.interval_seconds < preset.floor_seconds:
        yield f"interval_seconds: {preset.title} allows no less than {preset.floor_seconds}"
    yield from feed_rules.unheeded(upstream)
    if upstream.kind == "http":
        yield from feed_rules.problems(upstream)
    if upstream.channel:
        try:
            check_channel(upstream.channel)
        except NameRefusedError as exc:
            yield str(exc)


def _kind_or_preset(upstream: UpstreamSettings) -> str:
    if upstream.preset:
        return f"preset {upstream.preset!r}"
    return f"kind {upstream.kind!r}" if upstream.kind else "an upstream without a preset"
