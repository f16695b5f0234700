"""What an operator writes for a mirror; docs/operations.md explains each key."""

from pathlib import Path
from typing import Literal

from keys.settings import Table


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
    max_requests_in_flight: int = 1000
    max_request_seconds: int = 3600
    shutdown_grace_seconds: int = 20


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
    seats: int = 0


class UpstreamSettings(Table, frozen=True):
    """One way to pull from a vendor."""

    name: str
    kind: Literal["drop", "tuf"]
    channel: str = ""  # drop: the channel to publish to
    folder: str = ""  # drop
    marker: str = ""  # drop: import when this file appears; empty: after a quiet period
    quiet_seconds: float = 10.0
    engine: str = ""  # what the files are for, information in the manifest
    url: str = ""  # tuf: https://vendor.example:8480/r/site
    root: str = ""  # tuf: the vendor's root.json
    licence: str = ""
    interval_seconds: int = 900
    ca_file: str = ""
    max_release_bytes: int = 4 << 30
    max_files: int = 100_000
    max_pull_seconds: int = 3600
    min_rate_bytes_per_second: int = 256


class ExpirySettings(Table, frozen=True):
    """How long signatures last, in seconds; renewed at a quarter of it."""

    channels_seconds: int = 30 * 86400
    snapshot_seconds: int = 7 * 86400
    timestamp_seconds: int = 3 * 86400


class Settings(Table, frozen=True):
    """sigmirror.toml."""

    store: StoreSettings = StoreSettings()
    signing: SigningSettings = SigningSettings()
    serve: ServeSettings = ServeSettings()
    expiry: ExpirySettings = ExpirySettings()
    licence: tuple[LicenceSettings, ...] = ()
    upstream: tuple[UpstreamSettings, ...] = ()
    canary: tuple[str, ...] = ()  # channels whose releases go to `canary` first
    keep_releases: int = 10
    reload_poll_seconds: float = 2.0

    @property
    def folder(self) -> Path:
        """The state folder: store, state, quarantine and keys of a filesystem mirror."""
        return Path(self.store.url.removeprefix("file://"))
