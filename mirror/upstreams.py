"""An upstream made from its settings: which adapter, with which credential."""

from collections.abc import Callable
from pathlib import Path

from keys.credentials import Credential, read_secret
from keys.errors import SettingsError
from mirror.feeds import UpstreamSettings
from mirror.settings import LicenceSettings
from mirror.upstream.access import Access
from mirror.upstream.auth import ANONYMOUS, basic, open_auth
from mirror.upstream.base import Feed, Held, Upstream
from mirror.upstream.clamav import open_clamav
from mirror.upstream.drop import DropUpstream
from mirror.upstream.http import HttpUpstream
from mirror.upstream.tuf import TufUpstream
from mirror.upstream.vendor_copy import VendorCopy


def open_upstream(
    settings: UpstreamSettings, licence: LicenceSettings | None, *, folder: Path,
    last: Callable[[], str], cascaded: Held,
) -> Upstream:  # fmt: skip
    """Open an upstream; ``folder`` is its memory, ``last`` tells the version pulled last.

    Raises:
        SettingsError, UsageError: its settings or its password file cannot be followed.
        StateError: what is remembered of it is unusable.

    """
    if settings.kind == "drop":
        return DropUpstream(settings)
    credential = _credential(settings, licence)
    if settings.kind == "clamav":
        return open_clamav(Feed(settings, credential, last(), folder))
    if settings.kind == "http":
        feed = Feed(settings, credential, last(), folder)
        return HttpUpstream(feed, open_auth(settings, credential))
    if settings.kind != "tuf":
        raise SettingsError(f"upstream {settings.name}: kind: missing")
    access = Access.of(settings, basic(credential) if credential else ANONYMOUS)
    copy = VendorCopy(settings.name, Path(settings.root), folder)
    return TufUpstream(settings, access, copy, cascaded)


def _credential(settings: UpstreamSettings, licence: LicenceSettings | None) -> Credential | None:
    """Return the licence's credential, or else the upstream's own."""
    owner = licence if licence is not None and licence.username else settings
    if not owner.username:
        return None
    return Credential(owner.username, read_secret(Path(owner.password_file)))
