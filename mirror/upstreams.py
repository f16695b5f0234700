"""An upstream made from its settings: which adapter, with which credential."""

from collections.abc import Callable
from pathlib import Path

from keys.credentials import Credential, read_secret
from keys.errors import SettingsError
from mirror.feeds import UpstreamSettings
from mirror.settings import LicenceSettings
from mirror.upstream.base import Feed, Held, Upstream


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
        return _drop(settings)
    credential = _credential(settings, licence)
    if settings.kind == "clamav":
        return _clamav(Feed(settings, credential, last(), folder))
    if settings.kind == "http":
        return _http(Feed(settings, credential, last(), folder))
    if settings.kind == "tuf":
        return _tuf(settings, credential, folder, cascaded)
    raise SettingsError(f"upstream {settings.name}: kind: missing")


# Each kind is loaded where one is opened: together they are half the start of every command.
def _drop(settings: UpstreamSettings) -> Upstream:
    from mirror.upstream.drop import DropUpstream  # noqa: PLC0415 - see above

    return DropUpstream(settings)


def _clamav(feed: Feed) -> Upstream:
    from mirror.upstream.clamav import open_clamav  # noqa: PLC0415 - see above

    return open_clamav(feed)


def _http(feed: Feed) -> Upstream:
    from mirror.upstream.auth import open_auth  # noqa: PLC0415 - see above
    from mirror.upstream.http import HttpUpstream  # noqa: PLC0415

    return HttpUpstream(feed, open_auth(feed.settings, feed.credential))


def _tuf(
    settings: UpstreamSettings, credential: Credential | None, folder: Path, cascaded: Held
) -> Upstream:
    from mirror.upstream.access import Access  # noqa: PLC0415 - see above
    from mirror.upstream.auth import ANONYMOUS, basic  # noqa: PLC0415
    from mirror.upstream.tuf import TufUpstream  # noqa: PLC0415
    from mirror.upstream.vendor_copy import VendorCopy  # noqa: PLC0415

    access = Access.of(settings, basic(credential) if credential else ANONYMOUS)
    copy = VendorCopy(settings.name, Path(settings.root), folder)
    return TufUpstream(settings, access, copy, cascaded)


def _credential(settings: UpstreamSettings, licence: LicenceSettings | None) -> Credential | None:
    """Return the licence's credential, or else the upstream's own."""
    owner = licence if licence is not None and licence.username else settings
    if not owner.username:
        return None
    return Credential(owner.username, read_secret(Path(owner.password_file)))
