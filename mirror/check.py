"""What is wrong with a mirror's settings: every problem, not only the first."""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

from keys.credentials import read_secret
from keys.errors import Error, SettingsError
from keys.model.names import check_channel
from keys.signing.layout import SITE
from mirror.address import Address
from mirror.fleet.ledger import open_door
from mirror.settings import ServeSettings, Settings, UpstreamSettings
from mirror.site import MirrorSite, open_online_ring
from mirror.web import tls

_POSITIVE = (
    "serve.max_requests_in_flight",
    "serve.max_request_seconds",
    "expiry.channels_seconds",
    "expiry.snapshot_seconds",
    "expiry.timestamp_seconds",
    "keep_releases",
    "reload_poll_seconds",
)
_NEEDED = {"drop": ("channel", "folder"), "tuf": ("url", "root")}
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def problems(site: MirrorSite, *, signs: bool, now: datetime) -> list[Error]:
    """List everything that is wrong; ``signs`` says that the mirror also pulls and signs."""
    found = [*serving(site)]
    if signs:
        found += [*signing(site.settings), *pulling(site, now=now)]
    return found


def serving(site: MirrorSite) -> Iterator[Error]:
    """List what keeps a mirror from serving."""
    settings = site.settings
    yield from _positive(settings)
    yield from _listeners(settings.serve)
    yield from _proxies(settings.serve)
    if settings.serve.tls is not None:
        yield from _raised(partial(tls.load, settings.serve.tls))
    yield from _store(site)
    yield from _raised(partial(open_door, settings.serve.access, settings.folder))


def signing(settings: Settings) -> Iterator[Error]:
    """List what keeps a mirror from signing."""
    yield from _raised(partial(open_online_ring, settings))


def pulling(site: MirrorSite, *, now: datetime) -> Iterator[Error]:
    """List what keeps single upstreams from being pulled."""
    yield from _licences(site, now)
    yield from _upstreams(site)


def _raised(action: Callable[[], object]) -> Iterator[Error]:
    """Yield the error an action ends with."""
    try:
        action()
    except Error as exc:
        yield exc


def _positive(settings: Settings) -> Iterator[Error]:
    for key in _POSITIVE:
        table, _, name = key.rpartition(".")
        value = getattr(getattr(settings, table) if table else settings, name)
        if value <= 0:
            yield SettingsError(f"{key}: {value}: must be greater than 0")
    if settings.serve.shutdown_grace_seconds < 0:
        yield SettingsError("serve.shutdown_grace_seconds: must not be negative")


def _listeners(serve: ServeSettings) -> Iterator[Error]:
    if serve.metrics_listen:
        yield from _raised(lambda: Address.parse(serve.metrics_listen, "serve.metrics_listen"))
    try:
        address = Address.parse(serve.listen, "serve.listen")
    except SettingsError as exc:
        yield exc
        return
    secret = serve.access != "open" and not address.is_loopback
    if secret and serve.tls is None and not serve.tls_terminated_by_proxy:
        yield SettingsError(
            f"serve.listen: {serve.listen}: credentials would travel in the clear",
            hint="set serve.tls, or serve.tls_terminated_by_proxy with serve.trusted_proxies, "
            "or listen on 127.0.0.1",
        )


def _proxies(serve: ServeSettings) -> Iterator[Error]:
    if serve.tls_terminated_by_proxy and not serve.trusted_proxies:
        yield SettingsError(
            "serve.trusted_proxies: empty, though serve.tls_terminated_by_proxy is set",
            hint="name the proxies' addresses or networks",
        )
    for network in serve.trusted_proxies:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError as exc:
            yield SettingsError(f"serve.trusted_proxies: {exc}")


def _store(site: MirrorSite) -> Iterator[Error]:
    broken = list(_raised(lambda: site.store))
    yield from broken
    if not broken and not (site.folder / "r" / "site" / "metadata" / "1.root.json").is_file():
        yield SettingsError(
            f"store.url: {site.folder}: holds no repository", hint="run `sigmirror init` first"
        )


def _licences(site: MirrorSite, now: datetime) -> Iterator[Error]:
    licences = site.settings.licence
    yield from _twice("licence", (licence.name for licence in licences))
    for licence in licences:
        yield from _raised(partial(site.standing, licence, now))
        if licence.username and not licence.password_file:
            yield SettingsError(f"licence {licence.name}: password_file: missing")
        if licence.password_file:
            yield from _raised(partial(read_secret, Path(licence.password_file)))


def _upstreams(site: MirrorSite) -> Iterator[Error]:
    upstreams = site.settings.upstream
    yield from _twice("upstream", (upstream.name for upstream in upstreams))
    for upstream in upstreams:
        for reason in _upstream(upstream):
            yield SettingsError(f"upstream {upstream.name}: {reason}")
        yield from _raised(partial(site.ingest, upstream.name))


def _upstream(upstream: UpstreamSettings) -> Iterator[str]:
    if not _NAME.fullmatch(upstream.name) or upstream.name == SITE:
        yield f"name: {upstream.name!r}: use a-z, 0-9 and '-', and not {SITE!r}"
    for key in _NEEDED[upstream.kind]:
        if not getattr(upstream, key):
            yield f"{key}: missing, needed for kind {upstream.kind!r}"
    for error in _raised(partial(check_channel, upstream.channel)) if upstream.channel else ():
        yield str(error)
    for key in ("folder", "root", "ca_file"):
        value = getattr(upstream, key)
        if value and not Path(value).exists():
            yield f"{key}: {value}: does not exist"
    if upstream.interval_seconds <= 0:
        yield "interval_seconds: must be greater than 0"


def _twice(what: str, names: Iterable[str]) -> Iterator[Error]:
    for name, count in Counter(names).items():
        if count > 1:
            yield SettingsError(f"{what} {name!r}: named {count} times")
