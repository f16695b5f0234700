"""What an operator writes for a mirror; docs/operations.md explains each key."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from keys import settings as toml
from keys.errors import NameRefusedError, SettingsError
from keys.model.names import check_channel
from keys.settings import (
    Count,
    Duration,
    DurationOrNone,
    Positive,
    Seconds,
    SecondsOrNone,
    Table,
)

SITE = "site"  # the repository this mirror signs
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_NEEDED = {"drop": ("channel", "folder"), "tuf": ("url", "root")}


class StoreSettings(Table, frozen=True):
    """Where repositories lie; state, quarantine and keys lie beside them."""

    url: str = "file:///var/lib/sigmirror"


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


class UpstreamSettings(Table, frozen=True):
    """One way to pull from a vendor."""

    name: str
    kind: Literal["drop", "tuf"]
    channel: str = ""  # drop: the channel to publish to
    folder: str = ""  # drop
    marker: str = ""  # drop: import when this file appears; empty: after a quiet period
    quiet_seconds: DurationOrNone = 10.0
    engine: str = ""  # what the files are for, information in the manifest
    url: str = ""  # tuf: https://vendor.example:8480/r/site
    root: str = ""  # tuf: the vendor's root.json
    licence: str = ""
    interval_seconds: Seconds = 900
    ca_file: str = ""
    max_release_bytes: Positive = 4 << 30
    max_files: Positive = 100_000
    max_pull_seconds: Seconds = 3600
    min_rate_bytes_per_second: Count = 256


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
    licence: tuple[LicenceSettings, ...] = ()
    upstream: tuple[UpstreamSettings, ...] = ()
    canary: tuple[str, ...] = ()  # channels whose releases go to `canary` first
    keep_releases: Positive = 10
    reload_poll_seconds: Duration = 2.0

    @property
    def folder(self) -> Path:
        """The state folder: store, state, quarantine and keys of a filesystem mirror."""
        return Path(self.store.url.removeprefix("file://"))


def load(config: Path) -> Settings:
    """Read settings that can be followed.

    Raises:
        SettingsError: as ``keys.settings.load``; or what is wrong, all of it.

    """
    settings = toml.load(config, Settings)
    if found := [str(problem) for problem in problems(settings)]:
        raise SettingsError(f"{config}: {'; '.join(found)}")
    return settings


def problems(settings: Settings) -> Iterator[SettingsError]:
    """List what is wrong with settings by themselves, whatever lies on the disk."""
    yield from _twice("licence", (licence.name for licence in settings.licence))
    yield from _twice("upstream", (upstream.name for upstream in settings.upstream))
    for upstream in settings.upstream:
        for reason in _upstream(upstream):
            yield SettingsError(f"upstream {upstream.name!r}: {reason}")


def _twice(what: str, names: Iterable[str]) -> Iterator[SettingsError]:
    for name, count in Counter(names).items():
        if count > 1:
            yield SettingsError(f"{what} {name!r}: named {count} times")


def _upstream(upstream: UpstreamSettings) -> Iterator[str]:
    if not _NAME.fullmatch(upstream.name) or upstream.name == SITE:
        yield f"name: use a-z, 0-9 and '-', and not {SITE!r}"
    for key in _NEEDED[upstream.kind]:
        if not getattr(upstream, key):
            yield f"{key}: missing, needed for kind {upstream.kind!r}"
    if upstream.channel:
        try:
            check_channel(upstream.channel)
        except NameRefusedError as exc:
            yield str(exc)
